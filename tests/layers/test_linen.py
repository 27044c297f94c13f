"""`recurrax.linen.RNN`: the parameters and values of the nnx layer, and those of Flax's own cells."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx
from tolerances import assert_close, assert_same_bits

import recurrax
from recurrax.cells import GRU, LSTM, Elman, LSTMCarry

T, B, D, H = 5, 3, 4, 6
CELLS = [Elman(H), LSTM(H), GRU(H), GRU(H, reset_after=False)]
XS = jax.random.normal(jax.random.key(1), (B, T, D))
LENGTHS = jnp.array([5, 0, 3])


@pytest.fixture(scope="module")
def lstm():
    layer = recurrax.linen.RNN(LSTM(H))
    return layer, layer.init(jax.random.key(0), XS)


@pytest.mark.parametrize("cell", CELLS, ids=repr)
def test_agrees_with_nnx(cell):
    """Same names, same shapes, and from the same numbers the same bits."""
    twin = recurrax.nnx.RNN(cell, D, rngs=nnx.Rngs(0))
    layer = recurrax.linen.RNN(cell)
    held = dict(nnx.to_pure_dict(nnx.state(twin, nnx.Param)))
    own = jax.eval_shape(layer.init, jax.random.key(0), XS)["params"]
    assert jax.tree.map(jnp.shape, own) == jax.tree.map(jnp.shape, held)
    variables = {"params": held}
    assert_same_bits(layer.cell_params(variables), twin.params)
    mask = jnp.ones((B, T), bool).at[2, 1].set(False)
    ours = layer.apply(variables, XS, seq_lengths=LENGTHS, mask=mask, resets=~mask, return_carry=True)
    assert_same_bits(ours, twin(XS, seq_lengths=LENGTHS, mask=mask, resets=~mask, return_carry=True))


def test_draws_what_the_cell_draws_from_one_key():
    """The recurrent kernels of all gates are orthogonal, the forget bias is where the cell puts it."""
    params = recurrax.linen.RNN(LSTM(H, forget_bias=3.0)).init(jax.random.key(0), XS)["params"]
    for gate in range(4):
        matrix = params["recurrent_kernel"][:, gate]
        assert_close(matrix.T @ matrix, jnp.eye(H), "float32")
    assert_same_bits(params["bias"], jnp.zeros((4, H)).at[1].set(3.0))


def lstm_like_flax(params):
    gates = {}
    for g, name in enumerate("ifgo"):
        gates["i" + name] = {"kernel": params.kernel[:, g]}
        gates["h" + name] = {"kernel": params.recurrent_kernel[:, g], "bias": params.bias[g]}
    return gates


def gru_like_flax(params):
    gates = {}
    for g, name in enumerate("rzn"):
        gates["i" + name] = {"kernel": params.kernel[:, g], "bias": params.bias[g]}
        gates["h" + name] = {"kernel": params.recurrent_kernel[:, g]}
    gates["hn"]["bias"] = params.recurrent_bias
    return gates


def elman_like_flax(params):
    return {
        "i": {"kernel": params.kernel[:, 0], "bias": params.bias[0]},
        "h": {"kernel": params.recurrent_kernel[:, 0]},
    }


@pytest.mark.parametrize(
    ("cell", "peer", "convert"),
    [
        (LSTM(H, bias_init="uniform"), nn.OptimizedLSTMCell(H), lstm_like_flax),
        (GRU(H, bias_init="uniform"), nn.GRUCell(H), gru_like_flax),
        (Elman(H, bias_init="uniform"), nn.SimpleCell(H), elman_like_flax),
    ],
    ids=["LSTM", "GRU", "Elman"],
)
def test_equals_flax_s_own_cells(cell, peer, convert):
    """Same equations and weights: same outputs, last carry and gradients.

    At padded steps nothing is compared, since Flax computes outputs there; it also needs lengths of at least 1.
    """
    lengths = jnp.array([5, 1, 3])
    ours, theirs = recurrax.linen.RNN(cell), nn.RNN(peer)
    params = cell.init(jax.random.key(2), D)
    valid = jnp.arange(T).reshape(1, T, 1) < lengths.reshape(B, 1, 1)

    def objective(layer, variables, xs):
        carry, outputs = layer.apply(variables, xs, seq_lengths=lengths, return_carry=True)
        h = carry.h if hasattr(carry, "h") else (carry[1] if isinstance(carry, tuple) else carry)
        outputs = jnp.where(valid, outputs, 0)
        return jnp.sum(jnp.sin(outputs)) + jnp.sum(jnp.cos(h)), (outputs, h)

    @jax.jit
    def both(params, xs):
        results = []
        for layer, variables in (
            (ours, {k: v for k, v in params._asdict().items() if v is not None}),
            (theirs, {"cell": convert(params)}),
        ):
            differentiate = jax.value_and_grad(objective, argnums=(1, 2), has_aux=True)
            results.append(differentiate(layer, {"params": variables}, xs))
        return results

    (value, gradient), (their_value, their_gradient) = both(params, XS)
    assert_close(value, their_value, "float32")
    assert_close(gradient[1], their_gradient[1], "float32")
    assert_close(convert(ours.cell_params(gradient[0])), their_gradient[0]["params"]["cell"], "float32")


def test_length_zero_gives_the_initial_carry_where_flax_gives_the_state_after_padding(lstm):
    layer, variables = lstm
    carry, outputs = layer.apply(variables, XS, seq_lengths=LENGTHS, return_carry=True)
    assert_same_bits((carry.h[1], carry.c[1], outputs[1]), (jnp.zeros(H), jnp.zeros(H), jnp.zeros((T, H))))
    converted = {"params": {"cell": lstm_like_flax(layer.cell_params(variables))}}
    (_, their_h), _ = nn.RNN(nn.OptimizedLSTMCell(H)).apply(converted, XS, seq_lengths=LENGTHS, return_carry=True)
    after_padding, _ = layer.apply(variables, XS, return_carry=True)
    assert_close(their_h[1], after_padding.h[1], "float32")


def test_gradient_is_that_of_scan_and_padding_reaches_none(lstm):
    layer, variables = lstm
    valid = jnp.arange(T).reshape(1, T, 1) < LENGTHS.reshape(B, 1, 1)

    @jax.jit
    def both(variables, xs):
        def through_layer(variables, xs):
            return jnp.sum(jnp.sin(layer.apply(variables, xs, seq_lengths=LENGTHS)))

        def through_scan(params, xs):
            return jnp.sum(jnp.sin(recurrax.scan(layer.cell, params, jnp.moveaxis(xs, 1, 0), lengths=LENGTHS).outputs))

        ours = jax.grad(through_layer, argnums=(0, 1))(variables, xs)
        return ours, jax.grad(through_scan, argnums=(0, 1))(layer.cell_params(variables), xs)

    ours, expected = both(variables, XS)
    assert_close((layer.cell_params(ours[0]), ours[1]), expected, "float32")
    for filling in (jnp.nan, jnp.inf):
        assert_same_bits(both(variables, jnp.where(valid, XS, filling)), both(variables, jnp.where(valid, XS, 0)))


def test_low_precision():
    """bfloat16 parameters, and bfloat16 compute with float32 parameters: the carry is float32 either way."""
    exact, _ = recurrax.linen.RNN(GRU(H)).init_with_output(jax.random.key(0), XS)
    kept = recurrax.linen.RNN(GRU(H), param_dtype=jnp.bfloat16, return_carry=True)
    computed = recurrax.linen.RNN(GRU(H), dtype=jnp.bfloat16, return_carry=True)
    for layer, dtype in ((kept, jnp.bfloat16), (computed, jnp.float32)):
        (carry, outputs), variables = layer.init_with_output(jax.random.key(0), XS)
        assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(dtype)}
        assert carry.h.dtype == outputs.dtype == jnp.float32
        assert_close(outputs, exact, "bfloat16")


def test_vmap_and_time_major(lstm):
    layer, variables = lstm
    whole = layer.apply(variables, XS)
    turned = recurrax.linen.RNN(layer.cell, time_major=True).apply(variables, jnp.moveaxis(XS, 1, 0))
    assert_same_bits(jnp.moveaxis(turned, 0, 1), whole)
    by_row = jax.jit(jax.vmap(lambda row: layer.apply(variables, row)))(XS)
    assert_close(by_row, whole, "float32")


class Both(nn.Module):
    """A bidirectional layer under a second one: a composition, with nothing written for it."""

    @nn.compact
    def __call__(self, xs):
        forward = recurrax.linen.RNN(Elman(H), name="forward")(xs, seq_lengths=LENGTHS)
        backward = recurrax.linen.RNN(Elman(H), reverse=True, name="backward")(xs, seq_lengths=LENGTHS)
        return recurrax.linen.RNN(GRU(2), name="upper")(jnp.concatenate([forward, backward], axis=-1))


def test_stack_and_both_directions_are_compositions():
    outputs, variables = Both().init_with_output(jax.random.key(0), XS)
    params = variables["params"]
    halves = []
    for name, reverse in (("forward", False), ("backward", True)):
        layer = recurrax.linen.RNN(Elman(H))
        halves.append(layer.apply({"params": params[name]}, XS, seq_lengths=LENGTHS, reverse=reverse))
    upper = recurrax.linen.RNN(GRU(2)).apply({"params": params["upper"]}, jnp.concatenate(halves, axis=-1))
    assert_same_bits(outputs, upper)
    # The backward half at step t has seen the steps after t and none before.
    assert_same_bits(halves[1][2, 3:], jnp.zeros((2, H)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda layer, v: layer.apply(v, XS[..., :3]), r"^inputs: .*kernel \(4, 4, 6\).*\(3, 4, 6\)"),
        (lambda layer, v: layer.apply(v, XS, seq_lengths=LENGTHS[:1]), r"^seq_lengths: .*\(3,\), got \(1,\)"),
        (lambda layer, v: layer.apply(v, XS, mask=LENGTHS), "^mask: expected bool"),
        (lambda layer, v: layer.apply(v, "abc"), "^inputs: expected an array .*got str"),
        (lambda layer, v: recurrax.linen.RNN(LSTM).init(jax.random.key(0), XS), "^cell: expected an instance"),
        (lambda layer, v: recurrax.linen.RNN(LSTM(H), dtype=jnp.int32).apply(v, XS), "^dtype: expected a floating"),
        (lambda layer, v: recurrax.linen.RNN(LSTM(H), implementation="x").apply(v, XS), "^implementation: unknown"),
    ],
)
def test_bad_input_is_one_sentence(lstm, call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call(*lstm)
    assert "\n" not in str(caught.value)


def test_a_swapped_carry_of_flax_s_order_is_refused(lstm):
    """Flax's LSTM carries the plain tuple (c, h), which nothing can tell from (h, c)."""
    layer, variables = lstm
    zeros = jnp.zeros((B, H))
    layer.apply(variables, XS, initial_carry=LSTMCarry(h=zeros, c=zeros))
    with pytest.raises(ValueError, match="LSTMCarry"):
        layer.apply(variables, XS, initial_carry=(zeros, zeros))


def test_gradients_stop_as_in_the_scan(lstm):
    """Of the last output by the inputs: none before the last window of two steps, in both layers."""
    layer, variables = recurrax.linen.RNN(LSTM(H), truncate=2), lstm[1]
    twin = recurrax.nnx.RNN(LSTM(H), D, truncate=2, rngs=nnx.Rngs(0))
    for run in (lambda xs: layer.apply(variables, xs), twin):
        gradient = jax.grad(lambda xs, run=run: jnp.sum(run(xs)[:, -1]))(XS)
        assert not np.any(gradient[:, :4])
        assert np.all(np.any(gradient[:, 4:], axis=-1))
