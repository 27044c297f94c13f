"""The experiment on gradient decay: it goes on where it was cut, and finds what has to be found."""

import hashlib
import itertools
import json
import os
import signal
import time

import gradient_decay
import numpy as np
import pytest

from recurrax import report, study, train
from recurrax.runs import checkpoint
from recurrax.study import named, networks

CELLS = ["elman"]


class CrashError(Exception):
    pass


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a smoke run."""
    out = tmp_path_factory.mktemp("results")
    with study.shared_compilations():  # for the other runs of this module too
        assert run(out) == 0
        yield only_folder(out)


def run(out):
    return study.main(gradient_decay.EXPERIMENT, ["--smoke", "--out", str(out)])


def only_folder(out):
    (folder,) = (out / "gradient_decay").iterdir()
    return folder


def by_hash(folder):
    """The arrays by their SHA-256, and the last state of every training by the one in its checkpoint's name."""
    arrays = hashlib.sha256((folder / "arrays.npz").read_bytes()).hexdigest()
    return arrays, {path.parent.parent.name: path.name for path in sorted(folder.glob("*/checkpoints/step-*"))}


def test_stopped_and_killed_inside_a_training_it_goes_on_there(finished, tmp_path, monkeypatch, capfd):
    save, restore = checkpoint.save, checkpoint.restore
    saved, restored = itertools.count(1), []

    def end_at(number, end):
        def save_and_end(*arguments, **options):
            path = save(*arguments, **options)
            if next(saved) == number:
                end()
            return path

        monkeypatch.setattr(checkpoint, "save", save_and_end)

    def crash():
        monkeypatch.setattr(checkpoint, "save", lambda *arguments, **options: pytest.fail("saved after the crash"))
        raise CrashError

    def spy(*arguments):
        found = restore(*arguments)
        restored.append(found and found.header["step"])
        return found

    def ask_to_stop():
        # The handler runs in the main thread: a training of milliseconds may end before that gets its turn.
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000):
            if "SIGTERM: saving" in capfd.readouterr().err:
                return
            time.sleep(0.01)
        pytest.fail("the signal was not noticed within 10 s")

    end_at(1, ask_to_stop)
    with pytest.raises(SystemExit) as stopped:
        run(tmp_path)
    assert stopped.value.code == 143
    assert "all saved; to go on: " in capfd.readouterr().err
    folder = only_folder(tmp_path)
    assert json.loads((folder / "run.json").read_text())["status"] == "preempted"

    monkeypatch.setattr(checkpoint, "restore", spy)
    end_at(next(saved) + 1, crash)
    with pytest.raises(CrashError):
        run(tmp_path)
    monkeypatch.setattr(checkpoint, "save", save)
    assert run(tmp_path) == 0
    assert {0, 1} & set(restored), "no training went on from inside"
    assert by_hash(folder) == by_hash(finished)


def test_every_number_follows_from_the_saved_arrays(finished):
    saved = report.load(finished)
    settings = gradient_decay.Settings(**gradient_decay.SMOKE, smoke=True)
    again = gradient_decay.EXPERIMENT.finish(settings, saved.arrays)
    assert (again.report.tables, again.report.figures) == (saved.report.tables, saved.report.figures)
    assert json.loads(json.dumps(again.numbers, default=str)).keys() == saved.summary["numbers"].keys() == {"adding"}


def test_every_step_of_every_training_is_in_its_metrics_and_the_runs(finished):
    whole = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    arrays, steps = report.load(finished).arrays, gradient_decay.SMOKE["steps"]
    for cell in named.cells(CELLS):
        lines = (finished / f"adding-{cell.slug}-trained" / "metrics.jsonl").read_text().splitlines()
        name = f"adding-{cell.slug}-trained"
        assert [line for line in whole if line.get("training") == name] == [json.loads(line) for line in lines]
        losses = np.array([json.loads(line)["loss"] for line in lines], np.float32)
        assert losses.shape == (steps, 2)
        np.testing.assert_array_equal(losses.T, arrays[f"loss.adding.{cell.label}"])


def test_the_curves_at_step_0_are_those_of_untrained_networks(finished):
    arrays = report.load(finished).arrays
    settings = gradient_decay.Settings(**gradient_decay.SMOKE)
    assert settings.probe_steps[0] == 0
    for label in CELLS:
        np.testing.assert_array_equal(arrays[f"initial.adding.{label}"][:, 0], 0)
        during = arrays[f"during.adding.{label}"]
        assert during.shape == (2, 3, 17)
        assert np.abs(during[:, -1] - during[:, 0]).max() > 0
        cell, task = named.cell(label).build(hidden_size=8), named.task("adding").build(length=17)
        params = train.Readout(cell, 2, 1, every_step=False).init(train.init_key(1)).cell
        at = networks.probe(cell, task, train.probe_key(1), rows=2)
        curve = networks.median_curves(np.asarray(networks.log_norms(cell, params, at))[None], 16)[0]
        np.testing.assert_allclose(during[1, 0], curve, atol=1e-4)


def test_the_claims_are_judged_from_the_curves_of_the_usual_cells():
    """Planted slopes: the verdicts follow from them, library by library."""
    settings = gradient_decay.Settings(tasks=("adding",), steps=0, seeds=10)
    slopes = {"elman:init=torch": 0.5, "lstm:init=torch,forget_bias=0": 0.45, "elman": 0.2, "lstm:forget_bias=1": 0.08}
    arrays = {}
    for cell in gradient_decay.EXPERIMENT.cells(settings):
        slope = slopes.get(cell.label, 0.0 if "identity" in cell.label else 0.3)
        arrays[f"initial.adding.{cell.label}"] = -slope * np.linspace(1, 1.01, 10)[:, None] * np.arange(201)
        arrays[f"seeds.initial.adding.{cell.label}"] = np.arange(10)
    found = gradient_decay.EXPERIMENT.finish(settings, arrays)
    by_level = [{one["level"]: one["verdict"] for one in claim["comparisons"]} for claim in found.claims]
    assert by_level == [
        {"PyTorch's start": "supported", "Flax's start": "supported", "identity and ReLU": "refuted"},
        {"PyTorch's start": "refuted", "Flax's start": "refuted", "forget bias 1": "supported", "chrono": "refuted"},
    ]
    assert [claim["verdict"] for claim in found.claims] == ["depends on initialisation"] * 2


def test_arms_of_the_claims_are_measured_beside_the_usual_cells_alone():
    own = gradient_decay.Settings(cells=("elman", "gru"))
    assert [cell.label for cell in gradient_decay.EXPERIMENT.cells(own)] == ["elman", "gru"]
    titles = gradient_decay.EXPERIMENT.plan(gradient_decay.Settings())
    assert "adding, elman:init=torch, drawn" in titles
    assert "adding, elman:init=torch, trained" not in titles


def test_without_training_there_is_one_table_and_one_figure():
    rng = np.random.default_rng(0)
    settings = gradient_decay.Settings(**gradient_decay.SMOKE | {"steps": 0})
    arrays = {}
    for label in CELLS:
        arrays[f"initial.adding.{label}"] = -np.cumsum(rng.random((2, 17)), axis=1)
        arrays[f"seeds.initial.adding.{label}"] = np.arange(2)
    said = gradient_decay.EXPERIMENT.finish(settings, arrays).report
    assert (len(said.tables), len(said.figures)) == (1, 1)
    assert said.figures[0].name == "at_initialisation"


@pytest.mark.parametrize("smoke", [True, False])
def test_the_first_figure_shows_the_same_networks_before_and_after_training(smoke):
    """Curves of one slope each, 0.25 k nats before and 0.5 k after: what is drawn and said follows from those."""
    settings = gradient_decay.Settings(**gradient_decay.SMOKE | {"cells": ("gru", "lstm"), "smoke": smoke})
    k, arrays = np.arange(17), {}
    for label, after in (("gru", 0.5), ("lstm", 0.1)):
        slopes = np.array([0.25, 0.3, after])[None, :, None] * np.ones((2, 1, 1))
        for name, array in {"during": -slopes * k, "initial": -k * np.ones((2, 1)), "loss": np.ones((2, 4))}.items():
            arrays |= {f"{name}.adding.{label}": array, f"seeds.{name}.adding.{label}": np.arange(2)}
    found = gradient_decay.EXPERIMENT.finish(settings, arrays)
    curves, reach, initial, *_ = found.report.figures
    assert [panel.title for panel in curves.panels] == ["adding, before training", "adding, after 4 Adam steps"]
    for panel, slope in zip(curves.panels, (0.25, 0.5), strict=True):
        np.testing.assert_allclose(found.arrays[panel.lines[0].y], -slope * np.tile(k, (2, 1)))
        assert panel.y_label == "gradient norm, relative to lag 0"
        assert panel.y_limits[0] == np.log(1e-12)
    assert initial.name == "at_initialisation"
    (panel,) = reach.panels
    assert panel.beyond == settings.lags
    assert [row.label for row in panel.rows] == ["gru", "lstm"]
    assert all((found.arrays[row.x] == np.inf).all() for row in panel.rows)
    at = settings.window[1]
    said = f"Training on adding: {at} steps back the median cell keeps 1e-01 → 7e-02 of its gradient"
    assert curves.finding == ("" if smoke else said)
    assert reach.finding == (
        "" if smoke else "Training on adding leaves the cells as far apart as they were: 2 → 2 of 2 beyond 16 steps"
    )


@pytest.fixture(scope="module")
def at_100():
    """Relative log norms at lag 100 of 10 fresh networks with 128 units, by task and cell."""
    with study.shared_compilations():
        return {
            (text, label): networks.drawn_curves(
                named.cell(label).build(hidden_size=128), named.task(text).build(), 100, range(10), rows=4
            )[:, 100]
            for text in gradient_decay.Settings.tasks
            for label in ("elman:init=uniform", "lstm:forget_bias=0", "lstm:forget_bias=1", "lstm:forget_bias=chrono")
        }


@pytest.mark.parametrize(
    ("label", "least", "most"),
    [
        ("elman:init=uniform", 1e-40, 1e-18),
        ("lstm:forget_bias=0", 1e-40, 1e-10),
        ("lstm:forget_bias=1", 1e-6, 1e-1),
        ("lstm:forget_bias=chrono", 0.05, 0.6),
    ],
)
@pytest.mark.parametrize("text", gradient_decay.Settings.tasks)
def test_norms_a_hundred_steps_back_at_initialisation(label, least, most, text, at_100):
    """Any of 10 networks: what an independent measurement found, with room on both sides."""
    norms = at_100[text, label]
    assert norms.shape == (10,)
    assert (norms < np.log(most)).all()
    assert (norms > np.log(least)).all()
