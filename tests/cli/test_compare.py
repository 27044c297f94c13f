"""`recurrax compare` and `recurrax claims`: questions without a script."""

import dataclasses
import inspect
import json
import re
import shutil
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from recurrax import report
from recurrax.cli import main
from recurrax.cli.compare import compare
from recurrax.study.comparison import INSTRUMENTS, ComparisonSettings, Instruments

OWN = str(Path(__file__).parents[1] / "own.py")


def test_the_flags_are_those_of_the_comparison():
    flags, fields = (
        inspect.signature(compare).parameters,
        {entry.name: entry for entry in dataclasses.fields(ComparisonSettings)},
    )
    for name, flag in flags.items():
        assert flag.default == fields[name].default, name
    assert set(fields) - set(flags) == {"replot", "track", "quick"}
    assert set(get_args(Instruments)) == set(get_args(flags["instrument"].annotation)) == set(INSTRUMENTS)


def test_ones_own_cell_and_task_are_compared_trained_and_resumed(tmp_path, capsys):
    command = ["compare", "--smoke", "--cells", f"{OWN}:Leaky", "--tasks", f"{OWN}:Echo", "--out", str(tmp_path)]
    assert main(command) == 0
    shown = capsys.readouterr().out
    (folder,) = (tmp_path / "compare").iterdir()
    saved = report.load(folder)
    drawn, trained, learned = saved.report.tables
    assert drawn.rows[0][:2] == trained.rows[0][:2] == learned.rows[0][:2] == ("Echo", "Leaky")
    assert not np.array_equal(saved.arrays["drawn.Echo.Leaky"], saved.arrays["trained.Echo.Leaky"])
    assert {path.name for path in folder.glob("*.png")} == {"adjoint.png", "loss.png"}
    assert main(command) == 0
    assert capsys.readouterr().out == shown


def test_networks_on_two_devices_are_those_on_one_and_go_on_there(tmp_path):
    command = ["compare", "--smoke", "--cells", f"{OWN}:Leaky", "elman", "--tasks", f"{OWN}:Echo", "--seeds", "3"]
    for devices in "12":
        assert main([*command, "--row-devices", devices, "--out", str(tmp_path / devices)]) == 0
    one, two = (next((tmp_path / devices / "compare").iterdir()) for devices in "12")
    assert one.name == two.name, "settings of the run alone name it"
    assert (one / "arrays.npz").read_bytes() == (two / "arrays.npz").read_bytes()


@pytest.mark.parametrize("instrument", sorted(set(INSTRUMENTS) - {"adjoint"}))
def test_every_instrument_gives_a_table_and_a_figure(instrument, tmp_path):
    command = ["compare", "--smoke", "--steps", "0", "--cells", "gru", "--instrument", instrument]
    assert main([*command, "--out", str(tmp_path)]) == 0
    (folder,) = (tmp_path / "compare").iterdir()
    saved = report.load(folder)
    assert len(saved.report.tables) == 1
    assert (folder / f"{instrument}.png").is_file()
    assert np.isfinite(saved.arrays["drawn.adding.gru"]).all()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--cells", "lstn"], "cells: expected one of"),
        (["--tasks", "addinf"], "the nearest is 'Adding'"),
        (["--tasks", "adding:length=1"], "adding:length=1: length: expected an int of at least 2, got 1"),
        (["--cells", "lstm", "LSTM"], "cells: expected at least one and no two alike"),
        (["--lags", "19"], "lags: expected at least 20, got 19"),
        (["--row-devices", "0"], "row_devices: expected at least 1, got 0"),
        (["--row-devices", "3"], "row_devices: expected at most 2, the number of devices, got 3"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_computed(flags, said, tmp_path, capsys):
    assert main(["compare", *flags, "--out", str(tmp_path / "results")]) == 2
    written = capsys.readouterr().err
    assert said in written
    assert written.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def run(root, name, finished, verdict, status="finished", experiment="alphas"):
    folder = root / experiment / name
    folder.mkdir(parents=True)
    about = {"experiment": experiment, "status": status, "finished": finished, "command": "python alphas.py --out here"}
    claim = {"statement": "A half is more.", "verdict": verdict, "sentences": [f"{verdict}: θ"], "comparisons": []}
    for file, content in (("run", about), ("config", {}), ("summary", {"claims": [claim]})):
        (folder / f"{file}.json").write_text(json.dumps(content))
    return folder


def test_the_latest_verdict_on_every_claim_is_shown_and_written(tmp_path, capsys):
    run(tmp_path, "run-1", "2026-01-02T00:00", "supported")
    run(tmp_path, "run-2", "2026-01-01T00:00", "refuted")
    run(tmp_path, "run-3", "2026-01-03T00:00", "undecided", status="running")
    run(tmp_path, "smoke-4", "2026-01-04T00:00", "depends on luck")
    docs = tmp_path / "docs"
    assert main(["claims", str(tmp_path), "--docs", str(docs)]) == 0
    assert "Supported (alphas, 2026-01-02)." in capsys.readouterr().out
    text = (docs / "claims.md").read_text()
    assert "## A half is more." in text
    assert "`python alphas.py`, 2026-01-02." in text
    (claim,) = json.loads((docs / "claims.json").read_text())["claims"]
    assert (claim["run"], claim["saved"]["verdict"]) == ("alphas/run-1", "supported")


def test_verdicts_are_those_of_the_runs_and_go_with_them(tmp_path):
    docs = tmp_path / "docs"
    run(tmp_path, "run-1", "2026-01-02T00:00", "supported")
    measured = run(tmp_path, "run-2", "2026-01-02T00:00", "refuted", experiment="forgetting")
    run(tmp_path, "quick-3", "2026-01-05T00:00", "undecided", experiment="forgetting")

    def rows():
        assert main(["claims", str(tmp_path), "--docs", str(docs)]) == 0
        return [line for line in (docs / "claims.md").read_text().splitlines() if re.match(r"\| \d+ \|", line)]

    twelve = rows()
    assert len(twelve) == 12
    assert "| **refuted** |" in twelve[1]
    assert [line.split(" | ")[2] for line in twelve].count("not measured") == 11
    shutil.rmtree(measured)
    assert "| **undecided** |" in rows()[1], "a --quick run stands where there is no other"
    shutil.rmtree(measured.with_name("quick-3"))
    assert [line.split(" | ")[2] for line in rows()] == ["not measured"] * 12


def test_verdicts_of_other_runs_stay_where_that_is_asked_for(tmp_path):
    first, second, docs = tmp_path / "first", tmp_path / "second", tmp_path / "docs"
    run(first, "run-1", "2026-01-02T00:00", "supported")
    run(first, "run-1", "2026-01-02T00:00", "refuted", experiment="betas")
    run(second, "run-1", "2026-01-03T00:00", "undecided", experiment="betas")
    run(second, "quick-1", "2026-01-04T00:00", "refuted")
    assert main(["claims", str(first), "--docs", str(docs)]) == 0
    assert main(["claims", str(second), "--docs", str(docs), "--keep"]) == 0
    kept = json.loads((docs / "claims.json").read_text())["claims"]
    found = [(one["experiment"], one["finished"][:10], one["saved"]["verdict"]) for one in kept]
    assert found == [("alphas", "2026-01-02", "supported"), ("betas", "2026-01-03", "undecided")]
    assert main(["claims", str(second), "--docs", str(docs)]) == 0
    assert [one["saved"]["verdict"] for one in json.loads((docs / "claims.json").read_text())["claims"]] == [
        "refuted",
        "undecided",
    ]


def test_what_papers_report_has_a_page_of_its_own(tmp_path, capsys):
    published = {"paper": "Known (1999)", "finding": "Twice as soon.", "setting": "A larger one there."}
    folder, docs = run(tmp_path, "run-1", "2026-01-02T00:00", "refuted"), tmp_path / "docs"
    summary = json.loads((folder / "summary.json").read_text())
    summary["claims"].append({**summary["claims"][0], "statement": "It is sooner.", "published": published})
    summary["report"] = {"key_figures": [{"name": "steps", "value": "lstm 9"}]}
    (folder / "summary.json").write_text(json.dumps(summary))
    assert main(["claims", str(tmp_path), "--docs", str(docs)]) == 0
    assert "reproductions.md" in "".join(capsys.readouterr().out)
    assert "sooner" not in (docs / "claims.md").read_text()
    page = (docs / "reproductions.md").read_text()
    assert "A half is more" not in page
    for line in ("**Refuted.**", "- Published: Twice as soon. Known (1999).", "- Here: steps: lstm 9."):
        assert line in page
    (kept,) = json.loads((docs / "reproductions.json").read_text())["claims"]
    assert kept["saved"]["published"] == published


def test_without_claims_it_says_so(tmp_path, capsys):
    assert main(["claims", str(tmp_path)]) == 1
    assert "expected finished runs with claims in it, found none" in capsys.readouterr().err
