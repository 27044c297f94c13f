"""Batches that the host makes, step by step."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from recurrax import tasks, train


def arrays():
    """Ten sequences of three steps."""
    return tasks.Arrays(np.arange(30, dtype=np.float32).reshape(3, 10, 1), np.arange(10), batch_size=4)


def training(batches, **changes):
    settings = dict(
        loss=lambda w, batch: jnp.mean((batch.xs[-1, :, 0] * w - batch.targets) ** 2),
        init=lambda key: jax.random.normal(key, ()), optimizer=optax.sgd(1e-3), batches=batches, seeds=(0, 3), steps=14,
        chunk=5,
    )  # fmt: skip
    return train.Training(**(settings | changes))


def test_training_sees_the_batch_of_each_step_and_goes_on_bit_for_bit():
    batches = arrays()
    fitted = train.fit(training(batches, metrics=lambda w, batch: batch.targets[0]), progress=False)
    expected = [[batches(seed, step).targets[0] for seed in (0, 3)] for step in range(14)]
    np.testing.assert_array_equal(fitted.metrics.scores, expected)
    for part in train.chunks(training(batches)):
        if int(part.state.step) < 14:
            state = jax.tree.map(jnp.asarray, jax.tree.map(np.asarray, part.state))
            tail = train.fit(training(batches), state, progress=False)
            np.testing.assert_array_equal(tail.metrics.loss, fitted.metrics.loss[int(part.state.step) :])
    other = train.fit(training(batches, chunk=3, vmap=True), progress=False)
    np.testing.assert_allclose(other.metrics.loss, fitted.metrics.loss, rtol=1e-5)


def test_rows_of_one_seed_share_its_batches_and_ended_ones_ask_for_none():
    asked = []

    def batches(seed, step):
        asked.append((seed, step))
        return np.float32(seed), np.float32(step)

    rows = [train.Row(5, lambda key: jnp.zeros(()), {"learning_rate": rate}) for rate in (0.1, 0.2)]
    rows.append(train.Row(7, lambda key: jnp.full((), 100.0), {"learning_rate": 0.0}))
    stopping = training(
        batches, loss=lambda w, batch: (w - batch[0]) ** 2, init=None, optimizer=optax.sgd, rows=rows, seeds=(0,),
        steps=60, chunk=10, stop=train.Target(1e-2),
    )  # fmt: skip
    fitted = train.fit(stopping, progress=False)
    assert (fitted.state.stopped_at[:2] > 0).all()
    assert fitted.state.stopped_at[2] == -1
    last = -(-int(fitted.state.stopped_at[:2].max()) // 10) * 10
    assert [step for seed, step in asked if seed == 5] == list(range(last))
    assert [step for seed, step in asked if seed == 7] == list(range(60))


def test_a_batch_that_never_changes_is_refused_and_the_door_for_the_host_named():
    stream = iter(np.ones((1000, 3)))
    said = r"batch: expected something drawn with the key, got one and the same batch .* Training\(batches=\.\.\.\)"
    with pytest.raises(ValueError, match=said):
        train.fit(training(None, batch=lambda key: next(stream)), progress=False)
    for both in ({"batch": None, "batches": None}, {"batch": lambda key: key, "batches": arrays()}):
        with pytest.raises(ValueError, match=r"batch, batches: expected one of the two, got (both|none)"):
            training(**both)


def test_batches_of_two_shapes_are_refused():
    with pytest.raises(ValueError, match=r"batches: expected the same shapes at every seed and step, got .*1.*2"):
        train.fit(training(lambda seed, step: np.zeros(1 + step % 2)), progress=False)
