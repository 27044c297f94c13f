"""Units that stay: closed forms of a diagonal linear cell in every row and in the mean, and what its keys promise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tolerances import assert_close
from zoo.trials import OPTIONS, found

import recurrax
from recurrax import LSTM, Dropout, Elman, Zoneout, lag, with_key

pytestmark = pytest.mark.usefixtures("quick_compile", "plain_style")

RATE, GAIN, T, ROWS = 0.25, 0.5, 3, 4096
CELL = Zoneout(Elman(1, activation="identity"), RATE)


def diagonal():
    """h_t = GAIN h_tm1 + 1 on inputs of ones."""
    params = CELL.init(jax.random.key(0), 1)
    return params._replace(kernel=jnp.ones((1, 1, 1)), recurrent_kernel=jnp.full((1, 1, 1), GAIN))


def keyed(cell, params, rows, key=1):
    return with_key(cell.initial_carry(params, (rows,), jnp.float32), jax.random.key(key))


def test_of_a_linear_cell_the_mean_over_draws_is_the_cell_without_a_key():
    """Draws of different steps are independent, so that the mean obeys the recurrence with d_t = rate."""
    params, xs = diagonal(), jnp.ones((T, ROWS, 1))
    h = recurrax.scan(CELL, params, xs, keyed(CELL, params, ROWS)).outputs[..., 0]
    mean = recurrax.scan(CELL, params, xs[:, :1]).outputs[:, 0, 0]
    decay = RATE + (1 - RATE) * GAIN
    np.testing.assert_allclose(mean, (1 - RATE) * (1 - decay ** np.arange(1, T + 1)) / (1 - decay), rtol=1e-6)
    assert np.all(np.abs(np.mean(h, axis=1) - mean) < 5 * np.std(h, axis=1) / np.sqrt(ROWS))


def test_each_step_draws_again_and_a_row_moves_or_stays():
    """A row that moved n of the first 3 steps is at Σ GAIN^j over j < n; n is binomial."""
    params = diagonal()
    h = recurrax.scan(CELL, params, jnp.ones((T, ROWS, 1)), keyed(CELL, params, ROWS)).outputs[-1, :, 0]
    for moved, ways in enumerate((1, 3, 3, 1)):
        share = np.isclose(h, (1 - GAIN**moved) / (1 - GAIN)).mean()
        expected = ways * (1 - RATE) ** moved * RATE ** (T - moved)
        assert abs(share - expected) < 5 * np.sqrt(expected * (1 - expected) / ROWS)


def test_halves_are_the_whole_and_padding_moves_no_key():
    cell = Zoneout(Dropout(Elman(4), 0.5), 0.5)
    params, xs = cell.init(jax.random.key(0), 3), jax.random.normal(jax.random.key(1), (6, 3, 3))
    carry = keyed(cell, params, 3)
    whole = recurrax.scan(cell, params, xs, carry)
    first = recurrax.scan(cell, params, xs[:3], carry)
    second = recurrax.scan(cell, params, xs[3:], first.carry)
    assert_close(jnp.concatenate([first.outputs, second.outputs]), whole.outputs, "float32")
    padded = jnp.stack([*xs[:3], xs[0], xs[1], *xs[3:]])
    mask = jnp.ones((8, 3), bool).at[3:5].set(False)
    got = recurrax.scan(cell, params, padded, carry, mask=mask).outputs
    assert_close(jnp.concatenate([got[:3], got[5:]]), whole.outputs, "float32")


def test_an_episode_draws_anew():
    params = diagonal()
    resets = jnp.zeros((2 * T, 64), bool).at[T].set(True)
    outputs = recurrax.scan(CELL, params, jnp.ones((2 * T, 64, 1)), keyed(CELL, params, 64), resets=resets).outputs
    assert set(np.unique(outputs[T])) == {0.0, 1.0}  # from zeros again
    assert not jnp.array_equal(outputs[:T], outputs[T:])


def test_an_instrument_measures_through_the_draws():
    """|∂h_{T-1}/∂h_{T-1-k}| is GAIN for each of the last k steps that moved and 1 for each that stayed."""
    params, xs = diagonal(), jnp.ones((T, 16, 1))
    carry = keyed(CELL, params, 16)
    h = recurrax.scan(CELL, params, xs, carry).outputs[..., 0]
    moved = ~np.isclose(h[1:], h[:-1])  # (T-1, 16)
    profile = lag.adjoint_profile(CELL, params, xs, carry=carry)
    expected = np.cumsum(moved[::-1], axis=0) * np.log(GAIN)
    np.testing.assert_allclose(profile.log_norm_joint[1:], expected, atol=1e-5)


def test_the_fused_scan_is_the_reference(x64):
    assert found(Zoneout(Elman(3), 0.5), OPTIONS["all rows"], compiled=True) is None


def test_a_rate_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"^rate: expected a float from 0 to below 1, got -0\.1"):
        Zoneout(LSTM(2), -0.1)
