"""The experiment on gradient decay: it runs, says what it saved, and finds what has to be found."""

import contextlib
import doctest
import hashlib
import io
import itertools
import json
import os
import signal

import _command
import _profiles as profiles
import gradient_decay
import jax
import numpy as np
import pytest
from _text import FoldedCharacters

from recurrax import report, tasks
from recurrax.runs import checkpoint


class CrashError(Exception):
    pass


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A smoke run on one kind of input: its folder and what it printed."""
    out, printed = tmp_path_factory.mktemp("results"), io.StringIO()
    with _command.shared_compilations():  # for the other runs of this module too
        with contextlib.redirect_stdout(printed):
            assert run(out) == 0
        yield only_folder(out), printed.getvalue()


def run(out):
    # As the fixture `quick_compile`, which a fixture of the module cannot use: nearly all of a run is compiling.
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        return _command.main(
            "gradient_decay",
            gradient_decay.Config,
            gradient_decay.SMOKE,
            gradient_decay.plan,
            gradient_decay.finish,
            ["--smoke", "--inputs", "adding", "--out", str(out)],
        )
    finally:
        jax.config.update("jax_disable_most_optimizations", False)


def only_folder(out):
    (folder,) = (out / "gradient_decay").iterdir()
    return folder


def config(**changes):
    return gradient_decay.Config(**gradient_decay.SMOKE | {"inputs": ("adding",)} | changes)


def test_a_smoke_run_leaves_every_file(finished):
    folder, printed = finished
    figures = {f"{name}.{kind}" for name in ("gradient_decay", "decay_rate", "loss") for kind in ("png", "svg")}
    texts = {"config.json", "run.json", "metrics.jsonl", "arrays.npz", "summary.json", "report.html"}
    assert figures | texts <= {path.name for path in folder.iterdir()}
    assert str(folder / "report.html") in printed
    assert "chrono" in printed


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

    end_at(2, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit) as stopped:
        run(tmp_path)
    assert stopped.value.code == 143
    assert "all saved; to go on: " in capfd.readouterr().err
    folder = only_folder(tmp_path)
    assert json.loads((folder / "run.json").read_text())["status"] == "preempted"
    assert {name.split("-")[1] for name in by_hash(folder)[1].values()} <= {"000000000", "000000001", "000000004"}

    monkeypatch.setattr(checkpoint, "restore", spy)
    end_at(next(saved) + 3, crash)
    with pytest.raises(CrashError):
        run(tmp_path)
    monkeypatch.setattr(checkpoint, "save", save)
    assert run(tmp_path) == 0
    assert {0, 1} & set(restored), "no training went on from inside"
    assert by_hash(folder) == by_hash(finished[0])


def test_every_number_follows_from_the_saved_arrays(finished):
    saved = report.load(finished[0])
    again = gradient_decay.finish(config(), saved.arrays)
    assert again.report == saved.report
    assert json.loads(json.dumps(again.numbers)) == saved.summary["numbers"]


def test_metrics_have_a_line_for_every_step_of_every_cell(finished):
    lines = [json.loads(line) for line in (finished[0] / "metrics.jsonl").read_text().splitlines()]
    steps = {(line["cell"], line["step"]): line for line in lines if "step" in line}
    assert len(steps) == 6 * config().steps
    arrays = report.load(finished[0]).arrays
    for (cell, step), line in steps.items():
        np.testing.assert_array_equal(np.float32(line["loss"]), arrays[f"loss.adding.{cell}"][:, step])


def test_the_curves_at_step_0_are_those_of_untrained_networks(finished):
    arrays = report.load(finished[0]).arrays
    assert arrays["probe_step"].tolist()[0] == 0
    for arm in profiles.arms(8, 200):
        np.testing.assert_array_equal(arrays[f"initial.adding.{arm.name}"][:, 0], 0)
        during = arrays[f"during.adding.{arm.name}"]
        assert during.shape == (3, 2, 17)
        assert np.abs(during[-1] - during[0]).max() > 0


def test_without_training_there_is_one_table_and_one_figure():
    rng = np.random.default_rng(0)
    arrays = {f"initial.adding.{arm.name}": -np.cumsum(rng.random((2, 17)), axis=1) for arm in profiles.arms(8, 200)}
    said = gradient_decay.finish(config(steps=0), arrays).report
    assert (len(said.tables), len(said.figures)) == (1, 1)


@pytest.fixture(scope="module")
def at_100():
    """Relative log norms at lag 100 of 10 fresh networks with 128 units, by inputs and cell."""
    with _command.shared_compilations():
        return {
            (inputs, arm.name): profiles.median_curves(
                profiles.at_initialisation(arm, profiles.inputs(inputs, 101, 32), range(10), rows=4)
            )[:, 100]
            for inputs in ("adding", "characters")
            for arm in profiles.arms(128, 200)
            if arm.name in ("elman_uniform", "lstm_0", "lstm_1", "lstm_chrono")
        }


@pytest.mark.parametrize(
    ("arm", "least", "most"),
    [
        ("elman_uniform", 1e-40, 1e-18),
        ("lstm_0", 1e-40, 1e-10),
        ("lstm_1", 1e-6, 1e-1),
        ("lstm_chrono", 0.05, 0.6),
    ],
)
@pytest.mark.parametrize("inputs", ["adding", "characters"])
def test_norms_a_hundred_steps_back_at_initialisation(arm, least, most, inputs, at_100):
    """Any of 10 networks: what an independent measurement found, with room on both sides."""
    norms = at_100[inputs, arm]
    assert norms.shape == (10,)
    assert (norms < np.log(most)).all()
    assert (norms > np.log(least)).all()


def test_the_words_for_lags_and_norms():
    assert doctest.testmod(profiles).failed == 0
    assert profiles.power(np.log(9.7e-7)) == "1e-06"
    assert profiles.listed(["a", "b", "c"]) == "a, b and c"


def test_one_of_each_class_comes_first():
    names = [arm.name for arm in profiles.interleaved(profiles.arms(4, 200))]
    assert names[:3] == ["elman_uniform", "gru", "lstm_0"]
    assert sorted(names) == sorted(arm.name for arm in profiles.arms(4, 200))


def test_folding_keeps_the_frequent_characters_and_counts_the_rest_as_one():
    folded, corpus = FoldedCharacters(length=10, symbols=5), tasks.Characters(length=10).corpus
    frequent = sorted(set(corpus.vocabulary), key=lambda c: -corpus.text.count(c))[:4]
    assert sorted(folded.corpus.vocabulary[:4]) == sorted(frequent)
    assert folded.input_size == 5
    counts = np.bincount(folded.corpus.ids)
    assert counts[:4].tolist() == [corpus.text.count(c) for c in folded.corpus.vocabulary[:4]]
    assert counts.sum() == len(corpus.ids)


def test_folded_batches_are_the_same_windows():
    folded, characters = FoldedCharacters(length=10, symbols=5), tasks.Characters(length=10)
    few, all_ = (task.batch(jax.random.key(0), 3) for task in (folded, characters))
    symbols, vocabulary = folded.corpus.vocabulary, characters.corpus.vocabulary
    text = np.frombuffer(vocabulary, np.uint8)[np.asarray(all_.targets)]
    expected = [symbols.index(c) if c in symbols[:4] else 4 for c in text.ravel().tolist()]
    assert np.asarray(few.targets).ravel().tolist() == expected
    np.testing.assert_array_equal(np.argmax(few.xs[1:], axis=-1), few.targets[:-1])


def test_folding_nothing_keeps_every_character():
    folded, characters = FoldedCharacters(length=10, symbols=0), tasks.Characters(length=10)
    assert folded.input_size == characters.input_size
    known = "current character known"
    assert folded.landmarks[known] == pytest.approx(characters.landmarks[known], rel=1e-12)
    with pytest.raises(ValueError, match="symbols: expected 0"):
        FoldedCharacters(length=10, symbols=1)
