"""What all tasks of files do with sequences: scaling, alignment, the part held out, landmarks, masks."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recurrax import Elman, tasks, train
from recurrax.tasks.examples import collect
from tests import made_files
from tests.tolerances import assert_close

pytestmark = pytest.mark.usefixtures("quick_compile")

CLASSES = ["b", "a", "b", "a", "b"] * 4 + ["b"]
"""8 of a, of which 1 is held out, and 13 of b, of which 2 are."""


def test_sequences_end_together_and_features_are_scaled_by_those_trained_on():
    sequences, held = made_files.series(len(CLASSES)), np.arange(len(CLASSES)) % 4 == 1
    data = collect(sequences, CLASSES, "made", held=held)
    assert data.labels == ("a", "b")
    steps = np.concatenate([sequence for sequence, out in zip(sequences, held, strict=True) if not out])
    for part, places in ((data.train, np.flatnonzero(~held)), (data.held, np.flatnonzero(held))):
        assert len(part.xs) == max(map(len, sequences))
        assert ["ab"[target] for target in part.targets] == [CLASSES[place] for place in places]
        for row, place in enumerate(places):
            length = len(sequences[place])
            np.testing.assert_array_equal(part.mask[:, row], np.arange(len(part.mask)) >= len(part.mask) - length)
            assert (part.xs[:-length, row] == 0).all()
            expected = (sequences[place] - steps.mean(axis=0)) / steps.std(axis=0)
            np.testing.assert_allclose(part.xs[-length:, row], expected, rtol=1e-5, atol=1e-6)


def test_a_fifth_of_every_class_is_held_out():
    data = collect(made_files.series(len(CLASSES)), CLASSES, "made")
    held = [data.labels[number] for number in data.held.targets]
    assert sorted(held) == ["a", "b", "b"]
    assert len(data.train.targets) + len(held) == len(CLASSES)
    with pytest.raises(ValueError, match="made: expected at least 5 sequences of a class, so that one can be held out"):
        collect(made_files.series(4), ["a"] * 4, "made")


def test_a_feature_that_never_changes_becomes_zero():
    sequences = [np.stack([np.full(3, 7.0), np.arange(3) + place], axis=1) for place in range(5)]
    data = collect(sequences, ["a"] * 5, "made")
    assert (data.train.xs[..., 0] == 0).all()


def write_csv(path, targets, sequences):
    rows = [
        f"{name},{target},{','.join(map(str, step))}"
        for name, (target, steps) in enumerate(zip(targets, sequences, strict=True))
        for step in steps
    ]
    path.write_text("\n".join(["sequence,target,u,v", *rows]))
    return str(path)


def test_landmarks_of_classes_by_hand(tmp_path):
    task = tasks.Tables(write_csv(tmp_path / "own.csv", CLASSES, made_files.series(len(CLASSES))))
    assert task.landmarks["nothing known"] == math.log(2)
    # 7 of a and 11 of b are trained on, one added to each; 1 of a and 2 of b are held out.
    by_hand = -(math.log(8 / 20) + 2 * math.log(12 / 20)) / 3
    assert task.landmarks["frequencies known"] == pytest.approx(by_hand, rel=1e-12)
    assert task.majority == pytest.approx(2 / 3)
    shares = jnp.log(jnp.array([8 / 20, 12 / 20]))
    held = task.held_out(3)
    assert float(task.loss(jnp.broadcast_to(shares, (3, 2)), held)) == pytest.approx(by_hand, rel=1e-6)


def test_landmarks_of_numbers_by_hand(tmp_path):
    numbers = np.arange(10.0) ** 2
    task = tasks.Tables(write_csv(tmp_path / "own.csv", numbers.tolist(), made_files.series(10)), numbers=True)
    held = np.asarray(task.held_out(2).targets)[:, 0]
    trained = sorted(set(numbers.tolist()) - set(held.tolist()))
    assert len(trained) == 8
    expected = np.mean((held - np.mean(trained)) ** 2)
    assert task.landmarks == {"mean predicted": pytest.approx(expected, rel=1e-6)}
    batch = task.batch(jax.random.key(0), 6)
    assert set(np.asarray(batch.targets)[:, 0].tolist()) <= set(trained)
    guesses = jnp.full((2, 1), np.mean(trained))
    assert float(task.loss(guesses, task.held_out(2))) == pytest.approx(expected, rel=1e-5)
    assert (task.unit, task.output_size) == ("squared error", 1)
    almost = task.scores(batch.targets + 0.09 * np.std(trained), batch)["accuracy"]
    assert (almost, task.scores(batch.targets + 0.11 * np.std(trained), batch)["accuracy"]) == (1, 0)


def test_the_mask_lets_a_readout_see_each_sequence_alone(tmp_path):
    task = made_files.time_series(tmp_path).with_lag(6)
    model = train.Readout(Elman(4), task.input_size, task.output_size, task.every_step)
    params = model.init(jax.random.key(0))
    params = params._replace(cell=params.cell._replace(bias=params.cell.bias + 0.5))  # a cell that moves by itself
    batch = task.held_out(8)
    predict = jax.jit(model.predict)
    together = predict(params, batch.xs, batch.mask)
    lengths = np.asarray(batch.mask).sum(axis=0)
    assert len(set(lengths.tolist())) > 1
    for row in (int(lengths.argmin()), int(lengths.argmax())):
        alone = predict(params, batch.xs[-lengths[row] :, row : row + 1])
        assert_close(together[row], alone[0], "float32")
    assert not np.allclose(predict(params, batch.xs), together)


def test_silence_is_appended_and_heard(tmp_path):
    task = made_files.time_series(tmp_path)
    short, long = task.held_out(4), task.with_lag(task.lag + 3).held_out(4)
    np.testing.assert_array_equal(long.xs[:-3], short.xs)
    np.testing.assert_array_equal(long.xs[-3:], 0)
    assert np.asarray(long.mask[-3:]).all()
    np.testing.assert_array_equal(long.targets, short.targets)


def test_arrays_are_the_sequences_trained_on(tmp_path):
    task = made_files.time_series(tmp_path).with_lag(6)
    batches = task.arrays(batch_size=4)
    count = len(task.data.train.targets)
    batch = batches(seed=0, step=2)
    assert batches.size == count
    known = {xs.tobytes(): target for xs, target in zip(np.moveaxis(batches.xs, 1, 0), batches.targets, strict=True)}
    for row in range(4):
        assert known[batch.xs[:, row].tobytes()] == batch.targets[row]
        first = np.flatnonzero(batch.mask[:, row])[0]
        assert (batch.xs[:first, row] == 0).all()
    held = {xs.tobytes() for xs in np.moveaxis(np.asarray(task.held_out(8).xs), 1, 0)}
    assert not held & known.keys()
    assert batch.batch_axes.mask == 1


def test_refuses_more_than_is_held_out(tmp_path):
    task = made_files.time_series(tmp_path)
    with pytest.raises(ValueError, match="batch_size: expected at most the 8 sequences held out, got 9"):
        task.held_out(9)
    with pytest.raises(ValueError, match="silence: expected an int of at least 0, got -1"):
        tasks.TimeSeries("any", silence=-1)
