"""The decoder of the first input on states that hold it, and on states that do not; where memory ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from forgetting import FIRST, HALF, Settings, decoded

from recurrax import tasks


@pytest.mark.usefixtures("quick_compile")
def test_a_class_that_the_state_holds_is_decoded_and_no_other():
    classes = jnp.arange(200) % 4
    noise = jax.random.normal(jax.random.key(0), (3, 200, 6))
    held = noise.at[0].multiply(0.1).at[0, :, :4].add(jax.nn.one_hot(classes, 4))
    held = held.at[1, :, 0].set(1.0)  # one component that never varies
    found = np.asarray(decoded(held, classes, 4))
    assert found[0] == 1.0
    assert np.all(np.abs(found[1:] - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 100))


def test_the_first_lag_below_the_level_counts():
    settings, task = Settings(lags=8), tasks.Recall()
    curves = np.array([[1, 0.6, 0.4, 0.9, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1, 1, 0.7]])
    assert HALF.summary(curves, settings, task).values.tolist() == [3.0, np.inf]
    assert FIRST.summary(curves, settings, task).values.tolist() == [2.0, np.inf], "halfway from 1/4 to 1 is 5/8"
