from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recurrax.tasks import Adding

MANY = 20_000

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.fixture(scope="module")
def many():
    task = Adding(length=11)
    return task, jax.jit(task.batch, static_argnums=1)(jax.random.key(3), MANY)


def test_targets_are_the_sum_of_the_marked_values(many):
    _, batch = many
    values, markers = np.asarray(batch.xs[..., 0], np.float64), np.asarray(batch.xs[..., 1], np.float64)
    np.testing.assert_allclose(batch.targets[:, 0], (values * markers).sum(axis=0), atol=2e-7)
    np.testing.assert_array_equal(Adding().needed(batch.xs), markers == 1)
    assert values.min() >= 0
    assert values.max() < 1


def test_one_marker_in_each_half_uniformly(many):
    _, batch = many
    markers = np.asarray(batch.xs[..., 1])
    assert set(np.unique(markers)) == {0.0, 1.0}
    assert (markers[:5].sum(axis=0) == 1).all()
    assert (markers[5:].sum(axis=0) == 1).all()
    # Counts are binomial; five standard deviations of the rarer cell.
    for counts, cells in ((markers[:5].sum(axis=1), 5), (markers[5:].sum(axis=1), 6)):
        assert np.abs(counts - MANY / cells).max() < 5 * np.sqrt(MANY / cells)


def test_landmarks_are_what_such_predictors_really_lose(many):
    task, batch = many
    first = (batch.xs[:5, :, 0] * batch.xs[:5, :, 1]).sum(axis=0)
    for predictions, landmark, deviation in (
        (jnp.ones((MANY, 1)), task.landmarks["mean predicted"], 0.2),
        ((first + 0.5)[:, None], task.landmarks["one addend known"], 0.1),
    ):
        # The standard error is the loss's standard deviation over √B; both losses deviate by less than the bound.
        assert abs(float(task.loss(predictions, batch)) - landmark) < 5 * deviation / np.sqrt(MANY)
    assert float(task.loss(batch.targets, batch)) == 0.0


def test_the_same_key_gives_the_same_batch_and_another_does_not():
    task = Adding(length=6)
    one, same, other = (task.batch(jax.random.key(seed), 4).xs for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_weights_choose_which_predictions_count():
    task = Adding(length=4)
    batch = task.batch(jax.random.key(0), 3)
    predictions = batch.targets + jnp.array([[1.0], [2.0], [5.0]])
    weighted = replace(batch, weights=jnp.array([1.0, 1.0, 0.0]))
    np.testing.assert_allclose(task.loss(predictions, weighted), (1 + 4) / 2, rtol=1e-6)


@pytest.mark.parametrize("length", [1, 0, -3, 2.0, True, "50"])
def test_refuses_a_length_without_two_halves(length):
    with pytest.raises(ValueError, match=r"length: expected an int of at least 2, got"):
        Adding(length=length)


def test_refuses_bad_batches_and_predictions():
    task = Adding(length=4)
    with pytest.raises(ValueError, match=r"batch_size: expected an int of at least 1, got 0"):
        task.batch(jax.random.key(0), 0)
    with pytest.raises(ValueError, match=r"predictions: expected shape \(2, 1\), got \(2,\)"):
        task.loss(jnp.zeros(2), task.batch(jax.random.key(0), 2))
