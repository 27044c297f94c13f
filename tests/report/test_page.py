"""A report is made from the saved files alone, and needs nothing but itself."""

import dataclasses
import io
import json
import re
import shutil
import sys
from importlib import resources

import numpy as np
import pages
import pytest
from pages import Page, save_run
from rich.console import Console

from recurrax import report
from recurrax.files import save_arrays, save_json
from recurrax.report import Figure, Line, Panel, Report, Table

LOADS = ("src", "href", "srcset", "data")
PANEL = Panel("title", "lag (steps)", "norm", (Line("cell", "lag", "norms", 0),))
REPORT = Report(
    question="Does <b> fade & vanish?",
    answer="After 12 steps.",
    findings=("It does.",),
    tables=(Table("Lags", "In steps.", ("cell", "K"), (("LSTM", "12 (10–>20)"), ("GRU", "9"))),),
    figures=(Figure("norms", "Norms", "By lag.", (PANEL,)),),
    protocol=("One probe.",),
)


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
    fetched = [value for _, attributes, _, _ in page.parts for name, value in attributes.items() if name in LOADS]
    assert len(fetched) == 1
    assert fetched[0].startswith("data:image/svg+xml;base64,")


def test_the_page_says_it_all(folder):
    words = Page(report.render(folder).read_text()).words()
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


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """The page of a run with claims, rankings, two figures and a wide table."""
    return Page(report.render(save_run(tmp_path_factory.mktemp("reach") / "run-1")).read_text())


def test_question_answer_and_figure_come_first(full):
    (h1,) = full.all("h1")
    assert h1[3] == pages.REPORT.question
    (answer,) = full.all("p", **{"class": "answer"})
    assert answer[3] == "An LSTM reaches further. Supported."
    first = full.parts.index(full.all("img")[0])
    assert full.parts.index(h1) < full.parts.index(answer) < first
    assert not {part[0] for part in full.parts[:first]} & {"table", "details", "ul", "h2", "pre"}
    assert len(full.words(full.parts[first]).split()) < 60


def test_a_figure_of_one_panel_is_not_drawn_as_wide_as_two(full):
    assert [part[1].get("class") for part in full.all("figure")] == [None, "narrow"]


def test_verdicts_are_words_of_their_own_colour_with_theta_and_interval(full):
    spans = [(part[1]["class"], part[3]) for part in full.all("span") if part[1]["class"].startswith("verdict")]
    assert spans == [
        ("verdict supported", "Supported"),
        ("verdict supported", "supported"),
        ("verdict refuted", "refuted, equal"),
    ]
    words = full.words()
    assert "lstm over elman (adding): θ +2.5 [+1.5, +∞], 8 seeds" in words
    assert "refuted, equal gru (text): θ +0.1 [-0.2, +0.3], 8 seeds" in words
    assert "θ: log2 ratio in K, steps; counts from δ = 1." in words


def test_the_key_number_is_ranked_and_drawn(full):
    assert [part[3] for part in full.all("span", **{"class": "label"})] == ["lstm", "gru", "elman", "elman"]
    assert [part[1]["style"] for part in full.all("i")][:3] == [
        "left:100.0%;width:0.0%",
        "left:20.0%;width:80.0%",
        "left:5.0%;width:10.0%",
    ]
    assert [part[1].get("class") for part in full.all("b")] == ["beyond", None, None, None]


def test_all_else_is_folded_and_no_caption_is_as_wide_as_its_table(full):
    tables = full.all("table")
    assert len(tables) == 3
    assert all("details" in around for _, _, around, _ in tables)
    assert not any("open" in part[1] for part in full.all("details"))
    assert not full.all("caption")
    assert all("table" not in part[2] for part in full.all("p", **{"class": "caption"}))
    assert [part[3] for part in full.all("summary")] == ["Lags", "How it was measured", "Settings", "Environment"]


def test_the_environment_says_where_it_ran_and_for_how_long(full):
    cells = [part[3] for part in full.all("td")]
    facts = dict(zip(cells[::2], cells[1::2], strict=False)) | dict(zip(cells[1::2], cells[2::2], strict=False))
    expected = {"processor": "A Processor 9000", "cores": "2", "memory": "23.5 GiB", "job": "SLURM 12"}
    assert {name: facts[name] for name in expected} == expected
    assert facts["duration"] == "1 h 2 min 7 s"
    assert [part[3] for part in full.all("pre")] == ["python experiments/reach.py --seeds 2"]


@pytest.mark.parametrize("how", ["named", "said"])
def test_smoke_is_said_in_red_and_nothing_is_found(tmp_path, how):
    run = save_run(tmp_path / "smoke-1") if how == "named" else save_run(tmp_path / "run-1", smoke=True)
    page = Page(report.render(run).read_text())
    (answer,) = page.all("p", **{"class": "answer smoke"})
    assert answer[3].startswith("SMOKE: ")
    assert page.all("title")[0][3].startswith("SMOKE: ")
    assert re.search(r"\.smoke \{ color: var\(--bad\)", page.all("style")[0][3])
    words = page.words()
    assert not any(said in words for said in ("Supported", "reaches further", "θ", "log2 ratio"))
    assert not page.all("ol")
    assert len(page.all("img")) == 2
    written = io.StringIO()
    report.show(report.load(run), Console(width=200, file=written))
    assert "SMOKE: " in written.getvalue()
    assert "reaches further" not in written.getvalue()


def test_colours_for_light_and_dark_stand_out_from_their_ground():
    css = resources.files("recurrax.report").joinpath("page.css").read_text()
    light, dark = (dict(re.findall(r"--(\w+): (#\w+)", part)) for part in css.partition("@media")[::2])

    def luminance(colour):
        digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
        parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    for theme in (light, dark):
        for name in ("ink", "soft", "accent", "good", "bad", "open", "mixed"):
            high, low = sorted((luminance(theme[name]), luminance(theme["ground"])), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, name  # what WCAG asks of text


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
    with pytest.raises(ModuleNotFoundError, match=rf'{package} is not installed.*pip install ".\[experiments\]"'):
        report.render(folder)
    assert not (folder / "report.html").exists()
