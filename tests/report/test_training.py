"""A run of `open_run` and `fit_saved` alone is drawn from what it logged and probed."""

import hashlib
import io
import json

import numpy as np
import pytest

from recurrax import report
from recurrax.cli import main
from recurrax.files import append_lines, save_arrays, save_json
from recurrax.report import KeyFigure

LOSSES = np.array([[1.0, 2.0, 6.0], [0.5, 1.0, 3.0], [0.25, 0.5, np.nan], [0.125, 0.25, 0.75]])
"""(steps, S); the NaN is null in the file."""
PROBES = {
    ".probes['held out']['accuracy']": np.arange(6.0).reshape(2, 3),  # (P, S)
    ".probes['lag'].lag": np.zeros((2, 3, 5), int),
    ".probes['lag'].log_norm": -np.arange(60.0).reshape(2, 3, 5, 2),  # (P, S, T, rows)
}


def save_checkpoint(folder, arrays, step=4):
    folder.mkdir(parents=True)
    buffer = io.BytesIO()
    header = np.frombuffer(json.dumps({"config": "x"}).encode(), np.uint8)
    np.savez(buffer, header=header, **arrays)
    name = f"step-{step:09d}-{hashlib.sha256(buffer.getvalue()).hexdigest()}.npz"
    (folder / name).write_bytes(buffer.getvalue())
    return folder / name


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "adding" / "elman-0a"
    folder.mkdir(parents=True)
    save_json(folder / "config.json", {"length": 10})
    save_json(folder / "run.json", {"experiment": "adding", "status": "finished", "command": "python own.py"})
    append_lines(
        folder / "metrics.jsonl",
        ({"step": step, "loss": losses, "log_gradient_norm": -losses} for step, losses in enumerate(LOSSES)),
    )
    save_checkpoint(folder / "checkpoints", PROBES | {".probe_steps": np.array([0, 4])})
    return folder


def test_losses_and_probes_are_drawn(run):
    saved = report.load(run)
    assert [figure.name for figure in saved.report.figures] == ["loss", "probes", "metrics"]
    drawn = {panel.title: panel for figure in saved.report.figures for panel in figure.panels}
    assert list(drawn) == ["loss", "held out.accuracy", "lag.log_norm", "log_gradient_norm"]
    (loss,) = drawn["loss"].lines
    np.testing.assert_array_equal(saved.arrays[loss.y], LOSSES.T)
    np.testing.assert_array_equal(saved.arrays[loss.x], range(4))
    (accuracy,) = drawn["held out.accuracy"].lines
    np.testing.assert_array_equal(saved.arrays[accuracy.y], PROBES[".probes['held out']['accuracy']"].T)
    np.testing.assert_array_equal(saved.arrays[accuracy.x], [0, 4])
    before, after = drawn["lag.log_norm"].lines
    assert (before.label, after.label) == ("at step 0", "at step 4")
    np.testing.assert_array_equal(saved.arrays[after.y], PROBES[".probes['lag'].log_norm"][1].mean(axis=-1))
    assert [drawn[name].y_scale for name in ("loss", "lag.log_norm", "log_gradient_norm")] == ["linear", "exp", "exp"]
    assert saved.report.key_figures == (KeyFigure("loss at step 3", "0.25, median of 3 networks"),)


def test_the_command_shows_it_as_finished(run, capsys):
    assert main(["report", str(run.parents[1])]) == 0
    assert "1 runs: 1 finished" in capsys.readouterr().out
    for name in ("loss.png", "probes.svg", "report.html"):
        assert (run / name).is_file()
    page = (run / "report.html").read_text()
    assert "Finished, without a summary." in page
    assert "python own.py" in page


def test_trainings_with_names_share_a_panel(run):
    for name in ("gru", "lstm"):
        (run / name).mkdir()
        append_lines(run / name / "metrics.jsonl", [{"training": name, "step": 0, "loss": 0.5}, {"step": 1, "loss": 1}])
    panels = {panel.title: panel for figure in report.load(run).report.figures for panel in figure.panels}
    assert [line.label for line in panels["loss"].lines] == ["loss", "gru", "lstm"]
    assert "gru loss at step 1: 1." in report.load(run).report.answer


def test_what_there_is_suffices(run):
    for path in (run / "metrics.jsonl", *(run / "checkpoints").iterdir()):
        path.unlink()
    assert report.load(run).report.figures == ()
    save_arrays(run / "arrays.npz", {"mine": np.zeros((2, 3))})
    save_json(run / "summary.json", {"numbers": {"speed": 2.5}, "ok": True})
    assert report.load(run).report.tables[0].rows == (("mine", "(2, 3)", "float64"),)
    assert report.load(run).report.key_figures == (KeyFigure("speed", "2.5"),)
    assert report.render(run).is_file()


def test_a_damaged_line_is_named_and_a_damaged_checkpoint_left_out(run, capsys):
    newest = save_checkpoint(run / "later" / "checkpoints", {".probe_steps": np.array([0])}, step=9)
    newest.write_bytes(newest.read_bytes()[:-1])
    assert [figure.name for figure in report.load(run).report.figures] == ["loss", "probes", "metrics"]
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text(lines[0] + "{not json\n" + lines[2] + '{"cut short')
    assert main(["report", str(run)]) == 1
    said = "metrics.jsonl: expected a JSON object in every line, got something else in line 2\n"
    assert capsys.readouterr().out.count(said) == 1
    (run / "metrics.jsonl").write_text(lines[0] + '{"cut short')
    assert report.load(run).report.key_figures[0].name == "loss at step 0"


def test_a_run_under_way_has_no_report(run):
    save_json(run / "run.json", {"status": "running"})
    with pytest.raises(ValueError, match="expected a finished run, got one whose status is 'running'"):
        report.load(run)
