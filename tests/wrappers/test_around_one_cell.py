"""Wrappers of one cell: what each of them computes, in float64, and the laws of every cell.

The laws around a user's cell; `tests/long/cells.py` has them around the library's.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from wrappers.skipping import Skipping
from zoo.trials import OPTIONS, found

import recurrax
from recurrax import GRU, LSTM, BlockDiagonal, Elman, LearnedCarry, MinGRU, Normed, Residual, Stack, check_cell

pytestmark = pytest.mark.usefixtures("quick_compile", "plain_style")

AROUND = [kind(cell) for kind in (Residual, Normed) for cell in (LSTM(4), Skipping(3))]
AROUND += [BlockDiagonal(LSTM(3), 2), BlockDiagonal(Skipping(3), 2)]
NESTED = Stack([Residual(Normed(LSTM(4))), BlockDiagonal(Normed(GRU(2)), 2)])

HOLDS_MORE = pytest.mark.xfail(
    strict=True, reason="fused holds 1.3 times the reference's where two terms of y are read"
)
LAWFUL = [
    pytest.param(Residual(Skipping(3)), marks=HOLDS_MORE),
    Normed(Skipping(3)),
    BlockDiagonal(Skipping(3), 2),
]


@pytest.mark.parametrize("cell", LAWFUL, ids=repr)
def test_it_obeys_the_laws(cell):
    assert check_cell(cell, input_size=3).broken == ()


@pytest.mark.parametrize("cell", [*AROUND, NESTED, LearnedCarry(LSTM(3))], ids=repr)
def test_the_fused_scan_is_the_reference(cell, x64):
    assert found(cell, OPTIONS["all rows"], compiled=True) is None


@pytest.mark.parametrize("input_size", [4, 2])
def test_a_residual_adds_its_input(input_size, x64):
    cell, inner = Residual(Elman(4)), Elman(4)
    params = cell.init(jax.random.key(0), input_size, jnp.float64)
    xs = jax.random.normal(jax.random.key(1), (5, 3, input_size), jnp.float64)
    added = xs if input_size == 4 else np.asarray(xs) @ np.asarray(params.projection)
    got, expected = recurrax.scan(cell, params, xs), recurrax.scan(inner, params.cell, xs)
    np.testing.assert_allclose(got.outputs, expected.outputs + added, rtol=1e-12)
    np.testing.assert_allclose(got.carry.h, expected.carry.h, rtol=1e-12)


def test_a_normed_lstm_in_numpy(x64):
    cell, rng = Normed(LSTM(4), epsilon=1e-3), np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), cell.init(jax.random.key(0), 2, jnp.float64)
    )
    x, h, c = rng.normal(size=(3, 2)), rng.normal(size=(3, 4)), rng.normal(size=(3, 4))
    W, U, b = map(np.asarray, params.cell[:3])
    gates = []
    for g in range(4):
        a = x @ W[:, g] + h @ U[:, g] + b[g]
        a = (a - a.mean(-1, keepdims=True)) / np.sqrt(a.var(-1, keepdims=True) + 1e-3)
        gates.append(a * np.asarray(params.gain[g]) + np.asarray(params.shift[g]))
    i, f, o = (1 / (1 + np.exp(-gates[k])) for k in (0, 1, 3))
    expected = f * c + i * np.tanh(gates[2])
    carry, y = cell.step(params, recurrax.cells.LSTMCarry(h=jnp.asarray(h), c=jnp.asarray(c)), jnp.asarray(x))
    np.testing.assert_allclose(carry.c, expected, rtol=1e-12)
    np.testing.assert_allclose(y, o * np.tanh(expected), rtol=1e-12)


def test_heads_are_one_cell_with_a_block_diagonal_kernel(x64):
    cell = BlockDiagonal(Elman(2), heads=3)
    params = cell.init(jax.random.key(0), 2, jnp.float64)
    whole = recurrax.cells.ElmanParams(
        kernel=jnp.concatenate([head.kernel for head in params], -1),
        recurrent_kernel=jax.scipy.linalg.block_diag(*(head.recurrent_kernel[:, 0] for head in params))[:, None],
        bias=jnp.concatenate([head.bias for head in params], -1),
    )
    xs = jax.random.normal(jax.random.key(1), (5, 3, 2), jnp.float64)
    got, expected = recurrax.scan(cell, params, xs).outputs, recurrax.scan(Elman(6), whole, xs).outputs
    np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.parametrize("cell", [Residual(MinGRU(2)), BlockDiagonal(Residual(MinGRU(2)), 2)], ids=repr)
def test_a_wrapper_of_a_linear_cell_is_walked_in_parallel(cell, x64):
    params = cell.init(jax.random.key(0), 3, jnp.float64)
    xs = jax.random.normal(jax.random.key(1), (5, 3), jnp.float64)
    got, expected = (recurrax.scan(cell, params, xs, implementation=name) for name in ("associative", "fused"))
    np.testing.assert_allclose(got.outputs, expected.outputs, rtol=1e-12)


def test_a_wrapper_exposes_what_its_cell_exposes(x64):
    """Around a memory nothing changes: dL/dc of an LSTM and of the same with its input added are one curve."""
    cell = Residual(LSTM(3))
    params = cell.init(jax.random.key(0), 3, jnp.float64)
    xs = jax.random.normal(jax.random.key(1), (5, 3), jnp.float64)
    bare = recurrax.lag.adjoint_profile(LSTM(3), params.cell, xs).log_norm_bptt
    assert bare is not None
    for got, expected in zip(
        jax.tree.leaves(recurrax.lag.adjoint_profile(cell, params, xs).log_norm_bptt),
        jax.tree.leaves(bare),
        strict=True,
    ):
        np.testing.assert_allclose(got, expected, atol=1e-12)
    assert hasattr(Normed(LSTM(3)), "expose")
    assert hasattr(BlockDiagonal(LSTM(3), 2), "expose")
    assert not hasattr(Residual(GRU(3)), "expose")
    assert not hasattr(Residual(LSTM(3)), "coefficients")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Residual(LSTM), "cell: expected an instance"),
        (lambda: Normed(Elman(2), epsilon=0), "epsilon: expected a float above 0"),
        (lambda: BlockDiagonal(Elman(2), 0), "heads: expected a positive int"),
        (lambda: Normed(MinGRU(2)).init(jax.random.key(0), 2), "cell: expected one whose recur"),
    ],
)
def test_what_cannot_be_wrapped_is_refused(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()
