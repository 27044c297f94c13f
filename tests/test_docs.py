"""The code of every page in docs/ runs, block after block, as a reader would run it."""

import re
import runpy
from pathlib import Path

import matplotlib
import pytest
from matplotlib import pyplot

from recurrax import cli, lag

matplotlib.use("agg")
DOCS = Path(__file__).parent.parent / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PAGES = [page for page in sorted(DOCS.glob("*.md")) if BLOCK.search(page.read_text())]


def run(page, tmp_path):
    """What the page's blocks define, run as one script."""
    script = tmp_path / f"{page.stem}.py"
    script.write_text("\n".join(BLOCK.findall(page.read_text())))
    defined = runpy.run_path(str(script))
    pyplot.close("all")
    return defined


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_runs(page, tmp_path, quick_compile):
    defined = run(page, tmp_path)
    if page.stem == "instruments":
        shown = {type(value) for value in defined.values()}
        results = {getattr(lag, name) for name in lag.__all__ if name[0].isupper()}
        assert results - shown == {lag.DecayModel, lag.GradientNorm, lag.On}


def test_every_picture_of_reading_is_drawn_by_its_script(tmp_path, quick_compile):
    script = runpy.run_path(str(DOCS / "reading.py"))
    shown = re.findall(r"\]\(reading/(.*?)\.png\)", (DOCS / "reading.md").read_text())
    assert sorted(shown) == sorted(draw.__name__ for draw in script["PICTURES"])
    assert sorted(shown) == sorted(path.stem for path in (DOCS / "reading").iterdir())
    script["main"](tmp_path, script["PICTURES"][:1])
    assert [path.name for path in tmp_path.iterdir()] == ["adjoint.png"]


def test_the_cell_that_is_explained_is_the_librarys():
    cell = DOCS.parent / "src" / "recurrax" / "cells" / "mgu.py"
    assert BLOCK.search((DOCS / "adding_a_cell.md").read_text()).group(1) == cell.read_text()


def test_every_instrument_has_a_place_on_the_page():
    page = (DOCS / "instruments.md").read_text()
    functions = (name for name in lag.__all__ if name[0].islower())
    assert not [name for name in functions if f"lag.{name}" not in page]


def test_every_page_is_reached_from_the_index_and_every_link_leads_somewhere():
    pages = {page.stem: page.read_text() for page in DOCS.glob("*.md")}
    listed = re.findall(r"^```\{toctree\}\n(?::[^\n]*\n)*\n(.*?)^```$", pages["index"], re.DOTALL | re.MULTILINE)
    assert sorted("\n".join(listed).split()) == sorted(pages.keys() - {"index"} | {"gallery/index"})
    links = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
    assert not [link for text in pages.values() for link in links.findall(text) if not (DOCS / link).exists()]


def test_every_command_script_and_target_that_a_page_names_is_there():
    root = DOCS.parent
    pages = [*DOCS.glob("*.md"), root / "README.md", root / "CONTRIBUTING.md"]
    text = "\n".join(page.read_text() for page in pages)
    assert set(re.findall(r"(?:`|^)recurrax ([a-z]+)", text, re.MULTILINE)) == set(cli.COMMANDS)
    scripts = re.findall(r"\b(?:docs|examples|experiments|tests)/[\w/]+\.(?:py|sbatch)\b", text)
    assert not [script for script in scripts if not (root / script).is_file()]
    targets = re.search(r"^\.PHONY: (.*)$", (root / "Makefile").read_text(), re.MULTILINE)[1].split()
    assert set(re.findall(r"(?:`|^)make ([a-z]+)", text, re.MULTILINE)) <= set(targets)
