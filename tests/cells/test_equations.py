"""Each cell's step against its equations in NumPy float64."""

import jax
import jax.numpy as jnp
import numpy as np
import numpy_cells as oracles
import pytest
from numpy_cells import by_gate, elman, gru, lstm
from tolerances import assert_close

from recurrax import (
    GRU,
    JANET,
    LEM,
    LSTM,
    MGU,
    MLSTM,
    SLSTM,
    AntisymmetricRNN,
    CoRNN,
    DeltaNet,
    Elman,
    IndRNN,
    Leaky,
    OrthogonalRNN,
    cells,
    scan,
)

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


LSTMS = [
    (LSTM(H, input_gate=False), {"without": "i"}),
    (LSTM(H, forget_gate=False, candidate="identity"), {"without": "f", "phi": "identity"}),
    (LSTM(H, output_gate=False, activation="identity"), {"without": "o", "psi": "identity"}),
    (LSTM(H, coupled=True), {"coupled": True}),
    (LSTM(H, peepholes=True), {}),
    (LSTM(H, peepholes=True, input_gate=False), {"without": "i"}),
    (LSTM(H, projection_size=2), {}),
    (LSTM(H, coupled=True, peepholes=True, projection_size=3), {"coupled": True}),
]


@pytest.mark.parametrize(("cell", "variant"), LSTMS, ids=[str(variant) for _, variant in LSTMS])
def test_variants_of_the_lstm(cell, variant, x64):
    P, gates = cell.projection_size or H, [gate for gate in "ifgo" if gate not in variant.get("without", "")]
    if cell.coupled:
        gates.remove("i")
    params = cells.LSTMParams(draw(0, D, len(gates), H), draw(1, P, len(gates), H), draw(2, len(gates), H))
    oracle = by_gate(params, gates)
    if cell.peepholes:
        gates.remove("g")
        params = params._replace(peephole=draw(6, len(gates), H))
        oracle |= {"p" + gate: row for gate, row in zip(gates, params.peephole, strict=True)}
    if cell.projection_size:
        params = params._replace(projection=draw(7, H, P))
        oracle |= {"P": params.projection}
    h, c = draw(3, B, P), draw(4, B, H)
    like = jax.eval_shape(lambda: cell.init(jax.random.key(0), D))
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, like)
    carry = cells.LSTMCarry(h=jnp.asarray(h), c=jnp.asarray(c))
    check(cell, params, carry, lambda x: lstm(oracle, h, c, x, **variant))


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


def hidden(carry_class, h):
    return carry_class(jnp.asarray(h))


@pytest.mark.parametrize("beta", [1.0, 0.0])
def test_janet(beta, x64):
    params, h = cells.JANETParams(*arrays(2)), draw(3, B, H)
    carry, oracle = hidden(cells.JANETCarry, h), by_gate(params, "fg")
    check(JANET(H, beta=beta), params, carry, lambda x: oracles.janet(oracle, h, x, beta))


def test_mgu(x64):
    params, h = cells.MGUParams(*arrays(2)), draw(3, B, H)
    oracle = by_gate(params, "fn")
    check(MGU(H), params, hidden(cells.MGUCarry, h), lambda x: oracles.mgu(oracle, h, x))


@pytest.mark.parametrize("cell", [Leaky(H, alpha=0.3, activation="relu"), Leaky(H, learned=True)], ids=str)
def test_leaky(cell, x64):
    leak, h = draw(6, H) if cell.learned else None, draw(3, B, H)
    params = cells.LeakyParams(*arrays(1), leak)
    alpha, oracle = oracles.sigmoid(leak) if cell.learned else cell.alpha, by_gate(params, [""])
    carry = hidden(cells.LeakyCarry, h)
    check(cell, params, carry, lambda x: oracles.leaky(oracle, h, x, alpha, cell.activation))


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_indrnn(activation, x64):
    W, u, b, h = draw(0, D, 1, H), draw(1, H), draw(2, 1, H), draw(3, B, H)
    check(
        IndRNN(H, activation=activation),
        cells.IndRNNParams(W, u, b),
        hidden(cells.IndRNNCarry, h),
        lambda x: oracles.indrnn(W[:, 0], u, b[0], h, x, activation),
    )


@pytest.mark.parametrize("activation", ["modrelu", "tanh", "identity"])
def test_orthogonal(activation, x64):
    W, A, b, h = draw(0, D, 1, H), draw(1, H, H), draw(2, 1, H), draw(3, B, H)
    check(
        OrthogonalRNN(H, activation=activation),
        cells.OrthogonalRNNParams(W, A, b),
        hidden(cells.OrthogonalRNNCarry, h),
        lambda x: oracles.orthogonal(W[:, 0], A, b[0], h, x, activation),
    )


@pytest.mark.parametrize("gated", [False, True])
def test_antisymmetric(gated, x64):
    gates = "hz" if gated else "h"
    W, U, b, h = draw(0, D, len(gates), H), draw(1, H, 1, H), draw(2, len(gates), H), draw(3, B, H)
    oracle = {"Uh": U[:, 0]} | {"W" + gate: W[:, g] for g, gate in enumerate(gates)}
    oracle |= {"b" + gate: b[g] for g, gate in enumerate(gates)}
    check(
        AntisymmetricRNN(H, step_size=0.3, diffusion=0.2, gated=gated),
        cells.AntisymmetricRNNParams(W, U, b),
        hidden(cells.AntisymmetricRNNCarry, h),
        lambda x: oracles.antisymmetric(oracle, h, x, 0.3, 0.2, gated),
    )


def test_cornn(x64):
    W, U, b, h, z = draw(0, D, 1, H), draw(1, 2 * H, 1, H), draw(2, 1, H), draw(3, B, H), draw(4, B, H)
    check(
        CoRNN(H, step_size=0.3, frequency=1.5, damping=0.5),
        cells.CoRNNParams(W, U, b),
        cells.CoRNNCarry(jnp.asarray(h), jnp.asarray(z)),
        lambda x: oracles.cornn(W[:, 0], U[:H, 0], U[H:, 0], b[0], h, z, x, 0.3, 1.5, 0.5),
    )


def test_lem(x64):
    params, h, z = cells.LEMParams(*arrays(4)), draw(3, B, H), draw(4, B, H)
    oracle, carry = by_gate(params, "srzh"), cells.LEMCarry(jnp.asarray(h), jnp.asarray(z))
    check(LEM(H, step_size=0.7), params, carry, lambda x: oracles.lem(oracle, h, z, x, 0.7))


T = 6
GATE_SIZES = [1.0, 3000.0]
"""Exponential gates of ordinary size, and so large that exp overflows float64 without a stabiliser."""


@pytest.mark.parametrize("size", GATE_SIZES)
@pytest.mark.parametrize("heads", [1, 2])
def test_slstm(heads, size, x64):
    W, b, own, xs = draw(0, D, 4, H), draw(2, 4, H), draw(1, heads, H // heads, 4, H // heads), draw(5, T, B, D)
    W[:, 0] *= size
    U = np.zeros((H, 4, H))
    for n in range(heads):
        units = slice(n * H // heads, (n + 1) * H // heads)
        U[units, :, units] = own[n]
    oracle = by_gate(cells.SLSTMParams(W, U, b), "ifgo")
    outputs = scan(SLSTM(H, heads=heads), cells.SLSTMParams(W, own, b), jnp.asarray(xs)).outputs
    assert_close(outputs, oracles.slstm(oracle, xs, heads), "float64")


def inputs_of_heads(size):
    """Parameters, inputs, and what the two heads of two units read of row 0, gates among them."""
    W, b, W_g, b_g, xs = draw(0, D, 4, H), draw(2, 4, H), draw(1, D, 2, 2), draw(3, 2, 2), draw(5, T, B, D)
    W_g[:, 0] *= size
    vectors = np.einsum("td,dgh->gth", xs[:, 0], W) + b[:, None]
    gates = np.einsum("td,dgn->gtn", xs[:, 0], W_g) + b_g[:, None]
    heads = [(*vectors[..., 2 * n : 2 * n + 2], *gates[..., n]) for n in range(2)]
    return cells.HeadParams(*map(jnp.asarray, (W, b, W_g, b_g))), jnp.asarray(xs), heads


@pytest.mark.parametrize("size", GATE_SIZES)
def test_mlstm(size, x64):
    params, xs, heads = inputs_of_heads(size)
    outputs = scan(MLSTM(H, heads=2), params, xs).outputs[:, 0]
    assert_close(outputs, np.concatenate([oracles.mlstm(*head) for head in heads], axis=-1), "float64")


@pytest.mark.parametrize("gated", [True, False])
def test_delta_net(gated, x64):
    params, xs, heads = inputs_of_heads(1.0)
    outputs = scan(DeltaNet(H, heads=2, gated=gated), params, xs).outputs[:, 0]
    sigmoid = oracles.sigmoid
    expected = [
        oracles.delta_net(q, k, v, o, sigmoid(i), sigmoid(f) if gated else np.ones(T)) for q, k, v, o, i, f in heads
    ]
    assert_close(outputs, np.concatenate(expected, axis=-1), "float64")


@pytest.mark.parametrize("closed", [-1e4, 1e4])
@pytest.mark.parametrize("cell", [SLSTM(H), MLSTM(H)], ids=str)
def test_gates_that_no_exponential_can_hold_give_numbers(cell, closed, quick_compile):
    """Values and gradients in float32, with the write gate wide open or shut, and the forget gate shut."""
    params = cell.init(jax.random.key(0), D)
    name = "bias" if isinstance(cell, SLSTM) else "gate_bias"
    gates = getattr(params, name)
    params = params._replace(**{name: gates.at[0].set(closed).at[1].set(-30.0)})
    xs = jnp.asarray(draw(5, T, B, D), jnp.float32)
    found = jax.value_and_grad(lambda params: jnp.sum(scan(cell, params, xs).outputs ** 2))(params)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(found))
