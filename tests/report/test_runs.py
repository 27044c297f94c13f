"""All runs of a folder on one page: every run is named, whatever became of it, and nothing outside is touched."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from urllib.parse import unquote

import numpy as np
import pytest
from pages import Page

from recurrax import report
from recurrax.cli import main
from recurrax.files import save_arrays, save_json
from recurrax.report import Figure, KeyFigure, Line, Panel, Report, Table

REPORT = Report(
    question="Does it fade?",
    answer="After 12 steps.\nTraining slows it.",
    findings=("It | does <b>.",),
    tables=(Table("Lags", "In steps.", ("cell", "K"), (("LSTM", "12"),)),),
    figures=(Figure("norms", "Norms", "By lag.", (Panel("a", "lag", "norm", (Line("cell", "lag", "norms", 0),)),)),),
    protocol=("One probe.",),
    key_figures=(KeyFigure("K, steps", "12 [10, >20]"),),
)


def save_run(folder, status="finished", said=REPORT, **config):
    folder.mkdir(parents=True)
    save_json(folder / "config.json", {"seeds": 2, "cell": "lstm"} | config)
    record = {"experiment": "fade", "status": status, "command": "python fade.py", "started": "2026-01-02T03:04:05"}
    save_json(folder / "run.json", record | ({"error": "FloatingPointError"} if status == "failed" else {}))
    if status == "finished":
        save_json(folder / "summary.json", {"numbers": {}, "report": said.to_json()})
        save_arrays(folder / "arrays.npz", {"lag": np.arange(5), "norms": np.ones((2, 5))})
    return folder


@pytest.fixture
def results(tmp_path):
    """Five runs: two finished that differ in one setting, and one each that failed, was preempted and goes on."""
    root = tmp_path / "results"
    save_run(root / "fade" / "run-aa")
    save_run(root / "fade" / "run-bb", seeds=7)
    save_run(root / "fade" / "run-cc", "failed")
    save_run(root / "fade" / "run-dd", "preempted")
    save_run(root / "sweeps" / "fade" / "seeds=9" / "fade" / "run-ee", "running", seeds=9)
    return root


def links(page):
    return [unquote(link) for link in re.findall(r'href="([^"]*)"', page)]


def test_every_run_is_on_both_pages(results):
    runs = report.overview(results)
    assert [run.status for run in runs] == ["finished", "finished", "failed", "preempted", "running"]
    page, text = (results / "index.html").read_text(), (results / "RESULTS.md").read_text()
    Page(page)
    for said in (
        "2 finished, 1 running, 1 preempted, 1 failed",
        "K, steps: 12",
        "FloatingPointError",
        "Training slows it.",
    ):
        assert said in page
        assert said in text
    for name in ("run-aa", "run-bb", "run-cc", "run-dd", "run-ee"):
        assert name in page
        assert name in text
    assert {link for link in links(page) if (results / link).is_file()} == {
        "fade/run-aa/report.html",
        "fade/run-bb/report.html",
    }
    assert "It \\| does \\<b\\>." in text


def test_a_run_is_shown_with_its_first_figure_and_its_answer(results):
    save_run(results / "fade" / "smoke-ff")
    report.overview(results)
    page = Page((results / "index.html").read_text())
    pictures = [unquote(part[1]["src"]) for part in page.all("img")]
    assert pictures == [f"fade/{name}/norms.png" for name in ("run-aa", "run-bb", "smoke-ff")]
    assert all((results / picture).is_file() for picture in pictures)
    (smoke,) = page.all("p", **{"class": "smoke"})
    assert smoke[3].startswith("SMOKE: ")
    text = (results / "RESULTS.md").read_text()
    assert text.count("It \\| does") == text.count("After 12 steps.") == 2
    assert text.count("SMOKE: ") == 1
    assert page.words().count("K, steps: 12 [10, >20]") == 2


def test_plots_and_reports_are_drawn_again(results):
    report.overview(results)
    for name in ("norms.png", "norms.svg", "report.html"):
        assert (results / "fade" / "run-aa" / name).is_file()
        assert not (results / "fade" / "run-cc" / name).exists()


def test_a_run_that_describes_no_report_shows_the_numbers_of_its_summary(results):
    save_json(results / "fade" / "run-bb" / "summary.json", {"loss": 0.25, "curve": [1, 2]})
    (results / "fade" / "run-bb" / "arrays.npz").unlink()
    runs = {run.folder.name: run for run in report.overview(results)}
    assert (runs["run-bb"].status, runs["run-bb"].key_figures) == ("finished", (KeyFigure("loss", "0.25"),))
    for name in ("index.html", "RESULTS.md"):
        text = (results / name).read_text()
        assert "loss: 0.25" in text
        assert "run-bb/report.html" in text


def test_settings_that_differ_are_named_and_others_are_not(results):
    runs = {run.folder.name: run.settings for run in report.overview(results)}
    assert runs["run-aa"] == {"seeds": "2"}
    assert runs["run-bb"] == {"seeds": "7"}
    assert runs["run-ee"] == {"seeds": "9"}


def hostile(field, value):
    return lambda folder: save_json(
        folder / "summary.json", {"report": json.loads(json.dumps(REPORT.to_json())) | {field: value}}
    )


DAMAGE = {
    "arrays cut short": lambda folder: os.truncate(folder / "arrays.npz", 100),
    "arrays gone": lambda folder: (folder / "arrays.npz").unlink(),
    "settings gone": lambda folder: (folder / "config.json").unlink(),
    "summary of noise": lambda folder: (folder / "summary.json").write_bytes(b"\x00\xff"),
    "run.json gone": lambda folder: (folder / "run.json").unlink(),
    "an unknown status": lambda folder: save_json(folder / "run.json", {"status": "excellent"}),
    "a figure that leads out": hostile("figures", [dataclasses.asdict(REPORT.figures[0]) | {"name": "../../stolen"}]),
    "a figure of no panels": hostile("figures", [3]),
    "findings that are no list": hostile("findings", 3),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_run_is_named_and_the_others_go_on(results, damage, capsys):
    damage(results / "fade" / "run-bb")
    before = set(results.parent.rglob("*"))
    assert main(["report", str(results)]) == 1
    printed = capsys.readouterr()
    assert "their files cannot be read: fade/run-bb" in printed.err
    assert "damaged: fade/run-bb" in printed.out
    assert "run-aa/report.html" in (results / "RESULTS.md").read_text()
    written = set(results.parent.rglob("*")) - before
    assert written
    assert all(results in path.parents and "stolen" not in path.name for path in written)


def test_the_command_says_what_it_wrote(results, capsys):
    assert main(["report", str(results)]) == 0
    printed = capsys.readouterr().out
    assert "5 runs: 2 finished, 1 running, 1 preempted, 1 failed" in printed
    assert "preempted: fade/run-dd: to go on: python fade.py" in printed
    assert f"Written: {results / 'index.html'} and {results / 'RESULTS.md'}" in printed


def test_names_that_mean_something_to_html_and_markdown(tmp_path):
    save_run(
        tmp_path / "<b>x" / "run`[1](http:)|", said=dataclasses.replace(REPORT, question="<script>alert()</script>")
    )
    report.overview(tmp_path)
    Page((tmp_path / "index.html").read_text())
    text = (tmp_path / "RESULTS.md").read_text()
    assert "\\<script\\>" in text
    assert "[1](" not in text


@pytest.mark.parametrize("kind", ["missing", "file", "empty"])
def test_no_folder_of_runs(tmp_path, kind, capsys):
    path = tmp_path / kind
    if kind == "file":
        path.write_text("x")
    if kind == "empty":
        path.mkdir()
    assert main(["report", str(path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"recurrax: {path}: expected ")
    assert error.count("\n") == 1
    assert not list(tmp_path.rglob("*.html"))


def test_links_are_not_followed(results, tmp_path):
    elsewhere = save_run(tmp_path / "elsewhere" / "run-zz")
    (results / "fade" / "run-link").symlink_to(elsewhere)
    assert "run-link" not in [run.folder.name for run in report.overview(results)]
    assert not (elsewhere / "report.html").exists()


def test_one_run_is_a_folder_of_runs_too(results):
    (run,) = report.overview(results / "fade" / "run-aa")
    assert (run.status, run.link) == ("finished", "report.html")


def test_reports_are_made_without_jax(results):
    code = (
        "import sys; from recurrax.cli import main; status = main(sys.argv[1:]); "
        "print([name for name in ('jax', 'jaxlib', 'flax', 'optax', 'scipy.stats') if name in sys.modules], status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "report", str(results)], capture_output=True, text=True, timeout=180
    )
    assert done.stdout.strip().endswith("[] 0"), done.stderr
