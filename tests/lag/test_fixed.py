"""Fixed points whose places, eigenvalues and stability are known."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lag.contract_cells import ComplexDiagonal, Counter

import recurrax
from recurrax import Cell, lag
from recurrax.cells import ElmanCarry, ElmanParams, LSTMCarry, LSTMParams

ATOL = 1e-10
RNG = np.random.default_rng(5)


@dataclass(frozen=True)
class Map(Cell):
    """s_t = f(s_tm1) of one number, whatever the input is."""

    f: Any

    def init(self, key, input_size, dtype=jnp.float32):
        return ()

    def initial_carry(self, params, batch_shape, dtype):
        return {"s": jnp.zeros(batch_shape, dtype)}

    def project(self, params, x):
        return x[..., 0]

    def recur(self, params, carry, u):
        return ()

    def pointwise(self, params, carry, u, v):
        return {"s": self.f(carry["s"])}

    def output(self, params, carry, u):
        return carry["s"][..., None]


def elman(weights, bias, **fields):
    """h_t = f(A h_tm1 + b) as a cell with parameters."""
    weights = np.asarray(weights, float)
    params = ElmanParams(np.zeros((1, 1, len(weights))), weights.T[:, None], np.asarray(bias, float)[None])
    return recurrax.Elman(len(weights), **fields), jax.tree.map(jnp.asarray, params)


def test_a_linear_map_has_one_and_the_eigenvalues_of_its_matrix(x64, quick_compile):
    size = 5
    weights, bias = RNG.normal(size=(size, size)), RNG.normal(size=size)
    cell, params = elman(weights, bias, activation="identity")
    found = lag.fixed_points(cell, params, jnp.zeros(1), ElmanCarry(jnp.asarray(RNG.normal(size=(6, size)))))
    np.testing.assert_allclose(found.state.h[0], np.linalg.solve(np.eye(size) - weights, bias), rtol=0, atol=ATOL)
    exact = np.linalg.eigvals(weights)
    gap = np.abs(found.eigenvalues[0][:, None] - exact[None])
    assert max(gap.min(axis=0).max(), gap.min(axis=1).max()) < ATOL
    assert (len(found.speed), found.starts.tolist(), found.unfinished) == (1, [6], 0)
    assert found.unstable_directions[0] == (np.abs(exact) > 1).sum() > 0
    np.testing.assert_allclose(found.time_constants[0], -1 / np.log(np.sort(np.abs(exact))[::-1]), rtol=1e-8)


def test_without_weights_it_is_the_bias_alone(x64, quick_compile):
    bias = RNG.normal(size=3)
    cell, params = elman(np.zeros((3, 3)), bias)
    xs = jnp.asarray(RNG.normal(size=(20, 2, 1)))
    found = lag.fixed_points(cell, params, jnp.zeros(1), xs=xs, key=jax.random.key(0), starts=7)
    np.testing.assert_allclose(found.state.h, np.tanh(bias)[None], rtol=0, atol=ATOL)
    assert found.starts.tolist() == [7]
    assert found.stable.tolist() == [True]
    np.testing.assert_array_equal(found.eigenvalues, np.zeros((1, 3)))
    np.testing.assert_array_equal(found.time_constants, np.zeros((1, 3)))


def test_two_memories_and_the_threshold_between_them(x64, quick_compile):
    cell, params = elman([[2.0]], [0.0])
    h = ElmanCarry(jnp.linspace(-1.0, 1.0, 9)[:, None])
    found = lag.fixed_points(cell, params, jnp.zeros(1), h)
    rest = 0.5
    for _ in range(200):
        rest = np.tanh(2 * rest)
    order = np.argsort(found.state.h[:, 0])
    np.testing.assert_allclose(found.state.h[order, 0], [-rest, 0, rest], rtol=0, atol=ATOL)
    slope = 2 * (1 - rest**2)
    np.testing.assert_allclose(found.eigenvalues[order, 0], [slope, 2, slope], rtol=0, atol=ATOL)
    assert slope == pytest.approx(0.166372, abs=1e-6)
    assert found.stable[order].tolist() == [True, False, True]
    assert found.unstable_directions[order].tolist() == [0, 1, 0]
    assert found.fixed.all()
    assert found.starts.sum() == 9


def test_an_lstm_without_weights_rests_where_writing_equals_forgetting(x64, quick_compile):
    bias = np.stack([[0.3, -1.0], [6.0, 2.0], [0.8, -0.4], [0.5, 1.5]])  # of i, f, g, o
    params = LSTMParams(jnp.zeros((1, 4, 2)), jnp.zeros((2, 4, 2)), jnp.asarray(bias))
    states = LSTMCarry(*jnp.asarray(RNG.normal(size=(2, 4, 2))))
    found = lag.fixed_points(recurrax.LSTM(2), params, jnp.zeros(1), states)
    i, f, o = 1 / (1 + np.exp(-bias[[0, 1, 3]]))
    c = i * np.tanh(bias[2]) / (1 - f)
    np.testing.assert_allclose(found.state.c, c[None], rtol=1e-10)
    np.testing.assert_allclose(found.state.h, (o * np.tanh(c))[None], rtol=0, atol=ATOL)
    np.testing.assert_allclose(found.eigenvalues[0], [*f, 0, 0], rtol=0, atol=ATOL)
    np.testing.assert_allclose(found.time_constants[0, 0], 1 / np.log1p(np.exp(-6.0)), rtol=1e-9)


def test_complex_numbers_are_two_real_ones(x64, quick_compile):
    cell = ComplexDiagonal()
    params = cell.init(jax.random.key(1), 2, jnp.float64)
    x = jnp.asarray(RNG.normal(size=2))
    states = jax.tree.map(lambda leaf: leaf + 1.0, cell.initial_carry(params, (3,), jnp.float64))
    found = lag.fixed_points(cell, params, x, states)
    factor = np.asarray(cell.factor(params))
    np.testing.assert_allclose(found.state.z[0], np.asarray(x @ params.kernel) / (1 - factor), rtol=0, atol=ATOL)
    expected = np.concatenate([factor, factor.conj()])
    gap = np.abs(found.eigenvalues[0][:, None] - expected[None])
    assert max(gap.min(axis=0).max(), gap.min(axis=1).max()) < ATOL


def ghost(s):
    return s + s * s + 1e-4


def test_a_ghost_is_slow_and_not_fixed(x64, quick_compile):
    starts = {"s": jnp.linspace(-0.5, 0.5, 5)}
    found = lag.fixed_points(Map(ghost), (), jnp.zeros(1), starts, distance=1e-2)
    assert found.fixed.tolist() == [False]
    np.testing.assert_allclose(found.state["s"], [0.0], atol=1e-3)
    np.testing.assert_allclose(found.speed, [1e-8 / 2], rtol=1e-3)
    nothing = lag.fixed_points(Map(ghost), (), jnp.zeros(1), starts, slow=1e-9)
    assert (len(nothing.speed), nothing.unfinished, nothing.eigenvalues.shape) == (0, 5, (0, 1))


CELL = recurrax.Elman(2)
PARAMS = CELL.init(jax.random.key(0), 2)
STATES = ElmanCarry(np.zeros((3, 2), np.float32))
COUNTER = Counter()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.zeros((4, 2), np.float32)}, r"x: expected one input \(D,\), got batch axes \(4,\)"),
        ({"x": np.zeros(3, np.float32)}, "x: expected 2 features on the last axis"),
        ({"x": 0.0}, r"x: expected an array \(D,\) or a pytree of arrays, got float"),
        ({"states": None}, "states: expected either states or xs, got neither"),
        ({"xs": np.zeros((9, 2), np.float32)}, "states: expected either states or xs, got both"),
        ({"states": None, "xs": np.zeros((9, 2), np.float32)}, "key: expected a key to draw the starts with, got None"),
        ({"noise": 0.1}, "key: expected a key to draw the starts with, got None"),
        ({"slow": -1.0}, "slow: expected a number >= 0, got -1.0"),
        ({"starts": 0}, "starts: expected a positive int, got 0"),
        ({"states": ElmanCarry(np.full((3, 2), np.nan, np.float32))}, "states.h: expected finite values, got 6"),
        (
            {
                "cell": COUNTER,
                "params": COUNTER.init(jax.random.key(0), 2),
                "states": None,
                "xs": np.zeros((9, 2), np.float32),
                "key": jax.random.key(0),
            },
            r"carry.count: expected floating or complex leaves, which can rest, got int32",
        ),
    ],
)
def test_refuses(change, message):
    given = {"cell": CELL, "params": PARAMS, "x": np.zeros(2, np.float32), "states": STATES, **change}
    with pytest.raises(ValueError, match=message):
        lag.fixed_points(**given)
