"""An inf or a NaN stops a seed before it is applied."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from recurrax import train

BAD_SEED, BAD_STEP = 3, 7


def poisoned(where, **changes):
    """A training in which `where` of one seed turns NaN at one step."""
    bad_key = jax.random.key_data(train.batch_key(BAD_SEED, BAD_STEP))

    def batch(key):
        return jnp.where(jnp.all(jax.random.key_data(key) == bad_key), 0.0 if where == "parameters" else jnp.nan, 0.0)

    def loss(params, poison):
        clean = jnp.sum((params["w"] - 1) ** 2) + jnp.sum(params["b"] ** 2)
        # The square root's slope at 0 is infinite, so 0 * NaN stays out of the loss and in the gradient of b alone.
        return clean + (poison if where == "loss" else _slope(poison, jnp.sum(params["b"])))

    def schedule(count):
        return jnp.where((count == BAD_STEP) & (where == "parameters"), jnp.inf, 0.1)

    settings = dict(
        loss=loss, init=lambda key: {"b": jnp.ones(2), "w": jnp.zeros(3)}, optimizer=optax.sgd(schedule), batch=batch,
        seeds=(1, BAD_SEED), steps=20, chunk=5,
    )  # fmt: skip
    return train.Training(**(settings | changes))


@jax.custom_jvp
def _slope(poison, x):
    return 0.0 * x


_slope.defjvps(None, lambda x_dot, answer, poison, x: poison * x_dot)


@pytest.mark.parametrize(
    ("where", "names"),
    [("loss", "loss"), ("gradient", "gradient.b"), ("parameters", "parameters.b, parameters.w")],
)
def test_stops_before_the_step_and_names_it(where, names):
    with pytest.raises(train.NonFiniteError) as caught:
        train.fit(poisoned(where), progress=False)
    seeds = ("seed 1 at step 7 in parameters.b, parameters.w; " if where == "parameters" else "") + "seed 3 at step 7"
    assert str(caught.value).startswith(f"not finite: {seeds} in {names}")
    state = caught.value.state
    assert int(state.step) == 10
    before = train.fit(poisoned(where, steps=BAD_STEP), progress=False).state
    np.testing.assert_array_equal(state.params["w"][1], before.params["w"][1])
    np.testing.assert_array_equal(state.params["b"][1], before.params["b"][1])


def test_other_seeds_go_on_if_asked_as_if_alone():
    together = train.fit(poisoned("gradient", continue_others=True), progress=False)
    alone = train.fit(poisoned("gradient", seeds=(1,)), progress=False)
    assert together.state.failed_at.tolist() == [-1, BAD_STEP]
    np.testing.assert_array_equal(together.state.params["w"][0], alone.state.params["w"][0])
    np.testing.assert_array_equal(together.metrics.loss[:, 0], alone.metrics.loss[:, 0])
    # The failed seed stays where it was, and shows it: its loss no longer changes.
    assert len(set(together.metrics.loss[BAD_STEP + 1 :, 1].tolist())) == 1


def test_stops_all_the_same_when_nobody_is_left():
    with pytest.raises(train.NonFiniteError, match="seed 3 at step 7"):
        train.fit(poisoned("loss", seeds=(BAD_SEED,), continue_others=True), progress=False)
