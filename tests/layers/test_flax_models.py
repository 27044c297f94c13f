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

    results = [jax.jit(Model(own).apply)({"params": params}, XS) for own, params in ((True, ours), (False, theirs))]
    assert_close(*results, "float32")


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
        layers = iter(layers)
        return model(lambda **_: next(layers), nnx.Bidirectional, lambda parts: nnx.Sequential(*parts))(XS)

    assert_close(*(run(list(layers)) for layers in zip(*pairs, strict=True)), "float32")


OF_THEIR_SCAN = {"variable_axes", "variable_broadcast", "variable_carry", "split_rngs", "state_axes", "broadcast_rngs"}
"""How Flax lifts its own scan over a cell's variables; ours scans a pure function."""


@pytest.mark.parametrize("ours", [recurrax.linen.RNN, recurrax.nnx.RNN], ids=["linen", "nnx"])
def test_takes_every_argument_that_flax_s_takes(ours):
    theirs = linen.RNN if ours is recurrax.linen.RNN else nnx.RNN
    for one, other in ((ours, theirs), (ours.__call__, theirs.__call__)):
        missing = set(inspect.signature(other).parameters) - set(inspect.signature(one).parameters)
        assert missing <= OF_THEIR_SCAN
