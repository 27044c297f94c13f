"""Chance in a training: a key for every step and row, the same after a cut and on two devices; none in evaluation."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tolerances import assert_close, assert_same_bits

import recurrax
from recurrax import Cell, Dropout, Elman, runs, tasks, train, with_key
from recurrax.study import TrainingSettings, failing, networks

pytestmark = pytest.mark.usefixtures("quick_compile")

CELL, TASK = Dropout(Elman(4), 0.5), tasks.Adding(length=5)
MODEL = train.Readout(CELL, TASK.input_size, TASK.output_size, TASK.every_step)
SETTINGS = TrainingSettings(learning_rate=1e-2, batch_size=6, steps=6)


def training(cell: Cell = CELL, **changes: Any):
    return dataclasses.replace(networks.training(cell, TASK, SETTINGS, (0, 1)), chunk=2, **changes)


def drawn(training, seed=0, step=0):
    return training.batch(train.batch_key(seed, step))


@functools.cache
def whole():
    return train.fit(training(), progress=False)


def test_a_prediction_is_by_the_key_of_its_row():
    params, xs = MODEL.init(jax.random.key(0)), TASK.batch(jax.random.key(1), 3).xs

    @jax.jit
    def predictions(params, keys):
        carry = CELL.initial_carry(params.cell, (3,), jnp.float32)
        carry = carry._replace(key=jax.vmap(jax.random.fold_in, (0, None))(keys, 1))  # the carry's second leaf
        return (
            MODEL.predict(params, xs, key=keys),
            MODEL.predict(params, xs[:, 1:2], key=keys[1:2]),
            recurrax.scan(CELL, params.cell, xs, carry).outputs[-1] @ params.kernel,
        )

    got, alone, by_hand = predictions(params, jax.random.split(jax.random.key(2), 3))
    assert_close(got, by_hand, "float32")
    assert_close(alone, got[1:2], "float32")
    with pytest.raises(ValueError, match=r"^key: expected a single key, or one for each row \(3,\), got shape \(2,\)"):
        with_key(jax.random.split(jax.random.key(0), 3), jax.random.split(jax.random.key(0)))


def test_every_step_seed_and_row_has_a_key_of_its_own():
    batches = [drawn(training(), seed, step) for seed in (0, 1) for step in (0, 1)]
    words = np.concatenate([jax.random.key_data(batch.keys) for batch in batches])
    assert len(np.unique(words, axis=0)) == 4 * SETTINGS.batch_size
    data = TASK.batch(train.batch_key(0, 0), SETTINGS.batch_size)  # which keys do not change
    assert_same_bits((batches[0].xs, batches[0].targets), (data.xs, data.targets))


def test_the_first_loss_is_that_of_the_keys():
    batch, params = drawn(training()), MODEL.init(train.init_key(0))
    by_chance, without = (TASK.loss(MODEL.predict(params, batch.xs, key=key), batch) for key in (batch.keys, None))
    assert_close(whole().metrics.loss[0, 0], by_chance, "float32")
    assert abs(float(by_chance - without)) > 1e-4


def test_a_cut_training_draws_what_the_whole_one_does(tmp_path):
    with runs.open_run(tmp_path, "chance", "small", {}) as run:
        train.fit_saved(training(steps=2), run, progress=False)
        got = train.fit_saved(training(), run, progress=False)
    assert_same_bits((got.state.params, got.metrics.loss), (whole().state.params, whole().metrics.loss))


def test_two_devices_draw_what_one_does():
    got = train.fit(training(mesh=train.batch_mesh()), progress=False)
    assert_close(got.metrics.loss, whole().metrics.loss, "float32")


def test_held_out_sequences_are_judged_without_chance():
    stopping = failing.training(CELL, TASK, failing.FailingSettings(batch_size=6, steps=1), seed=0, rate=1e-2)
    params = MODEL.init(jax.random.key(0))
    expected = TASK.loss(MODEL.predict(params, TASK.held_out(6).xs), TASK.held_out(6))
    assert stopping.metrics is not None
    assert_same_bits(stopping.metrics(params, None)["held out"], expected)
    assert drawn(stopping).keys is not None


def test_a_cell_without_chance_has_no_keys():
    assert not train.Readout(Elman(4), 2, 1, every_step=False).needs_keys
    assert drawn(training(Elman(4))).keys is None
