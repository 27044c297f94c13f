"""A sweep's page: settings in the order in which people count, the key number drawn where it was found."""

import math

import pytest
from pages import NUMBERS, Page, number, save_run

from recurrax import report
from recurrax.cli import main
from recurrax.files import save_json
from recurrax.report import sweep_figure
from recurrax.sweep import table

SIZES = ("64", "10", "2")


def swept(folder, sizes=SIZES, found=None, **changes):
    """A sweep over sizes and 100, which failed; what was found at a size is ten times that, or `found`."""
    rows = {}
    for size in sizes:
        numbers = {"lstm": number(10 * float(size), 1.0, 1000.0, f"{size}0 [1, 1000]")} if found is None else found
        save_run(folder / f"size-{size}" / "reach" / "run-1", numbers=numbers, key_figures=[], figures=[], **changes)
        own = {"setting": f"size-{size}", "--size": size, "--smoke": "no", "status": "finished", "seconds": "1"}
        rows[own["setting"]] = own | {"folder": f"size-{size}/reach/run-1"}
    rows["size-100"] = {
        "setting": "size-100",
        "--size": "100",
        "--smoke": "no",
        "status": "failed",
        "error": "it broke",
    }
    table.save(folder / "table.csv", rows)
    return folder


@pytest.fixture
def drawn(monkeypatch):
    """What is drawn: the label of each line, with positions and estimates."""
    lines = {}

    def record(axes, label, points, colour):
        lines[label] = [(place, reading.estimate) for place, reading in points]

    monkeypatch.setattr(sweep_figure, "_draw_line", record)
    return lines


def test_settings_stand_in_the_order_in_which_people_count(tmp_path, drawn):
    page = Page(report.render_sweep(swept(tmp_path / "sweep")).read_text())
    rows = [part[3].strip() for part in page.all("td", **{"class": "number"})]
    assert rows == ["2", "10", "64", "100"]
    assert [part[3] for part in page.all("h1")] == ["K against size"]
    assert drawn == {"lstm": [(2.0, 20.0), (10.0, 100.0), (64.0, 640.0)]}
    words = page.words()
    assert "3 of 4 settings finished. K: from 20 [1, 1000] (lstm size = 2) to 640 [1, 1000] (lstm size = 64)." in words
    assert "failed : it broke" in words
    assert "The same throughout: smoke = no." in words
    assert [part[1]["src"][:26] for part in page.all("img")] == ["data:image/svg+xml;base64,"]
    assert (tmp_path / "sweep" / "sweep.png").is_file()


def test_a_panel_per_task_and_a_line_per_cell(tmp_path, drawn):
    report.render_sweep(swept(tmp_path / "sweep", found=NUMBERS))
    assert list(drawn) == ["lstm", "gru", "elman"]  # the last of the second task, whose line has the same name
    assert all(math.isnan(estimate) for _, estimate in drawn["lstm"])
    assert drawn["elman"] == [(2.0, 5.0), (10.0, 5.0), (64.0, 5.0)]


@pytest.mark.parametrize(("count", "said"), [(8, False), (9, True)])
def test_lines_that_are_left_out_are_told(tmp_path, drawn, count, said):
    found = {f"cell{i}": number(float(i), 0.0, 9.0, f"{i}") for i in range(count)}
    page = Page(report.render_sweep(swept(tmp_path / "sweep", sizes=("2", "3"), found=found)).read_text())
    assert (len(drawn), "Not all lines are drawn" in page.words()) == (8, said)


def test_lines_are_drawn_with_intervals_and_what_lies_beyond(tmp_path):
    folder = swept(tmp_path / "sweep", found=NUMBERS)
    report.render_sweep(folder)
    assert (folder / "sweep.svg").stat().st_size > 10_000


def test_numbers_without_an_interval_are_drawn_too_and_words_are_places(tmp_path, drawn):
    report.render_sweep(swept(tmp_path / "sweep", sizes=("small", "large"), found={"loss": 0.5, "other": 2}))
    assert drawn == {"": [(0.0, 0.5), (1.0, 0.5)]}


def test_smoke_concludes_nothing(tmp_path, drawn):
    page = Page(report.render_sweep(swept(tmp_path / "sweep", smoke=True)).read_text())
    assert not drawn
    assert not page.all("img")
    assert page.all("p", **{"class": "answer smoke"})
    assert "[1, 1000]" not in page.words()


def test_the_overview_draws_sweeps_again_and_links_them(tmp_path, drawn):
    swept(tmp_path / "sweeps" / "a b")
    assert main(["report", str(tmp_path)]) == 0
    page = Page((tmp_path / "index.html").read_text())
    assert "sweeps/a%20b/sweep.html" in [part[1].get("href") for part in page.all("a")]
    links = Page((tmp_path / "sweeps" / "a b" / "sweep.html").read_text()).all("a")
    assert [part[1]["href"] for part in links] == [f"size-{size}/reach/run-1/report.html" for size in (2, 10, 64)]


def test_a_summary_that_cannot_be_read_is_no_sweep_s_end(tmp_path, capsys, drawn):
    folder = swept(tmp_path / "sweeps" / "x")
    (folder / "size-2" / "reach" / "run-1" / "summary.json").write_text("{")
    save_json(folder / "size-10" / "reach" / "run-1" / "summary.json", {"numbers": NUMBERS, "report": 3})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "table.csv").write_text("mine,1\n")
    save_json(tmp_path / "other" / "config.json", {})
    assert main(["report", str(tmp_path)]) == 1
    assert "damaged: sweeps/x/size-2/reach/run-1: summary.json: expected JSON" in capsys.readouterr().out
    assert drawn == {"lstm": [(64.0, 640.0)]}
