"""A Flax model and the same model with our layers in their places: from converted weights the same numbers."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from tolerances import assert_close

import recurrax
from recurrax import GRU, LSTM, Elman, convert

pytestmark = pytest.mark.usefixtures("quick_compile")

T, B, H = 5, 3, 4
XS = jax.random.normal(jax.random.key(1), (B, T, H))
LENGTHS = jnp.array([5, 1, 3])  # Flax gives another carry for 0
VALID = jnp.arange(T).reshape(1, T, 1) < LENGTHS.reshape(B, 1, 1)
CELLS = {"LSTM": LSTM(H), "GRU": GRU(H), "Elman": Elman(H)}
PEERS = {
    "linen": {"LSTM": linen.OptimizedLSTMCell, "GRU": linen.GRUCell, "Elman": linen.SimpleCell},
    "nnx": {"LSTM": nnx.OptimizedLSTMCell, "GRU": nnx.GRUCell, "Elman": nnx.SimpleCell},
}


def state(carry):
    """The hidden state in a carry of ours, or of theirs: (c, h) or h."""
    return carry.h if hasattr(carry, "h") else carry[1] if isinstance(carry, tuple) else carry


def model(rnn, bidirectional, sequential):
    """What a model computes with layers from `rnn`; two results each, valid outputs and hidden states."""

    def forward(xs):
        results = []
        both = bidirectional(rnn(), rnn(), return_carry=True)
        carry, outputs = both(xs, seq_lengths=LENGTHS)
        results += [jnp.where(VALID, outputs, 0), [state(part) for part in carry]]
        xs = jnp.where(VALID, xs + outputs[..., :H] - outputs[..., H:], 0)  # Flax computes outputs of padding too
        for keep_order in (False, True):
            carry, outputs = rnn(reverse=True)(xs, seq_lengths=LENGTHS, keep_order=keep_order, return_carry=True)
            results += [jnp.where(VALID, outputs, 0), state(carry)]
        turned = rnn(time_major=True, reverse=True, keep_order=False, unroll=2)(jnp.moveaxis(xs, 1, 0))
        carry, outputs = sequential([rnn(), rnn(return_carry=True)])(xs)
        return [*results, turned, outputs, state(carry)]

    return forward


def value_and_gradient(run, grad=jax.grad):
    """Of a function of parameters: what it gives, and the gradient of its sum of squares."""

    def loss(params):
        results = run(params)
        return sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(results)), results

    return grad(loss, has_aux=True)


@pytest.mark.parametrize("name", CELLS)
def test_linen(name):
    cell, peer = CELLS[name], PEERS["linen"][name]

    class Model(linen.Module):
        ours: bool

        @linen.compact
        def __call__(self, xs):
            def rnn(**options):
                if self.ours:
                    return recurrax.linen.RNN(cell, **options)
                return linen.RNN(peer(H), **options)

            return model(rnn, linen.Bidirectional, linen.Sequential)(xs)

    def converted(weights):
        params = convert.weights_from("linen", weights, cell=cell).params
        return {name: leaf for name, leaf in params._asdict().items() if leaf is not None}

    # Modules are named by their class, in the order in which they are made; theirs are the cells of layers.
    noise = np.random.default_rng(0)
    theirs = jax.eval_shape(Model(ours=False).init, jax.random.key(0), XS)["params"]
    theirs = jax.tree.map(lambda leaf: noise.normal(size=leaf.shape).astype(np.float32) / 2, theirs)
    ours = {f"RNN_{i}": converted(theirs[f"{peer.__name__}_{i}"]) for i in range(len(theirs))}
    shapes = jax.eval_shape(Model(ours=True).init, jax.random.key(0), XS)["params"]
    assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(jnp.shape, ours)

    both = [
        jax.jit(value_and_gradient(lambda params, own=own: Model(own).apply({"params": params}, XS)))(params)
        for own, params in ((True, ours), (False, theirs))
    ]
    (gradient, results), (their_gradient, their_results) = both
    assert_close(results, their_results, "float32")
    for i in range(len(theirs)):
        assert_close(gradient[f"RNN_{i}"], converted(their_gradient[f"{peer.__name__}_{i}"]), "float32")


@pytest.mark.parametrize("name", CELLS)
def test_nnx(name):
    cell, peer = CELLS[name], PEERS["nnx"][name]
    rngs, pairs = nnx.Rngs(0), []

    def make(**options):
        """One of Flax's layers and ours with its weights."""
        theirs = nnx.RNN(peer(H, H, bias_init=nnx.initializers.uniform(), rngs=rngs), **options)
        weights = nnx.to_pure_dict(nnx.state(theirs.cell, nnx.Param))
        ours = recurrax.nnx.RNN(cell, H, rngs=rngs, **{"keep_order": False} | options)
        ours.set_params(convert.weights_from("nnx", weights, cell=cell).params)
        pairs.append((ours, theirs))

    for options in ({}, {}, {"reverse": True}, {"reverse": True}):
        make(**options)
    make(time_major=True, reverse=True, unroll=2)
    make()
    make(return_carry=True)

    @nnx.jit
    def run(layers):
        def results(layers):
            layers = iter(layers)
            return model(lambda **_: next(layers), nnx.Bidirectional, lambda parts: nnx.Sequential(*parts))(XS)

        gradient, values = value_and_gradient(results, nnx.grad)(layers)
        return [nnx.to_pure_dict(one) for one in gradient], values

    (gradient, values), (their_gradient, their_values) = (run(list(layers)) for layers in zip(*pairs, strict=True))
    assert_close(values, their_values, "float32")
    for of_one, of_theirs in zip(gradient, their_gradient, strict=True):
        expected = convert.weights_from("nnx", of_theirs["cell"], cell=cell).params._asdict()
        of_one.pop("recurrent_bias", None)  # nnx's GRU has none
        assert_close(of_one, {field: expected[field] for field in of_one}, "float32")


DEPTH, CELL = 2, CELLS["Elman"]


def drawn(shapes):
    """Parameters of that shape around zero."""
    noise = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: noise.normal(size=leaf.shape).astype(np.float32) / 2, shapes)


def at(i, tree):
    """Of stacked layers the parameters of one."""
    return jax.tree.map(lambda leaf: leaf[i], tree)


def stacked(trees):
    return jax.tree.map(lambda *parts: jnp.stack(parts), *trees)


def assert_equal(run, expected, params):
    """Two functions of the parameters have the same values and gradients."""
    both = jax.jit(lambda params: [value_and_gradient(one)(params) for one in (run, expected)])(params)
    assert_close(*both, "float32")


def test_linen_lifts_our_layers():
    """Scanned over, rematerialised and mapped over they are so many layers of their own."""
    own = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}}
    lifted = linen.remat(recurrax.linen.RNN)

    def one(layer, xs, _):
        carry, xs = layer(xs, seq_lengths=LENGTHS)
        return xs, carry

    class Layers(linen.Module):
        @linen.compact
        def __call__(self, xs):
            return linen.scan(one, length=DEPTH, **own)(lifted(CELL, return_carry=True, name="rnn"), xs, None)

    def unrolled(params):
        xs, carries = XS, []
        for i in range(DEPTH):
            layer = recurrax.linen.RNN(CELL, return_carry=True).bind({"params": at(i, params)})
            xs, carry = one(layer, xs, None)
            carries.append(carry)
        return xs, stacked(carries)

    first = jax.jit(Layers().init)(jax.random.key(0), XS)["params"]["rnn"]
    assert len(np.unique(first["kernel"][:, 0, 0, 0])) == DEPTH, "each draws its own"
    assert_equal(lambda params: Layers().apply({"params": {"rnn": params}}, XS), unrolled, drawn(first))

    many = linen.vmap(lifted, in_axes=None, axis_size=DEPTH, **own)(CELL)
    assert_equal(
        lambda params: many.apply({"params": params}, XS),
        lambda params: stacked([recurrax.linen.RNN(CELL).apply({"params": at(i, params)}, XS) for i in range(DEPTH)]),
        drawn(first),
    )


def test_nnx_lifts_our_layers():
    @nnx.split_rngs(splits=DEPTH)
    @nnx.vmap
    def make(rngs):
        return recurrax.nnx.RNN(CELL, H, return_carry=True, rngs=rngs)

    def one(xs, layer):
        carry, xs = layer(xs, seq_lengths=LENGTHS)
        return xs, carry

    def unrolled(params):
        xs, carries = XS, []
        for i in range(DEPTH):
            xs, carry = one(xs, nnx.merge(graph, at(i, params)))
            carries.append(carry)
        return xs, stacked(carries)

    graph, first = nnx.split(make(nnx.Rngs(0)))
    assert len(np.unique(first["kernel"][...][:, 0, 0, 0])) == DEPTH, "each draws its own"
    lifted = nnx.scan(nnx.remat(one), in_axes=(nnx.Carry, 0), out_axes=(nnx.Carry, 0))
    assert_equal(lambda params: lifted(XS, nnx.merge(graph, params)), unrolled, drawn(first))

    many = nnx.vmap(nnx.remat(one), in_axes=(None, 0))
    assert_equal(
        lambda params: many(XS, nnx.merge(graph, params)),
        lambda params: stacked([one(XS, nnx.merge(graph, at(i, params))) for i in range(DEPTH)]),
        drawn(first),
    )


@pytest.mark.parametrize("ours", [recurrax.linen.RNN, recurrax.nnx.RNN], ids=["linen", "nnx"])
def test_takes_every_argument_that_flax_s_takes(ours):
    theirs = linen.RNN if ours is recurrax.linen.RNN else nnx.RNN
    for one, other in ((ours, theirs), (ours.__call__, theirs.__call__)):
        assert set(inspect.signature(other).parameters) <= set(inspect.signature(one).parameters)


@pytest.mark.parametrize("name", ["variable_axes", "variable_broadcast", "variable_carry", "split_rngs"])
def test_linen_s_arguments_of_a_lifted_scan(name):
    """As Flax's documentation gives them they change nothing; variables that change over time are refused."""
    usual = {"variable_axes": {}, "variable_broadcast": "params", "variable_carry": False}
    usual |= {"split_rngs": {"params": False}}
    jax.eval_shape(recurrax.linen.RNN(CELL, **usual).init, jax.random.key(0), XS)
    other = {"variable_axes": {"params": 0}, "split_rngs": {"dropout": True}}.get(name, "cache")
    with pytest.raises(ValueError, match=f"^{name}: expected .*, since all steps share a cell's parameters alone, got"):
        recurrax.linen.RNN(CELL, **{name: other}).init(jax.random.key(0), XS)


def test_nnx_s_arguments_of_a_lifted_scan():
    recurrax.nnx.RNN(CELL, H, state_axes=None, broadcast_rngs=None, rngs=nnx.Rngs(0))
    for name, other in (("state_axes", nnx.StateAxes({...: nnx.Carry})), ("broadcast_rngs", "dropout")):
        with pytest.raises(ValueError, match=f"^{name}: expected None, since all steps share"):
            recurrax.nnx.RNN(CELL, H, rngs=nnx.Rngs(0), **{name: other})
    with pytest.raises(ValueError, match=r"^rngs: expected flax.nnx.Rngs, to draw the parameters from, got True"):
        recurrax.nnx.RNN(CELL, H, rngs=True)
