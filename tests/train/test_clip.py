import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from recurrax.train import clip_by_global_norm


def clipped(gradient, max_norm=1.0):
    clip = clip_by_global_norm(max_norm)
    return jax.jit(clip.update)(gradient, clip.init(gradient))


@pytest.mark.parametrize("exponent", [-37, -30, -20, -10, 0, 10, 20, 30, 37])
@pytest.mark.parametrize("max_norm", [2e-30, 2.0, 2e30])
def test_norm_and_direction_are_right_at_every_scale(exponent, max_norm):
    direction = {"a": np.array([3.0, -4.0]), "b": np.array([[12.0]])}  # of norm 13
    gradient = jax.tree.map(lambda x: jnp.asarray(x / 13 * 10.0**exponent, jnp.float32), direction)
    update, state = clipped(gradient, max_norm)
    np.testing.assert_allclose(state.log_norm, exponent * np.log(10), rtol=1e-6, atol=1e-6)
    assert bool(state.clipped) == (10.0**exponent > max_norm)
    expected = min(10.0**exponent, max_norm)
    for name, part in direction.items():
        np.testing.assert_allclose(np.asarray(update[name], np.float64), part / 13 * expected, rtol=1e-6)


def test_within_the_limit_nothing_changes_bit_for_bit():
    gradient = {"a": jax.random.normal(jax.random.key(0), (5, 3)), "b": jnp.float32(1e-3)}
    update, state = clipped(gradient, 1e3)
    jax.tree.map(np.testing.assert_array_equal, update, gradient)
    assert not state.clipped


def test_agrees_with_optax_where_optax_is_right():
    gradient = {"a": jax.random.normal(jax.random.key(0), (5, 3)), "b": jax.random.normal(jax.random.key(1), (7,))}
    theirs, _ = optax.clip_by_global_norm(0.5).update(gradient, optax.EmptyState())
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), clipped(gradient, 0.5)[0], theirs)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_is_counted_and_does_not_spread(bad):
    gradient = {"a": jnp.array([3.0, bad]), "b": jnp.array([4.0, bad, bad])}
    update, state = clipped(gradient)
    np.testing.assert_allclose(update["a"], [0.6, 0.0], rtol=1e-6)
    np.testing.assert_allclose(update["b"], [0.8, 0.0, 0.0], rtol=1e-6)
    assert state.nonfinite == 3
    np.testing.assert_allclose(state.log_norm, np.log(5), rtol=1e-6)


def test_a_norm_too_large_for_float32_still_clips():
    gradient = jnp.full(100, 3e38)
    update, state = clipped(gradient)
    np.testing.assert_allclose(update, np.full(100, 0.1), rtol=1e-6)
    np.testing.assert_allclose(state.log_norm, np.log(3e39), rtol=1e-6)


def test_zero_stays_zero_and_mixed_precision_stays_mixed():
    update, state = clipped({"a": jnp.zeros(2), "b": jnp.zeros(3, jnp.bfloat16)})
    assert (update["a"].dtype, update["b"].dtype) == (jnp.float32, jnp.bfloat16)
    assert np.isneginf(state.log_norm)
    assert not np.asarray(update["a"]).any()


def test_without_a_limit_it_only_watches():
    gradient = {"a": jnp.array([3e30, 4e30])}
    update, state = clipped(gradient, np.inf)
    np.testing.assert_array_equal(update["a"], gradient["a"])
    np.testing.assert_allclose(state.log_norm, np.log(5e30), rtol=1e-6)
    assert not state.clipped


@pytest.mark.parametrize("max_norm", [0, -1.0, float("nan"), "1", True])
def test_refuses_a_limit_that_is_none(max_norm):
    with pytest.raises(ValueError, match="max_norm: expected a positive number, got"):
        clip_by_global_norm(max_norm)
