"""Weights there and back, and what the cells then give: the equations of each library, written once more in NumPy."""

import jax
import numpy as np
import pytest
from flax import linen, nnx
from oracles.records import DATA, load
from tolerances import assert_close, assert_same_bits

import recurrax
from recurrax import GRU, LSTM, Elman, convert
from recurrax.convert.layouts import LAYOUTS

T, B, D, H = 6, 2, 3, 4
XS = np.random.default_rng(0).standard_normal((T, B, D))
PAIRS = [(library, name) for library, layouts in LAYOUTS.items() for name in layouts]


def drawn(cell, seed=1):
    """Parameters without a zero; a forget bias in [1/2, 2], where 1 is subtracted exactly."""
    noise = np.random.default_rng(seed)
    params = jax.tree.map(lambda leaf: noise.standard_normal(leaf.shape), cell.init(jax.random.key(0), D))
    if isinstance(cell, LSTM):
        params.bias[1] = 0.5 + noise.random(cell.hidden_size)
    return params


def cell_of(library, name):
    layout = LAYOUTS[library][name]
    return layout.kind(H, **layout.fixed)


@pytest.mark.parametrize(("library", "name"), PAIRS)
def test_there_and_back_bit_for_bit(library, name):
    cell = cell_of(library, name)
    params = drawn(cell)
    if (library, name) == ("nnx", "GRUCell"):  # it has no such bias
        with pytest.raises(ValueError, match=r"^params: nnx's cell has no recurrent_bias of n; expected zeros"):
            convert.weights_to(library, cell, params)
        params.recurrent_bias[:] = 0
    there = convert.weights_to(f"{library}:{name}", cell, params)
    back = convert.weights_from(library, there.arrays, cell=cell)
    assert back.cell == cell
    assert_same_bits(back.params, params)
    again = convert.weights_to(f"{library}:{name}", back.cell, back.params)
    assert again.arrays.keys() == there.arrays.keys()
    assert_same_bits(again.arrays, there.arrays)


@pytest.mark.parametrize("name", LAYOUTS["nnx"])
def test_an_nnx_module_gives_its_weights_itself(name):
    module = getattr(nnx, name)(D, H, rngs=nnx.Rngs(0), dtype=np.float32)
    state = nnx.to_pure_dict(nnx.state(module, nnx.Param))
    assert_same_bits(convert.weights_from("nnx", module).params, convert.weights_from("nnx", state).params)


def test_a_projected_lstm_goes_to_pytorch_alone():
    cell = LSTM(H, projection_size=2)
    params = drawn(cell)
    arrays = convert.weights_to("torch", cell, params, suffix="_l0").arrays
    assert arrays["weight_hr_l0"].shape == (2, H)
    back = convert.weights_from("torch", arrays, suffix="_l0")
    assert (back.cell.hidden_size, back.cell.projection_size) == (H, 2)
    assert_same_bits(back.params, params)
    with pytest.raises(ValueError, match=r"^cell: keras has none with projection_size=2; expected"):
        convert.weights_to("keras", cell, params)


def sigma(x):
    return 1 / (1 + np.exp(-x))


def keras_gru(w, h, x):
    """Of its documentation, reset_after=True: two rows of bias, gates z, r, h."""
    xz, xr, xh = np.split(x @ w["kernel"] + w["bias"][0], 3, axis=-1)
    hz, hr, hh = np.split(h @ w["recurrent_kernel"] + w["bias"][1], 3, axis=-1)
    z = sigma(xz + hz)
    return z * h + (1 - z) * np.tanh(xh + sigma(xr + hr) * hh)


def keras_gru_before(w, h, x):
    wz, wr, wh = np.split(w["recurrent_kernel"], 3, axis=-1)
    xz, xr, xh = np.split(x @ w["kernel"] + w["bias"], 3, axis=-1)
    z, r = sigma(xz + h @ wz), sigma(xr + h @ wr)
    return z * h + (1 - z) * np.tanh(xh + (r * h) @ wh)


def haiku_gru(w, h, x):
    wz, wr, wa = np.split(w["w_h"], 3, axis=-1)
    xz, xr, xa = np.split(x @ w["w_i"] + w["b"], 3, axis=-1)
    z, r = sigma(xz + h @ wz), sigma(xr + h @ wr)
    return (1 - z) * h + z * np.tanh(xa + (r * h) @ wa)


def haiku_lstm(w, state, x):
    h, c = state
    i, g, f, o = np.split(np.concatenate([x, h], axis=-1) @ w["linear/w"] + w["linear/b"], 4, axis=-1)
    c = sigma(f + 1) * c + sigma(i) * np.tanh(g)
    return sigma(o) * np.tanh(c), c


def haiku_rnn(w, h, x):
    inputs = x @ w["linear/w"] + w["linear/b"]
    return np.maximum(inputs + h @ w["linear_1/w"] + w["linear_1/b"], 0)


def keras_lstm(w, state, x):
    h, c = state
    a = x @ w["kernel"] + h @ w["recurrent_kernel"] + w["bias"]
    i, f, g, o = np.split(a, 4, axis=-1)
    c = sigma(f) * c + sigma(i) * np.tanh(g)
    return sigma(o) * np.tanh(c), c


def equinox_gru(w, h, x):
    xr, xz, xn = np.split(x @ w["weight_ih"].T + w["bias"], 3, axis=-1)
    hr, hz, hn = np.split(h @ w["weight_hh"].T, 3, axis=-1)
    n = np.tanh(xn + sigma(xr + hr) * (hn + w["bias_n"]))
    return n + sigma(xz + hz) * (h - n)


@pytest.mark.parametrize(
    ("library", "name", "shapes", "step"),
    [
        ("keras", "LSTM", {"kernel": (D, 4 * H), "recurrent_kernel": (H, 4 * H), "bias": (4 * H,)}, keras_lstm),
        ("keras", "GRU", {"kernel": (D, 3 * H), "recurrent_kernel": (H, 3 * H), "bias": (2, 3 * H)}, keras_gru),
        (
            "keras",
            "GRU, reset_after=False",
            {"kernel": (D, 3 * H), "recurrent_kernel": (H, 3 * H), "bias": (3 * H,)},
            keras_gru_before,
        ),
        ("haiku", "LSTM", {"linear/w": (D + H, 4 * H), "linear/b": (4 * H,)}, haiku_lstm),
        ("haiku", "GRU", {"w_i": (D, 3 * H), "w_h": (H, 3 * H), "b": (3 * H,)}, haiku_gru),
        (
            "haiku",
            "VanillaRNN",
            {
                **{"linear/w": (D, H), "linear/b": (H,)},
                **{"linear_1/w": (H, H), "linear_1/b": (H,)},
            },
            haiku_rnn,
        ),
        (
            "equinox",
            "GRUCell",
            {"weight_ih": (3 * H, D), "weight_hh": (3 * H, H), "bias": (3 * H,), "bias_n": (H,)},
            equinox_gru,
        ),
    ],
)
def test_the_equations_of_each_library(library, name, shapes, step, x64, quick_compile):
    noise = np.random.default_rng(3)
    arrays = {key: noise.standard_normal(shape) / 2 for key, shape in shapes.items()}
    state = np.zeros((B, H))
    state = (state, state) if "LSTM" in name else state
    outputs = []
    for x in XS:
        state = step(arrays, state, x)
        outputs.append(state[0] if "LSTM" in name else state)
    cell, params, _ = convert.weights_from(library, arrays)
    assert cell == cell_of(library, name)
    assert_close(recurrax.scan(cell, params, XS).outputs, np.stack(outputs), "float64")


@pytest.mark.parametrize(
    ("library", "make"),
    [
        ("linen", lambda: linen.LSTMCell(H)),
        ("linen", lambda: linen.OptimizedLSTMCell(H)),
        ("linen", lambda: linen.GRUCell(H)),
        ("linen", lambda: linen.SimpleCell(H)),
        ("nnx", lambda: nnx.LSTMCell(D, H, rngs=nnx.Rngs(0))),
        ("nnx", lambda: nnx.OptimizedLSTMCell(D, H, rngs=nnx.Rngs(0))),
        ("nnx", lambda: nnx.GRUCell(D, H, rngs=nnx.Rngs(0))),
        ("nnx", lambda: nnx.SimpleCell(D, H, dtype=None, rngs=nnx.Rngs(0))),
    ],
)
def test_flax_itself(library, make, x64, quick_compile):
    """Outputs, carries in Flax's order and the gradient by every weight, converted as the weights are."""
    foreign = getattr(recurrax, f"from_{library}")(make())
    noise = np.random.default_rng(2)
    theirs = jax.tree.map(lambda leaf: noise.standard_normal(leaf.shape) / 2, foreign.init(jax.random.key(0), D))

    def held(tree):
        return tree["params"] if library == "linen" else nnx.to_pure_dict(tree)

    cell, params, _ = convert.weights_from(library, held(theirs))

    def of(cell, params):
        def loss(params):
            result = recurrax.scan(cell, params, XS)
            return (result.outputs**2).sum(), result

        gradient, result = jax.grad(loss, has_aux=True)(params)
        return result.outputs, result.carry, gradient

    both = jax.jit(lambda theirs, ours: (of(foreign, theirs), of(cell, ours)))
    (outputs, carry, gradient), (ours, our_carry, our_gradient) = both(theirs, params)
    assert_close(ours, outputs, "float64")
    assert_close(our_carry, convert.carry_from(library, cell, carry), "float64")
    assert_close(convert.carry_to(library, cell, our_carry), carry, "float64")
    converted = convert.weights_from(library, held(gradient)).params
    if (library, type(make())) == ("nnx", nnx.GRUCell):
        converted = converted._replace(recurrent_bias=our_gradient.recurrent_bias)
    assert_close(our_gradient, converted, "float64")


@pytest.mark.parametrize("case", load("torch_f64_grads.json")["cases"], ids=lambda case: case["name"])
def test_pytorchs_recorded_weights(case):
    """What the recorded layers hold is read layer by layer, direction by direction, and written again."""
    with np.load(DATA / "torch_f64_grads.npz") as file:
        prefix = f"{case['name']}/in/"
        held = {key.removeprefix(prefix): file[key] for key in file if key.startswith(prefix)}
    state = {f"encoder.rnn.{name}": array for name, array in held.items() if name.startswith(("weight", "bias"))}
    layers = convert.from_torch(state | {"head.weight": np.ones(3)}, prefix="encoder.rnn.")
    assert len(layers) == case["layers"]
    assert {len(layer) for layer in layers} == {1 + case["bidirectional"]}
    assert isinstance(layers[0][0].cell, {"RNN": Elman, "LSTM": LSTM, "GRU": GRU}[case["kind"]])
    again = convert.from_torch(convert.to_torch(layers))
    assert_same_bits(
        [[one.params for one in layer] for layer in again], [[one.params for one in layer] for layer in layers]
    )


CASES = load("torch_f64_grads.json")["cases"]
SIMPLE = [case for case in CASES if case["layers"] == 1 and not case["bidirectional"] and not case["lens"]]


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_pytorchs_recorded_outputs(kind, x64, quick_compile):
    case = next(case for case in SIMPLE if case["kind"] == kind and case["bias"] and not case["proj_size"])
    with np.load(DATA / "torch_f64_grads.npz") as file:
        x, y, *state = (file[f"{case['name']}/{name}"] for name in ("in/x", "out/y", "in/h0"))
        state += [file[f"{case['name']}/in/c0"]] if kind == "LSTM" else []
        names = (f"{part}_{side}_l0" for part in ("weight", "bias") for side in ("ih", "hh"))
        held = {name: file[f"{case['name']}/in/{name}"] for name in names}
    ((found,),) = convert.from_torch(held, nonlinearity=case["nonlinearity"] or "tanh")
    carry = convert.carry_from("torch", found.cell, [part[0] for part in state])
    assert_close(recurrax.scan(found.cell, found.params, x, carry).outputs, y, "float64")


def test_what_is_refused():
    refusals = [
        (lambda: convert.weights_from("tensorflow", {}), "^library: expected one of torch, onnx, equinox"),
        (lambda: convert.weights_from("torch", {"weight_ih": np.ones((9, 2))}), "^arrays: expected those of torch's"),
        (lambda: convert.weights_to("torch", LSTM(2, peepholes=True), None), "torch has none with peepholes=True"),
        (lambda: convert.weights_to("torch", GRU(2, reset_after=False), None), "torch has none with reset_after=False"),
        (lambda: convert.weights_to("haiku", Elman(2), None), "haiku has none with activation='tanh'"),
        (lambda: convert.weights_to("equinox", Elman(2), None), "^cell: expected an LSTM, GRU or Elman that equinox"),
        (lambda: convert.from_torch({"rnn.weight_ih_l0": np.ones(2)}), "^state: expected names that begin with"),
    ]
    for refused, said in refusals:
        with pytest.raises(ValueError, match=said):
            refused()
