"""Dropout and zoneout of both layers: closed forms of a linear cell, and Flax's conventions around them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from tolerances import assert_same_bits

import recurrax
from recurrax import GRU, LSTM, Dropout, Elman, Zoneout, keys, with_key
from recurrax.wrappers import DropoutCarry, ZoneoutCarry

pytestmark = pytest.mark.usefixtures("quick_compile")

T, B, D, H, RATE = 5, 64, 8, 4, 0.25
XS = jax.random.normal(jax.random.key(1), (B, T, D))
RESETS = jnp.zeros((B, T), bool).at[:, 2].set(True)
KEY = jax.random.key(7)
CELLS = [Elman(H), LSTM(H), GRU(H)]
RATES = {"dropout": RATE, "recurrent_dropout": 0.5, "zoneout": 0.1}


def make(cell, features=D, **options):
    return recurrax.nnx.RNN(cell, features, rngs=nnx.Rngs(0, dropout=1), **options)


class Door:
    """One of the layers, called alike: with a key, or None for an evaluation."""

    def __init__(self, door, cell, features=D, **options):
        self.nnx = make(cell, features, **options)
        self.linen = recurrax.linen.RNN(cell, features, **options)
        self.variables = {"params": nnx.to_pure_dict(nnx.state(self.nnx, nnx.Param))}
        self.is_nnx, self.params = door == "nnx", self.nnx.params

    def __call__(self, xs, key, **options):
        options |= {"deterministic": key is None, "return_carry": True}
        if self.is_nnx:
            return self.nnx(xs, rngs=key, **options)
        return self.linen.apply(self.variables, xs, rngs=None if key is None else {"dropout": key}, **options)


def bits(tree):
    """A tree with the words of its keys, which NumPy can compare."""
    return jax.tree.map(lambda leaf: jax.random.key_data(leaf) if keys.is_key(leaf) else leaf, tree)


DOORS = pytest.mark.parametrize("door", ["nnx", "linen"])


def identity(door, **options):
    """A layer whose outputs are its inputs: h_t = x_t."""
    built = Door(door, Elman(D, activation="identity"), **options)
    zero, eye = jnp.zeros((D, 1, D)), jnp.eye(D)[:, None]
    built.nnx.kernel[...], built.nnx.recurrent_kernel[...] = eye, zero
    built.variables["params"] |= {"kernel": eye, "recurrent_kernel": zero}
    return built


@DOORS
def test_inputs_are_dropped_for_the_whole_sequence_of_a_row_and_the_others_scaled(door):
    """Outputs are the inputs times 0 or 1/(1 - rate), the same at every step, whatever is reset meanwhile."""
    _, outputs = identity(door, dropout=RATE)(XS, KEY, resets=RESETS)
    gain = outputs / XS
    np.testing.assert_allclose(gain, jnp.broadcast_to(gain[:, :1], gain.shape), rtol=1e-6)
    dropped = np.isclose(gain[:, 0], 0.0)
    np.testing.assert_allclose(gain[:, 0], np.where(dropped, 0.0, 1 / (1 - RATE)), rtol=1e-6)
    assert len(np.unique(dropped, axis=0)) > B / 2, "rows have masks of their own"
    # Five standard errors of a binomial share.
    assert abs(dropped.mean() - RATE) < 5 * np.sqrt(RATE * (1 - RATE) / dropped.size)


@DOORS
def test_the_gradient_by_the_inputs_is_the_mask(door):
    layer = identity(door, dropout=RATE)
    _, outputs = layer(jnp.ones((B, T, D)), KEY)
    gradient = jax.grad(lambda xs: jnp.sum(layer(xs, KEY)[1]))(XS)
    assert_same_bits(gradient, outputs)


@DOORS
def test_what_is_dropped_may_be_infinite(door):
    _, outputs = identity(door, dropout=RATE)(XS, KEY)
    filled = jnp.where(outputs == 0, jnp.inf, XS)
    assert_same_bits(identity(door, dropout=RATE)(filled, KEY)[1], outputs)


@DOORS
def test_inputs_with_time_first_have_the_same_masks(door):
    layer = Door(door, GRU(H), dropout=RATE)
    carry, outputs = layer(XS, KEY)
    turned = layer(jnp.moveaxis(XS, 1, 0), KEY, time_major=True)
    assert_same_bits(bits((carry, outputs)), bits((turned[0], jnp.moveaxis(turned[1], 0, 1))))


@pytest.mark.parametrize("cell", CELLS, ids=repr)
@DOORS
def test_recurrent_dropout_and_zoneout_are_those_of_the_wrappers(door, cell):
    """With the keys that the carry has afterwards, which a mask keeps: the scan of the wrapped cell, bit for bit."""
    layer = Door(door, cell, recurrent_dropout=0.5)
    carry, outputs = layer(XS, KEY, resets=RESETS)
    wrapped = Dropout(cell, 0.5)
    start = wrapped.initial_carry(layer.params, (B,), jnp.float32)._replace(key=carry.key)
    time_first = [jnp.moveaxis(array, 1, 0) for array in (XS, RESETS)]
    expected = recurrax.scan(wrapped, layer.params, time_first[0], start, resets=time_first[1])
    assert_same_bits(bits((carry, outputs)), bits((expected.carry, jnp.moveaxis(expected.outputs, 0, 1))))
    assert layer.nnx.wrapped_cell == layer.linen.wrapped_cell == wrapped

    layer = Door(door, cell, zoneout=0.1)
    wrapped = Zoneout(cell, 0.1)
    start = with_key(wrapped.initial_carry(layer.params, (B,), jnp.float32), KEY)
    expected = recurrax.scan(wrapped, layer.params, time_first[0], start)
    carry, outputs = layer(XS, KEY, initial_carry=start)
    assert_same_bits(bits((carry, outputs)), bits((expected.carry, jnp.moveaxis(expected.outputs, 0, 1))))


@DOORS
def test_windows_with_the_carry_handed_on_are_the_whole(door):
    """Masks and draws go on from the carry, whatever key the call of the next window has."""
    layer = Door(door, LSTM(H), **RATES)
    carry, outputs = layer(XS, KEY)
    middle, first = layer(XS[:, :2], KEY)
    last, second = layer(XS[:, 2:], jax.random.key(8), initial_carry=middle)
    assert_same_bits(bits((last.key, last.cell.key)), bits((carry.key, carry.cell.key)))
    np.testing.assert_allclose(jnp.concatenate([first, second], axis=1), outputs, rtol=1e-5, atol=1e-6)
    assert isinstance(carry, DropoutCarry)
    assert isinstance(carry.cell, ZoneoutCarry)
    assert isinstance(carry.cell.cell, DropoutCarry)


@DOORS
def test_off_when_deterministic_whatever_keys_the_carry_has(door):
    """Evaluation: dropout is the cell as it is, zoneout its mean."""
    layer = Door(door, LSTM(H), **RATES)
    drawn, _ = layer(XS, KEY)
    carry, outputs = layer(XS, None)
    xs = jnp.moveaxis(XS, 1, 0)
    assert_same_bits(jnp.moveaxis(outputs, 1, 0), recurrax.scan(Zoneout(LSTM(H), 0.1), layer.params, xs).outputs)
    again = layer(XS, None, initial_carry=drawn)[1]
    assert_same_bits(again, layer(XS, None, initial_carry=drawn.cell.cell.cell)[1])
    fresh = layer(XS, KEY, initial_carry=carry)
    assert_same_bits(fresh[1], layer(XS, KEY, initial_carry=carry.cell.cell.cell)[1])
    assert np.any(fresh[1] != layer(XS, None, initial_carry=carry)[1]), "rows without a key draw one"


@DOORS
def test_the_same_key_draws_the_same_and_another_another(door):
    layer = Door(door, GRU(H), **RATES)
    assert_same_bits(layer(XS, KEY)[1], layer(XS, KEY)[1])
    assert np.any(layer(XS, KEY)[1] != layer(XS, jax.random.key(8))[1])


def test_nnx_draws_from_its_stream_until_eval():
    layer = make(GRU(H), **RATES)
    assert np.any(layer(XS) != layer(XS))
    assert_same_bits(make(GRU(H), **RATES)(XS), make(GRU(H), **RATES)(XS))
    model = nnx.Sequential(layer, make(GRU(H), H, **RATES))
    model.eval()
    assert_same_bits(model(XS), model(XS))
    model.train()
    assert np.any(model(XS) != model(XS))
    assert_same_bits(*(nnx.view(model, deterministic=True)(XS) for _ in range(2)))
    assert_same_bits(*(layer(XS, rngs=nnx.Rngs(dropout=3)) for _ in range(2)))
    quiet = make(GRU(H))
    assert not jax.tree.leaves(nnx.state(quiet, nnx.RngState)), "a layer that drops nothing holds no stream"
    assert_same_bits(layer.params, quiet.params)


def test_nnx_trains_with_dropout_in_one_program():
    layer, traces = make(LSTM(H), **RATES), []

    @nnx.jit
    def gradients(layer, xs):
        traces.append(1)
        return nnx.grad(lambda layer: jnp.sum(jnp.sin(layer(xs))))(layer)

    first, second = (nnx.to_pure_dict(gradients(layer, XS)) for _ in range(2))
    assert len(traces) == 1
    assert all(np.all(np.isfinite(leaf)) and np.any(leaf) for leaf in jax.tree.leaves(first))
    assert np.any(first["kernel"] != second["kernel"])


def test_linen_asks_for_what_nn_dropout_asks_for():
    class Model(linen.Module):
        @linen.compact
        def __call__(self, xs, train):
            xs = recurrax.linen.RNN(GRU(H), **RATES, deterministic=not train)(xs)
            return recurrax.linen.RNN(GRU(H), **RATES)(xs, deterministic=not train)

    model = Model()
    variables = model.init(jax.random.key(0), XS, train=False)
    assert set(variables) == {"params"}
    evaluated = model.apply(variables, XS, train=False)
    trained = model.apply(variables, XS, train=True, rngs={"dropout": KEY})
    assert np.any(evaluated != trained)
    layer = recurrax.linen.RNN(GRU(H), D, dropout=RATE)
    with pytest.raises(ValueError, match='"deterministic" must be passed'):
        layer.init(jax.random.key(0), XS)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: make(LSTM(H), dropout=1.0), "^dropout: expected a float from 0 to below 1, got 1.0"),
        (lambda: make(LSTM(H), zoneout=-1), "^zoneout: expected a float"),
        (lambda: make(LSTM(H), recurrent_dropout=True), "^recurrent_dropout: expected a float"),
        (lambda: make(recurrax.MinGRU(H), recurrent_dropout=0.5), "^cell: expected one whose recur reads the state"),
        (
            lambda: recurrax.linen.RNN(LSTM(H), D, dropout=2).init(KEY, XS),
            "^dropout: expected a float from 0 to below 1, got 2",
        ),
        (
            lambda: make(LSTM(H), dropout=0.5)(XS, initial_carry=XS),
            "^initial_carry: expected a DropoutCarry .*LSTMCarry, got ",
        ),
        (
            lambda: make(LSTM(H), dropout=0.5)(
                XS[:3], initial_carry=make(LSTM(H), dropout=0.5)(XS, return_carry=True)[0]
            ),
            r"^initial_carry.key: expected shape \(\*batch,\) = \(3,\), got \(64,\)",
        ),
        (lambda: make(LSTM(H), dropout=0.5)(XS.astype(int)), "^dropout: expected floating inputs.*got int32"),
    ],
)
def test_bad_input_is_one_sentence(build, message):
    with pytest.raises(ValueError, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)


def test_instruments_measure_what_is_scanned():
    xs = XS[:2]
    for options, cell in (({"zoneout": 0.5}, Zoneout(LSTM(H), 0.5)), ({"dropout": 0.5}, LSTM(H))):
        layer = make(LSTM(H), **options)
        got = recurrax.lag.adjoint_profile(layer, xs).log_norm_joint
        expected = recurrax.lag.adjoint_profile(cell, layer.params, jnp.moveaxis(xs, 1, 0)).log_norm_joint
        assert_same_bits(got, expected)
