"""How Sphinx builds these pages: `make docs`."""

import re
from importlib.metadata import version as version_of
from itertools import groupby

project = "recurrax"
author = "The recurrax authors"
version = release = version_of("recurrax")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"recurrax {release}"
html_show_copyright = False
myst_heading_anchors = 3  # links such as tasks.md#files-of-your-own

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "none"  # docstrings say shapes and dtypes
default_role = "code"  # `name` in a docstring

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


def setup(app):
    """Reads docstrings before napoleon does."""
    app.connect("autodoc-process-docstring", read_docstring, priority=400)
