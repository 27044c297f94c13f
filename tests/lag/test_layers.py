"""Instruments of a Flax layer are those of its cell and parameters, in the layer's own order of axes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tolerances import assert_close

import recurrax
from recurrax import lag

T, B, D, H = 6, 4, 2, 3
CELL = recurrax.GRU(H)
LINEN = recurrax.linen.RNN(CELL)
RNG = np.random.default_rng(0)
XS = RNG.normal(size=(T, B, D)).astype(np.float32)
LONG = RNG.normal(size=(60, B, D)).astype(np.float32)
COTANGENT = RNG.normal(size=(T, B, H)).astype(np.float32)
PARAMS = CELL.init(jax.random.key(0), D)
VARIABLES = {"params": PARAMS._asdict()}
LENGTHS = np.array([6, 2, 5, 0])


def weighted(outputs):
    """Of outputs as they come from a layer (B, T, H), the first row's step 4 and all rows' step 5."""
    return jnp.sum(outputs[0, 4]) + jnp.sum(outputs[:, 5] ** 2)


def turned(array):
    return None if array is None else np.moveaxis(array, 0, 1)


# What is given beside the cell and its parameters; arrays with an axis of time have it first.
INSTRUMENTS = {
    "adjoint_profile": {"xs": XS, "lengths": LENGTHS},
    "adjoint_profile of every output": {"xs": XS, "cotangent": COTANGENT},
    "adjoint_profile of the last output": {"xs": XS, "cotangent": COTANGENT[0]},
    "adjoint_profile of a loss": {"xs": XS, "loss": weighted},
    "parameter_profile": {"xs": XS, "cotangent": COTANGENT},
    "carousel_share": {"xs": XS},
    "jacobian_profile": {"xs": XS, "lags": (0, 3)},
    "lag_matrix": {"xs": XS, "anchors": (2, 5), "cotangent": COTANGENT},
    "lyapunov_spectrum": {"xs": LONG[:, 0], "interval": 2, "burn_in": 10},
    "memory_curve": {"xs": LONG, "lags": (0, 1), "targets": LONG[:, :, :1]},
}
WITH_TIME = ("xs", "cotangent", "targets")


def make_nnx(**options):
    layer = recurrax.nnx.RNN(CELL, D, rngs=nnx.Rngs(0), **options)
    for name, value in PARAMS._asdict().items():
        getattr(layer, name)[...] = value
    return layer


def time_last(name, arguments):
    """The arguments as a batch-major layer has them."""
    batched = {key for key in WITH_TIME if np.ndim(arguments.get(key)) == 3}
    return {key: turned(value) if key in batched else value for key, value in arguments.items()}


@pytest.mark.usefixtures("quick_compile")
@pytest.mark.parametrize("name", INSTRUMENTS)
def test_a_layer_is_its_cell_and_parameters(name):
    instrument, arguments = getattr(lag, name.split()[0]), INSTRUMENTS[name]
    time_first = dict(arguments)
    if "loss" in arguments:
        time_first["loss"] = lambda outputs: weighted(jnp.moveaxis(outputs, 0, 1))
    expected = instrument(CELL, PARAMS, **time_first)
    batch_first = time_last(name, arguments)
    xs, rest = batch_first["xs"], {key: value for key, value in batch_first.items() if key != "xs"}
    results = [
        instrument(make_nnx(), xs, **rest),
        instrument(make_nnx(), **batch_first),
        instrument(LINEN, VARIABLES, xs, **rest),
        instrument(make_nnx(time_major=True), **time_first),
        instrument(recurrax.linen.RNN(CELL, time_major=True), params=VARIABLES, **time_first),
    ]
    for result in results:
        jax.tree.map(np.testing.assert_array_equal, result, expected)


@pytest.mark.usefixtures("quick_compile")
def test_a_probe_reads_in_the_layers_order():
    key, xs = jax.random.key(0), turned(XS)
    expected = lag.probe(CELL, lambda params, key: lag.On(params, XS))(PARAMS, key)
    layer = make_nnx()
    graph, state = nnx.split(layer)
    of_state = lag.probe(layer, lambda state, key: lag.On(nnx.merge(graph, state), xs))(state, key)
    of_variables = lag.probe(LINEN, lambda variables, key: lag.On(variables, xs))(VARIABLES, key)
    of_params = lag.probe(layer, lambda params, key: lag.On(params, xs))(PARAMS, key)
    for found in (of_state, of_variables, of_params):
        jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.usefixtures("quick_compile")
def test_what_a_layer_casts_is_cast():
    layer = make_nnx(dtype=jnp.bfloat16)
    low = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), PARAMS)
    expected = lag.adjoint_profile(CELL, low, jnp.asarray(XS, jnp.bfloat16))
    jax.tree.map(np.testing.assert_array_equal, lag.adjoint_profile(layer, turned(XS)), expected)
    outputs, carry = layer(turned(XS)), recurrax.scan(CELL, low, jnp.asarray(XS, jnp.bfloat16)).carry
    assert_close(outputs[:, -1], carry.h, "float32")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lag.adjoint_profile(make_nnx(reverse=True), XS), r"^cell: expected a layer that walks forwards"),
        (lambda: lag.adjoint_profile(LINEN, xs=XS), r"^params: expected the variables of the layer RNN, got None"),
        (lambda: lag.adjoint_profile(make_nnx(), 3.0), r"^xs: expected an array"),
        (lambda: lag.adjoint_profile(recurrax.nnx.RNN, PARAMS, XS), r"^cell: expected an instance"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()
