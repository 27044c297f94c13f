"""Each cell's step against its equations in NumPy float64."""

import jax.numpy as jnp
import numpy as np
import pytest
from numpy_cells import by_gate, elman, gru, lstm
from tolerances import assert_close

from recurrax import GRU, LSTM, Elman, cells

B, D, H = 3, 2, 4


def draw(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def arrays(gates):
    return draw(0, D, gates, H), draw(1, H, gates, H), draw(2, gates, H)


def check(cell, params, carry, expected):
    x = draw(5, B, D)
    stepped, y = cell.step(params, carry, jnp.asarray(x))
    assert type(stepped) is type(carry)
    expected = expected(x)
    assert_close(tuple(stepped), expected, "float64")
    assert_close(y, expected[0], "float64")


@pytest.mark.parametrize("activation", ["tanh", "relu", "identity"])
def test_elman(activation, x64):
    params, h = cells.ElmanParams(*arrays(1)), draw(3, B, H)
    oracle = by_gate(params, [""])
    check(
        Elman(H, activation=activation),
        params,
        cells.ElmanCarry(jnp.asarray(h)),
        lambda x: elman(oracle, h, x, activation),
    )


def test_lstm(x64):
    params, h, c = cells.LSTMParams(*arrays(4)), draw(3, B, H), draw(4, B, H)
    carry = cells.LSTMCarry(h=jnp.asarray(h), c=jnp.asarray(c))
    check(LSTM(H), params, carry, lambda x: lstm(by_gate(params, "ifgo"), h, c, x))


@pytest.mark.parametrize("reset_after", [True, False])
def test_gru(reset_after, x64):
    inner, h = draw(6, H), draw(3, B, H)
    params = cells.GRUParams(*arrays(3), inner if reset_after else None)
    oracle = by_gate(params, "rzn") | {"b'": inner}
    check(
        GRU(H, reset_after=reset_after),
        params,
        cells.GRUCarry(jnp.asarray(h)),
        lambda x: gru(oracle, h, x, reset_after),
    )


def test_the_two_grus_differ(x64):
    """Otherwise the two oracles above could not tell them apart."""
    params = by_gate(cells.GRUParams(*arrays(3), draw(6, H)), "rzn") | {"b'": draw(6, H)}
    h, x = draw(3, B, H), draw(5, B, D)
    assert np.max(np.abs(gru(params, h, x, True)[0] - gru(params, h, x, False)[0])) > 0.1
