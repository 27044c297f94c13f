"""Other libraries' cells, unchanged, through scan, its gradient and the instruments: what ours give."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from tolerances import assert_close

import recurrax
from recurrax import GRU, LSTM, Elman, cells, lag
from recurrax.check import contract
from recurrax.check.subject import Subject

T, B, D, H = 12, 2, 3, 4
XS = np.random.default_rng(0).standard_normal((T, B, D))


def drawn(cell):
    params = cell.init(jax.random.key(0), D, jnp.float64)
    noise = np.random.default_rng(1)
    return jax.tree.map(lambda leaf: np.asarray(leaf + 0.1 * noise.standard_normal(leaf.shape)), params)


def stacked(*names):
    """The kernels (D, G, H) or biases (G, H) of Flax's gates of these names."""
    return lambda held, part: jnp.stack([held[name][part] for name in names], axis=-2)


def of_lstm(p):
    i, h = stacked("ii", "if", "ig", "io"), stacked("hi", "hf", "hg", "ho")
    return cells.LSTMParams(i(p, "kernel"), h(p, "kernel"), h(p, "bias"))


def of_gru(p):
    i, h = stacked("ir", "iz", "in"), stacked("hr", "hz", "hn")
    return cells.GRUParams(i(p, "kernel"), h(p, "kernel"), i(p, "bias"), p["hn"]["bias"])


def of_elman(p):
    return cells.ElmanParams(p["i"]["kernel"][:, None], p["h"]["kernel"][:, None], p["i"]["bias"][None])


def of_dense(size):
    """Parameters of the nnx cells that keep all gates in one array (D, G*H)."""

    def convert(state):
        i, h = state["dense_i"], state["dense_h"]
        kernel, recurrent = (side["kernel"][...].reshape(-1, size, H) for side in (i, h))
        held = [side["bias"][...].reshape(size, H) for side in (i, h) if "bias" in side]
        inner = {"recurrent_bias": jnp.zeros(H, kernel.dtype)} if size == 3 else {}
        return {1: cells.ElmanParams, 3: cells.GRUParams, 4: cells.LSTMParams}[size](kernel, recurrent, *held, **inner)

    return convert


def of_nnx_lstm(state):
    return of_lstm({name.rstrip("_"): dict(state[name]) for name in state})


class Layer(nnx.Module):
    """A module of somebody's own, whose output is computed from its carry."""

    def __init__(self, rngs):
        self.inner = nnx.Linear(D + H, H, rngs=rngs)
        self.readout = nnx.Linear(H, 2, rngs=rngs)

    def __call__(self, carry, x):
        carry = jnp.tanh(self.inner(jnp.concatenate([x, carry])))
        return carry, jax.jit(self.readout)(carry)


class WithEquinoxsCall:
    """The equations of Equinox's cells, one row and `cell(x, carry)`, as a pytree that can be called."""

    hidden_size, input_size = H, D

    def __init__(self, params, name="a leaf that is no array"):
        self.params, self.name = params, name

    def __call__(self, x, carry):
        p = self.params
        if isinstance(p, cells.GRUParams):
            r, z, n = (jnp.einsum("dgh,d->gh", p.kernel, x) + p.bias)[:]
            hr, hz, hn = jnp.einsum("dgh,d->gh", p.recurrent_kernel, carry)
            r, z = jax.nn.sigmoid(r + hr), jax.nn.sigmoid(z + hz)
            n = jnp.tanh(n + r * (hn + p.recurrent_bias))
            return n + z * (carry - n)
        h, c = carry
        i, f, g, o = (jnp.einsum("dgh,d->gh", p.kernel, x) + jnp.einsum("dgh,d->gh", p.recurrent_kernel, h) + p.bias)[:]
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return jax.nn.sigmoid(o) * jnp.tanh(c), c


jax.tree_util.register_pytree_node(
    WithEquinoxsCall, lambda cell: ((cell.params, cell.name), None), lambda _, parts: WithEquinoxsCall(*parts)
)


def equinox_lstm():
    return recurrax.from_equinox(WithEquinoxsCall(drawn(LSTM(H))))


def equinox_gru():
    return recurrax.from_equinox(lambda key: WithEquinoxsCall(GRU(H).init(key, D)))


def of_haiku_like():
    """A step with Haiku's signature apart from the order of its arguments, its carry (h, c) and one row at a time."""
    params = drawn(LSTM(H))
    return recurrax.from_step(lambda p, carry, x: _equinox(p, carry, x), params, (jnp.zeros(H), jnp.zeros(H)))


def _equinox(params, carry, x):
    h, c = WithEquinoxsCall(params)(x, carry)
    return (h, c), h


CASES = {
    "linen LSTMCell": (lambda: recurrax.from_linen(linen.LSTMCell(H)), LSTM(H), lambda p: of_lstm(p["params"])),
    "linen Optimized": (
        lambda: recurrax.from_linen(linen.OptimizedLSTMCell(H)),
        LSTM(H),
        lambda p: of_lstm(p["params"]),
    ),
    "linen GRUCell": (lambda: recurrax.from_linen(linen.GRUCell(H)), GRU(H), lambda p: of_gru(p["params"])),
    "linen SimpleCell": (lambda: recurrax.from_linen(linen.SimpleCell(H)), Elman(H), lambda p: of_elman(p["params"])),
    "nnx LSTMCell": (lambda: recurrax.from_nnx(nnx.LSTMCell(D, H, rngs=nnx.Rngs(0))), LSTM(H), of_nnx_lstm),
    "nnx Optimized": (lambda: recurrax.from_nnx(nnx.OptimizedLSTMCell(D, H, rngs=nnx.Rngs(0))), LSTM(H), of_dense(4)),
    "nnx GRUCell": (lambda: recurrax.from_nnx(lambda rngs: nnx.GRUCell(D, H, rngs=rngs)), GRU(H), of_dense(3)),
    "nnx SimpleCell": (
        lambda: recurrax.from_nnx(nnx.SimpleCell(D, H, dtype=None, rngs=nnx.Rngs(0))),
        Elman(H),
        of_dense(1),
    ),
    "Equinox's LSTM": (equinox_lstm, LSTM(H), lambda module: module.params),
    "Equinox's GRU": (equinox_gru, GRU(H), lambda module: module.params),
    "a step": (of_haiku_like, LSTM(H), lambda params: params),
}


@pytest.mark.parametrize(("make", "cell", "convert"), CASES.values(), ids=CASES)
def test_values_and_gradients_are_ours(make, cell, convert, x64, quick_compile):
    foreign = make()
    theirs = drawn(foreign)

    @jax.jit
    def both(params, xs):
        def loss(params, xs, cell, convert):
            result = recurrax.scan(cell, convert(params), xs, lengths=jnp.array([T, T - 3]))
            return jnp.sum(jnp.sin(result.outputs)), result.outputs

        # Both by the other library's parameters: the conversion is a part of the function.
        gradient = jax.grad(loss, argnums=(0, 1), has_aux=True)
        return gradient(params, xs, foreign, lambda params: params), gradient(params, xs, cell, convert)

    assert_close(*both(theirs, XS), "float64")
    assert jax.tree.structure(convert(theirs)) == jax.tree.structure(cell.init(jax.random.key(0), D))


@pytest.mark.parametrize("name", ["nnx LSTMCell", "Equinox's GRU"])
def test_instruments_say_what_they_say_of_ours(name, x64, quick_compile):
    make, cell, convert = CASES[name]
    foreign = make()
    theirs = drawn(foreign)

    def say(cell, params):
        spectrum = lag.lyapunov_spectrum(cell, params, XS[:, 0]).exponents
        # Flax's carry is (c, h), ours (h, c): over a few steps the single exponents depend on where the axes start,
        # their sum, ln |det| of the whole Jacobian, does not.
        spectrum = jnp.sum(spectrum) if cell is foreign and "LSTM" in name else spectrum
        return lag.adjoint_profile(cell, params, XS).log_norm_joint, spectrum

    actual, (profile, spectrum) = say(foreign, theirs), say(cell, convert(theirs))
    assert_close(actual, (profile, spectrum if actual[1].ndim else jnp.sum(spectrum)), "float64")


@pytest.mark.parametrize("name", ["linen SimpleCell", "nnx Optimized"])
def test_structures_keep_the_contract_in_every_dtype(name):
    cell = CASES[name][0]()
    subject = Subject(cell, D, XS.astype(np.float32), jax.random.key(0), None, ("float32", "bfloat16", "float64"))
    assert not [found for law in contract.LAWS if (found := law(subject))]


def test_a_module_of_ones_own(x64, quick_compile):
    """Its output is no part of its carry, and wrapped in jit: it is read off the step; parameters are drawn by key."""
    cell = recurrax.from_nnx(Layer, carry=jnp.zeros(H), input_size=D)
    params = cell.init(jax.random.key(3), D)
    model, h, expected = nnx.merge(cell.advance.graph, params), jnp.zeros((B, H)), []
    for x in XS:
        h = jnp.tanh(jnp.concatenate([x, h], axis=-1) @ model.inner.kernel[...] + model.inner.bias[...][None])
        expected.append(h @ model.readout.kernel[...] + model.readout.bias[...][None])
    result = recurrax.scan(cell, params, XS)
    assert_close((result.outputs, result.carry), (np.stack(expected), h), "float64")
    other = cell.init(jax.random.key(4), D)
    assert not np.allclose(params["inner"]["kernel"][...], other["inner"]["kernel"][...])


def test_a_step_that_wants_a_batch_and_any_trees():
    """Keras's calls take one batch axis and lists of states; the initial carry may be a parameter."""

    def step(params, states, x):
        assert x["a"].ndim == 2
        h = jnp.tanh(x["a"] @ params["w"] + params["gain"] * states[0] * x["b"][:, None])
        return [h], h

    params = {"w": jnp.ones((D, H)) / 3, "gain": jnp.float32(0.5), "start": jnp.arange(H) / 4.0}
    cell = recurrax.from_step(step, params, lambda params: [params["start"]], batched=True)
    xs = {"a": jnp.asarray(XS, jnp.float32).reshape(T, 1, B, D), "b": jnp.ones((T, 1, B), bool)}
    result, h = recurrax.scan(cell, cell.params, xs), params["start"]
    for x in xs["a"][:, 0, 1]:
        h = jnp.tanh(x @ params["w"] + 0.5 * h)
    assert result.outputs.shape == (T, 1, B, H)
    assert_close(result.carry[0][0, 1], h, "float32")


def test_an_output_that_reads_the_carry_before():
    def step(params, h, x):
        return jnp.tanh(x + params * h), h

    cell = recurrax.from_step(step, jnp.float32(0.5), jnp.zeros(D))
    with pytest.raises(ValueError, match=r"^step: expected an output that follows from the carry from_step\(step\)"):
        recurrax.scan(cell, cell.params, XS)
    said = recurrax.from_step(step, jnp.float32(0.5), jnp.zeros(D), output=lambda params, h, x: 2 * h)
    result = recurrax.scan(said, said.params, jnp.asarray(XS, jnp.float32))
    assert_close(result.outputs[-1], 2 * result.carry, "float32")


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (lambda: linen.LSTMCell(H), "got flax.linen's LSTMCell; recurrax.from_linen(cell) makes a cell of it"),
        (lambda: nnx.GRUCell(D, H, rngs=nnx.Rngs(0)), "got flax.nnx's GRUCell; recurrax.from_nnx(cell) makes a cell"),
        (lambda: nnx.RNN(nnx.GRUCell(D, H, rngs=nnx.Rngs(0))), "got flax.nnx's GRUCell; recurrax.from_nnx(cell)"),
        (lambda: linen.RNN(linen.LSTMCell(H)), "got flax.linen's LSTMCell; recurrax.from_linen(cell) makes a cell"),
    ],
    ids=["linen", "nnx", "nnx's layer", "linen's layer"],
)
def test_another_librarys_cell_is_named_with_its_adapter(cell, said):
    for instrument in (lag.adjoint_profile, lag.lyapunov_spectrum):
        with pytest.raises(ValueError, match=f"^cell: expected an object.*{re.escape(said)}[^\n]*$"):
            instrument(cell(), None, XS)
    if not hasattr(cell(), "time_major"):
        for door in (lambda: recurrax.check_cell(cell()), lambda: recurrax.scan(cell(), None, XS)):
            with pytest.raises(ValueError, match=re.escape(said)):
                door()


def test_what_is_no_step_and_no_module():
    with pytest.raises(ValueError, match=r"^step: expected a function"):
        recurrax.from_step(1, jnp.ones(2), jnp.ones(2))
    with pytest.raises(ValueError, match=r"^params: expected a pytree of arrays, got a leaf of type str"):
        recurrax.from_step(lambda *a: a, {"w": "lstm"}, jnp.ones(2))
    with pytest.raises(ValueError, match=r"^cell: expected a module of flax.nnx, got a LSTMCell"):
        recurrax.from_nnx(linen.LSTMCell(H))
    with pytest.raises(ValueError, match=r"^cell: expected a module of flax.linen, got a GRU"):
        recurrax.from_linen(GRU(H))
    with pytest.raises(ValueError, match=r"^cell: expected a module without random state, got a Dropout"):
        recurrax.from_nnx(nnx.Dropout(0.5, rngs=nnx.Rngs(0)))
    cell = recurrax.from_nnx(nnx.GRUCell(5, H, rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match=r"^xs: expected 5 features on the last axis, got shape"):
        recurrax.scan(cell, cell.params, XS)
    with pytest.raises(ValueError, match=r"^params: from_linen\(GRUCell\) came without parameters"):
        _ = recurrax.from_linen(linen.GRUCell(H)).params
