"""A report is made from the saved files alone, and needs nothing but itself."""

import dataclasses
import io
import json
import shutil
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Console

from recurrax import report
from recurrax.files import save_arrays, save_json
from recurrax.report import Figure, Line, Panel, Report, Table

PANEL = Panel("title", "lag (steps)", "norm", (Line("cell", "lag", "norms", 0),))
REPORT = Report(
    question="Does <b> fade & vanish?",
    answer="After 12 steps.",
    findings=("It does.",),
    tables=(Table("Lags", "In steps.", ("cell", "K"), (("LSTM", "12 (10–>20)"), ("GRU", "9"))),),
    figures=(Figure("norms", "Norms", "By lag.", (PANEL,)),),
    protocol=("One probe.",),
)


class Page(HTMLParser):
    """Tags that are open, every attribute that can fetch something, and the text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.fetched, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "img"):
            self.open.append(tag)
        assert tag not in ("script", "link", "iframe")
        self.fetched += [value for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    save_json(folder / "config.json", {"seeds": 2, "inputs": ["adding"]})
    save_json(
        folder / "run.json", {"experiment": "demo", "command": "python demo.py", "environment": {"jax": "0.10.2"}}
    )
    save_json(folder / "summary.json", {"report": REPORT.to_json()})
    save_arrays(folder / "arrays.npz", {"lag": np.arange(5), "norms": np.ones((2, 5))})
    return folder


def test_a_report_survives_json():
    assert Report.from_json(json.loads(json.dumps(REPORT.to_json()))) == REPORT


@pytest.mark.parametrize("field", ["answer", "tables", "figures"])
def test_a_report_with_a_field_missing(field):
    saved = {name: value for name, value in REPORT.to_json().items() if name != field}
    with pytest.raises(ValueError, match=f"report: expected the fields written by Report.to_json.*{field}"):
        Report.from_json(saved)


def test_a_row_of_the_wrong_length():
    with pytest.raises(ValueError, match="rows: expected 2 entries as in columns, got 1"):
        Table("Lags", "In steps.", ("cell", "K"), (("LSTM",),))


def test_the_page_needs_no_other_file(folder):
    page = Page(report.render(folder).read_text())
    assert page.open == []
    assert len(page.fetched) == 1
    assert page.fetched[0].startswith("data:image/svg+xml;base64,")


def test_the_page_says_it_all(folder):
    words = " ".join(Page(report.render(folder).read_text()).words)
    for said in (
        "Does <b> fade & vanish?",
        "After 12 steps.",
        "It does.",
        "12 (10–>20)",
        "One probe.",
        "python demo.py",
        "jax",
        "0.10.2",
    ):
        assert said in words


def test_drawing_again_gives_the_same_files(folder, tmp_path):
    report.render(folder)
    again = tmp_path / "again"
    again.mkdir()
    for name in ("config.json", "run.json", "summary.json", "arrays.npz"):
        shutil.copy(folder / name, again)
    report.render(again)
    assert {path.name: path.read_bytes() for path in again.iterdir()} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }


def test_the_console_shows_tables_answer_and_path(folder):
    written = io.StringIO()
    report.show(report.load(folder), Console(width=200, file=written))
    shown = written.getvalue()
    for said in ("Lags", "LSTM", "12 (10–>20)", "After 12 steps.", str(folder / "report.html")):
        assert said in shown


def test_a_narrow_terminal_shows_a_table_in_parts_and_cuts_nothing(folder):
    rows = tuple((name, *(f"{i}.123 [{i}.001, {i}.999]" for i in range(3))) for name in ("LSTM", "GRU"))
    wide = dataclasses.replace(REPORT, tables=(Table("Wide", "In steps.", ("cell", "a", "b", "c"), rows),))
    save_json(folder / "summary.json", {"report": wide.to_json()})
    shown = {}
    for width in (50, 120):
        written = io.StringIO()
        report.show(report.load(folder), Console(width=width, file=written))
        shown[width] = written.getvalue()
        for row in rows:
            assert all(entry in shown[width] for entry in row)
    assert (shown[50].count("LSTM"), shown[120].count("LSTM")) == (2, 1)


@pytest.mark.parametrize("name", ["config.json", "run.json", "arrays.npz"])
def test_a_run_that_has_not_finished(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name}: expected a file of a finished run, found none"):
        report.render(folder)


@pytest.mark.parametrize("name", ["config.json", "summary.json", "arrays.npz"])
def test_a_damaged_file(folder, name):
    (folder / name).write_bytes(b"\x00\xff damaged")
    with pytest.raises(ValueError, match=name):
        report.render(folder)


@pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
def test_a_missing_package_is_named_with_what_brings_it(folder, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        ModuleNotFoundError, match=rf'{package} is not installed.*pip install "recurrax\[experiments\]"'
    ):
        report.render(folder)
    assert not (folder / "report.html").exists()
