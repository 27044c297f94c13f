"""How Sphinx builds these pages: `make docs`."""

import ast
import json
import re
from importlib.metadata import version as version_of
from itertools import groupby
from pathlib import Path

from sphinx.errors import SphinxError

project = "recurrax"
author = "The recurrax authors"
version = release = version_of("recurrax")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_gallery.gen_gallery"]
html_theme = "furo"
html_title = f"recurrax {release}"
html_show_copyright = False
html_static_path = ["static"]
html_css_files = ["gallery.css"]
myst_heading_anchors = 3  # links such as tasks.md#files-of-your-own

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "none"  # docstrings say shapes and dtypes
default_role = "code"  # `name` in a docstring

DOCS = Path(__file__).parent
EXAMPLES = DOCS.parent / "examples"
sphinx_gallery_conf = {
    "examples_dirs": str(EXAMPLES),
    "gallery_dirs": "gallery",
    "filename_pattern": "first_curve",  # runs as the pages are built; the others end with what they printed
    "abort_on_example_error": True,
    "capture_repr": (),
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
}

EQUATION = re.compile(r"^\s*\S.* (=|<=|~) ")
SECTION = re.compile(r"^\s*(Args|Attributes|Example|Examples|Raises|Returns|Yields):$")
MARKUP = re.compile(r"(`[^`]*`)|([*_|\\])")


def is_laid_out(paragraph):
    """Whether the ends of the paragraph's lines mean something: equations, and lists with hanging indents."""
    hanging = not paragraph[0][0].isspace() and any(line[0].isspace() for line in paragraph)
    return hanging or any(map(EQUATION.match, paragraph))


def plain(line):
    """The line with what reStructuredText would take for markup escaped, but for `code`."""
    return MARKUP.sub(lambda match: match[1] or f"\\{match[2]}", line)


def read_docstring(app, what, name, obj, options, lines):
    """Docstrings are plain text with Google's sections: equations keep their lines, doctests stay as they are."""
    paragraphs = [list(group) for blank, group in groupby(lines, key=lambda line: not line.strip()) if not blank]
    lines.clear()
    for paragraph in paragraphs:
        if paragraph[0].strip() == "```python":
            lines += [".. code-block:: python", "", *("    " + line for line in paragraph[1:-1])]
        elif paragraph[0].lstrip().startswith(">>>"):
            lines += paragraph
        elif SECTION.match(paragraph[0]) or not is_laid_out(paragraph):
            lines += map(plain, paragraph)
        else:
            lines += ["| " + plain(line.strip()) for line in paragraph]
        lines.append("")


def check_notebooks(app, exception):
    """The code of each notebook, cell after cell, is that of its script, which the suite runs."""
    for script in EXAMPLES.glob("*.py") if exception is None else ():
        cells = json.loads((DOCS / "gallery" / f"{script.stem}.ipynb").read_text())["cells"]
        code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        _docstring, *statements = ast.parse(script.read_text()).body
        if list(map(ast.dump, statements)) != list(map(ast.dump, ast.parse(code).body)):
            raise SphinxError(f"the notebook of {script.name} is not its script")


def setup(app):
    """Reads docstrings before napoleon does, and notebooks after they are written."""
    app.connect("autodoc-process-docstring", read_docstring, priority=400)
    app.connect("build-finished", check_notebooks)
