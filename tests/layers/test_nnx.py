"""`recurrax.nnx.RNN`: `recurrax.scan` and nothing else, with Flax's conventions around it."""

import subprocess
import sys
from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from tolerances import assert_close, assert_same_bits

import recurrax
from recurrax.cells import GRU, LSTM, Elman, LSTMCarry

T, B, D, H = 5, 3, 4, 6
CELLS = [Elman(H), LSTM(H), GRU(H), GRU(H, reset_after=False)]
XS = jax.random.normal(jax.random.key(1), (B, T, D))
LENGTHS = jnp.array([5, 0, 3])
MASK = jnp.ones((B, T), bool).at[2, 1].set(False)
RESETS = jnp.zeros((B, T), bool).at[0, 2].set(True)


def layer(cell, **fields):
    return recurrax.nnx.RNN(cell, D, rngs=nnx.Rngs(0), **fields)


def time_major(tree):
    return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 1, 0), tree)


@pytest.mark.parametrize("cell", CELLS, ids=repr)
def test_equals_scan_bit_for_bit(cell):
    rnn = layer(cell)
    carry, outputs = rnn(XS, seq_lengths=LENGTHS, mask=MASK, resets=RESETS, return_carry=True, reverse=True)
    expected = recurrax.scan(
        cell,
        rnn.params,
        time_major(XS),
        lengths=LENGTHS,
        mask=time_major(MASK),
        resets=time_major(RESETS),
        reverse=True,
    )
    assert_same_bits((carry, outputs), (expected.carry, time_major(expected.outputs)))
    assert float(jnp.abs(outputs).max()) > 0.1


def test_holds_what_init_draws_as_its_own_fields():
    for cell in CELLS:
        rnn = layer(cell)
        expected = cell.init(nnx.Rngs(0).params(), D)
        assert type(rnn.params) is type(expected)
        assert_same_bits(rnn.params, expected)
        state = nnx.to_pure_dict(nnx.state(rnn, nnx.Param))
        assert set(state) == {name for name, value in expected._asdict().items() if value is not None}
    assert layer(GRU(H, reset_after=False)).recurrent_bias is None


def test_gradient_is_that_of_scan():
    rnn = layer(LSTM(H), dtype=None)
    graph, params = nnx.split(rnn, nnx.Param)

    @jax.jit
    def both(params, xs):
        def scanned(fields):
            return jnp.sum(jnp.sin(recurrax.scan(rnn.cell, fields, time_major(xs)).outputs))

        model = nnx.merge(graph, params)
        ours = nnx.grad(lambda model: jnp.sum(jnp.sin(model(xs))))(model)
        expected = jax.grad(scanned)(model.params)._asdict()
        return nnx.to_pure_dict(ours), {name: leaf for name, leaf in expected.items() if leaf is not None}

    ours, expected = both(params, XS)
    assert_close(dict(ours), dict(expected), "float32")


def test_time_major_batch_axes_and_no_batch():
    rnn = layer(Elman(H))
    whole = rnn(XS)
    assert_same_bits(rnn(time_major(XS), time_major=True), time_major(whole))
    two = rnn(XS.reshape(1, B, T, D), mask=MASK[None])
    assert_same_bits(two[0], rnn(XS, mask=MASK))
    assert_close(rnn(XS[0]), whole[0], "float32")


def test_constructor_defaults_and_overrides():
    rnn = layer(Elman(H), time_major=True, return_carry=True, reverse=True)
    carry, outputs = rnn(time_major(XS))
    plain = layer(Elman(H))
    assert_same_bits(time_major(outputs), plain(XS, reverse=True))
    assert_same_bits(carry.h, outputs[0])
    assert_same_bits(rnn(XS, time_major=False, return_carry=False, reverse=False), plain(XS))


def test_chunks_with_the_carry_handed_on_are_the_whole():
    rnn = layer(GRU(H), return_carry=True)
    carry, outputs = rnn(XS)
    middle, first = rnn(XS[:, :2])
    last, second = rnn(XS[:, 2:], initial_carry=middle)
    assert_close((last, jnp.concatenate([first, second], axis=1)), (carry, outputs), "float32")


def test_length_zero_gives_the_initial_carry():
    """Flax's own layer gives the state after all the padding."""
    rnn = layer(LSTM(H))
    start = LSTMCarry(h=jnp.full((B, H), 0.5), c=jnp.full((B, H), -0.25))
    carry, outputs = rnn(XS, initial_carry=start, seq_lengths=LENGTHS, return_carry=True)
    empty = jax.tree.map(lambda leaf: leaf[1], (carry, outputs))
    assert_same_bits(empty, (LSTMCarry(start.h[1], start.c[1]), jnp.zeros((T, H))))


def test_padding_reaches_no_output_and_no_gradient():
    rnn = layer(LSTM(H))
    valid = jnp.arange(T).reshape(1, T, 1) < LENGTHS.reshape(B, 1, 1)

    @nnx.jit
    def value_and_grad(rnn, xs):
        def loss(rnn, xs):
            return jnp.sum(jnp.sin(rnn(xs, seq_lengths=LENGTHS)))

        return nnx.value_and_grad(loss, argnums=(0, 1))(rnn, xs)

    clean, nan, inf = (value_and_grad(rnn, jnp.where(valid, XS, filling)) for filling in (0.0, jnp.nan, jnp.inf))
    assert_same_bits(nan, clean)
    assert_same_bits(inf, clean)


def test_bfloat16_compute_keeps_a_float32_carry():
    rnn = layer(LSTM(H), dtype=jnp.bfloat16)
    assert rnn.kernel.dtype == jnp.float32
    carry, outputs = rnn(XS, return_carry=True)
    assert carry.c.dtype == carry.h.dtype == outputs.dtype == jnp.float32
    low = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), (rnn.params, time_major(XS)))
    assert_same_bits(time_major(outputs), recurrax.scan(rnn.cell, *low).outputs)
    exact = layer(LSTM(H))(XS)
    assert_close(outputs, exact, "bfloat16")
    assert not jnp.array_equal(outputs, exact)


def test_bfloat16_parameters():
    """Most of Flax's cells raise here: their orthogonal initialiser has no half precision."""
    for cell in CELLS:
        assert all(
            leaf.dtype == jnp.bfloat16 for leaf in layer(cell, param_dtype=jnp.bfloat16).params if leaf is not None
        )
    rnn = layer(GRU(H), param_dtype=jnp.bfloat16)
    outputs, gradient = nnx.jit(nnx.value_and_grad(lambda rnn: (jnp.sum(rnn(XS)), rnn(XS)), has_aux=True))(rnn)
    assert_close(outputs[1], layer(GRU(H))(XS), "bfloat16")
    assert all(leaf.dtype == jnp.bfloat16 for leaf in jax.tree.leaves(gradient))


def test_vmap_over_layers():
    """Layers drawn from two seeds and run together are the layers run one by one."""

    def make(key):
        return recurrax.nnx.RNN(Elman(H), D, rngs=nnx.Rngs(params=key))

    keys = jax.random.split(jax.random.key(3), 2)
    together = nnx.jit(nnx.vmap(lambda rnn: rnn(XS)))(nnx.jit(nnx.vmap(make))(keys))
    alone = [make(key)(XS) for key in keys]
    assert_close(together, jnp.stack(alone), "float32")


def test_compiles_once():
    traces = []
    rnn = layer(GRU(H))

    @nnx.jit
    def run(rnn, xs):
        traces.append(1)
        return rnn(xs)

    run(rnn, XS)
    run(layer(GRU(H)), XS + 1)
    assert len(traces) == 1


def test_stack_and_both_directions_are_compositions():
    rngs = nnx.Rngs(0)
    lower, upper = recurrax.nnx.RNN(LSTM(H), D, rngs=rngs), recurrax.nnx.RNN(GRU(2), H, rngs=rngs)
    assert_same_bits(nnx.Sequential(lower, upper)(XS), upper(lower(XS)))
    backward = recurrax.nnx.RNN(LSTM(H), D, reverse=True, rngs=rngs)
    outputs = backward(XS, seq_lengths=LENGTHS)
    flipped = jnp.flip(XS[2, :3], axis=0)
    forward = recurrax.scan(backward.cell, backward.params, flipped)
    assert_close(outputs[2, :3], jnp.flip(forward.outputs, axis=0), "float32")


class ScaledParams(NamedTuple):
    inner: NamedTuple
    scale: jax.Array


@dataclass(frozen=True)
class Scaled(recurrax.Cell):
    """A wrapped cell, so that parameters are nested."""

    inner: recurrax.Cell

    def init(self, key, input_size, dtype=jnp.float32):
        return ScaledParams(self.inner.init(key, input_size, dtype), jnp.full((1,), 2.0, dtype))

    def initial_carry(self, params, batch_shape, dtype):
        return self.inner.initial_carry(params.inner, batch_shape, dtype)

    def project(self, params, x):
        return self.inner.project(params.inner, x * params.scale.reshape((1,) * x.ndim))

    def recur(self, params, carry, u):
        return self.inner.recur(params.inner, carry, u)

    def pointwise(self, params, carry, u, v):
        return self.inner.pointwise(params.inner, carry, u, v)

    def output(self, params, carry, u):
        return self.inner.output(params.inner, carry, u)


def test_a_wrapped_cell_keeps_its_nested_parameters():
    rnn = layer(Scaled(GRU(H)))
    inner = layer(GRU(H))
    assert_same_bits(rnn(XS), inner(2 * XS))
    gradient = nnx.to_pure_dict(nnx.jit(nnx.grad(lambda rnn: jnp.sum(rnn(XS))))(rnn))
    assert len(jax.tree.leaves(gradient)) == 5
    assert float(jnp.abs(gradient["scale"]).sum()) > 0


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: layer(LSTM), "^cell: expected an instance such as LSTM"),
        (lambda: layer(LSTM(H), dtype=jnp.int32), "^dtype: expected a floating dtype, got int32"),
        (lambda: layer(LSTM(H), param_dtype=jnp.int8), "^param_dtype: expected a floating dtype, got int8"),
        (lambda: recurrax.nnx.RNN(LSTM(H), 0, rngs=nnx.Rngs(0)), "^input_size: expected a positive int, got 0"),
        (lambda: layer(LSTM(H), implementation="cuda")(XS), "^implementation: unknown name 'cuda'"),
        (lambda: layer(LSTM(H))([1.0]), "^inputs: expected an array .*got list"),
        (lambda: layer(LSTM(H))(XS[0, 0]), r"^inputs: expected floating \(\*batch, T, D\), .*got float32 \(4,\)"),
        (lambda: layer(LSTM(H))(XS.astype(int)), "^xs: expected 4 features on the last axis, got shape"),
        (lambda: layer(LSTM(H))(XS[..., :2]), "expected 4 features on the last axis"),
        (lambda: layer(LSTM(H))(XS, seq_lengths=LENGTHS[:2]), r"^seq_lengths: .*\(3,\), got \(2,\)"),
        (lambda: layer(LSTM(H))(XS, seq_lengths=LENGTHS * 1.0), "lengths: expected an integer dtype"),
        (lambda: layer(LSTM(H))(XS, seq_lengths=LENGTHS + 1), "lengths: expected values in .*0..5, got 6"),
        (lambda: layer(LSTM(H))(XS, mask=time_major(MASK)), r"^mask: .*\(\*batch, T\) = \(3, 5\), got bool \(5, 3\)"),
        (lambda: layer(LSTM(H))(XS, resets=1.0 * RESETS), "^resets: expected bool .*got float32"),
        (lambda: layer(LSTM(H))(XS, initial_carry=(XS[:, 0], XS[:, 0])), "carry: expected a LSTMCarry.*got tuple"),
        (lambda: layer(LSTM(H))(XS, initial_carry=LSTMCarry(XS[:, 0], XS[:, 0])), r"carry\.h: expected shape \(3, 6\)"),
    ],
)
def test_bad_input_is_one_sentence(build, message):
    with pytest.raises(ValueError, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)


def test_cells_of_equal_value_make_equal_layers():
    rnn, again = layer(replace(LSTM(H), forget_bias=2.0)), layer(LSTM(H, forget_bias=2.0))
    assert nnx.split(rnn)[0] == nnx.split(again)[0]


def test_flax_is_loaded_when_its_layers_are_first_touched():
    code = "import sys, recurrax; print('flax' in sys.modules); recurrax.nnx.RNN; recurrax.linen.RNN; recurrax.nope"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert ended.stdout == "False\n"
    assert ended.stderr.endswith("AttributeError: module 'recurrax' has no attribute 'nope'\n")
