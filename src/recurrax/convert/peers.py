"""Other libraries' own layers, run with weights of theirs: what a conversion is checked against."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recurrax.cells.activations import FUNCTIONS
from recurrax.convert.adapters import from_equinox, from_linen, from_nnx
from recurrax.extras import require
from recurrax.kernels.scan import scan

STEPS, ROWS = 7, 3
RTOL = {"float64": 1e-12, "float32": 1e-5}
"""Rounding, of sums over some hundred terms."""
DTYPES = {"keras": "float32"}
"""Of libraries that compute in no wider one: Keras's tanh gives float32 of float64, but on TensorFlow (3.15)."""

Arrays = Mapping[str, np.ndarray]


def check(library: str, name: str, arrays: Arrays, cell: Any, params: Any) -> str:
    """Runs a library's layer with its arrays and our cell with its parameters, on random inputs.

    Args:
        library: as in `LAYOUTS`.
        name: of the layer there.
        arrays: its weights, by their names in the layout.
        cell: ours.
        params: its parameters.

    Returns:
        What was found, in words.

    Raises:
        ModuleNotFoundError: the library is not installed.
        ValueError: their outputs differ.
    """
    draw = np.random.default_rng(0)
    xs = draw.standard_normal((STEPS, ROWS, np.shape(params.kernel)[0]))
    dtype = DTYPES.get(library, "float64")
    with jax.enable_x64(True):
        xs = xs.astype(dtype)
        wide = {key: np.asarray(array, dtype) for key, array in arrays.items()}
        theirs = np.asarray(RUNS[library](name, wide, cell, xs))
        params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
        ours = np.asarray(scan(cell, params, xs, implementation="reference").outputs)
    difference = np.max(np.abs(ours - theirs)) / np.max(np.abs(theirs))
    found = f"largest difference from {library}'s own outputs {difference:.1e} of the largest, in {dtype}"
    if not difference <= RTOL[dtype]:
        raise ValueError(f"arrays: expected what {cell!r:.60} computes, got another cell's: {found}")
    return found


def _torch(name: str, arrays: Arrays, cell: Any, xs: np.ndarray) -> Any:
    torch = require("torch", "bench")
    how: dict[str, Any] = {"bias": "bias_ih" in arrays, "dtype": torch.float64}
    how |= {"proj_size": cell.projection_size} if getattr(cell, "projection_size", None) else {}
    how |= {"nonlinearity": cell.activation} if name == "RNN" else {}
    module = getattr(torch.nn, name)(xs.shape[-1], cell.hidden_size, **how)
    module.load_state_dict({f"{key}_l0": torch.as_tensor(array.copy()) for key, array in arrays.items()})
    with torch.no_grad():
        return module(torch.as_tensor(xs))[0].numpy()


def _keras(name: str, arrays: Arrays, cell: Any, xs: np.ndarray) -> Any:
    keras = require("keras", "bench")
    kind, before, _ = name.partition(", reset_after")
    how: dict[str, Any] = {"use_bias": "bias" in arrays, "dtype": "float32", "return_sequences": True}
    how |= {"reset_after": not before} if kind == "GRU" else {}
    how |= {"activation": cell.activation} if kind == "SimpleRNN" else {}
    layer = getattr(keras.layers, kind)(cell.hidden_size, **how)
    layer.build((ROWS, STEPS, xs.shape[-1]))
    layer.set_weights([arrays[key] for key in ("kernel", "recurrent_kernel", "bias") if key in arrays])
    return np.moveaxis(keras.ops.convert_to_numpy(layer(np.moveaxis(xs, 0, 1))), 1, 0)


def _haiku(name: str, arrays: Arrays, cell: Any, xs: np.ndarray) -> Any:
    haiku = require("haiku", "bench")

    def unroll(xs: Any) -> Any:
        how = {"double_bias": "linear_1/b" in arrays} if name == "VanillaRNN" else {}
        core = getattr(haiku, name)(cell.hidden_size, **how)
        state = jax.tree.map(lambda leaf: leaf.astype(xs.dtype), core.initial_state(ROWS))
        return haiku.dynamic_unroll(core, xs, state)[0]

    model = haiku.without_apply_rng(haiku.transform(unroll))
    like = jax.eval_shape(model.init, jax.random.key(0), jnp.asarray(xs))
    params = {
        module: {key: arrays["/".join([*module.split("/")[1:], key])] for key in leaves}
        for module, leaves in like.items()
    }
    return model.apply(params, jnp.asarray(xs))


def _equinox(name: str, arrays: Arrays, cell: Any, xs: np.ndarray) -> Any:
    equinox = require("equinox", "bench")
    made = getattr(equinox.nn, name)(
        xs.shape[-1], cell.hidden_size, use_bias="bias" in arrays, dtype=jnp.float64, key=jax.random.key(0)
    )
    made = equinox.tree_at(
        lambda made: [getattr(made, key) for key in arrays], made, [jnp.asarray(array) for array in arrays.values()]
    )
    theirs = from_equinox(made)
    return scan(theirs, theirs.params, xs, implementation="reference").outputs


def _linen(name: str, arrays: Arrays, cell: Any, xs: np.ndarray) -> Any:
    from flax import linen

    how = {"activation_fn": FUNCTIONS[cell.activation]} if name == "SimpleCell" else {}
    theirs = from_linen(getattr(linen, name)(cell.hidden_size, **how))
    return scan(theirs, {"params": _nested(arrays)}, xs, implementation="reference").outputs


def _nnx(name: str, arrays: Arrays, cell: Any, xs: np.ndarray) -> Any:
    from flax import nnx

    how = {"activation_fn": FUNCTIONS[cell.activation]} if name == "SimpleCell" else {}
    made = getattr(nnx, name)(xs.shape[-1], cell.hidden_size, dtype=None, rngs=nnx.Rngs(0), **how)
    theirs = from_nnx(made)
    state = nnx.state(made)
    nnx.replace_by_pure_dict(state, jax.tree.map(jnp.asarray, _nested(arrays)))
    return scan(theirs, state, xs, implementation="reference").outputs


def _onnx(name: str, arrays: Arrays, cell: Any, xs: np.ndarray) -> Any:
    from recurrax.convert.onnx import model_of

    evaluator = require("onnx.reference", "interchange").ReferenceEvaluator(model_of([cell], [arrays]))
    return evaluator.run(["Y"], {"X": xs})[0][:, 0]


def _nested(arrays: Arrays) -> dict[str, Any]:
    """Arrays by name, "/" between levels, as a tree of two levels."""
    tree: dict[str, Any] = {}
    for name, array in arrays.items():
        module, _, key = name.rpartition("/")
        tree.setdefault(module, {})[key] = array
    return tree


RUNS: Mapping[str, Callable[[str, Arrays, Any, np.ndarray], Any]] = {
    "torch": _torch,
    "keras": _keras,
    "haiku": _haiku,
    "equinox": _equinox,
    "linen": _linen,
    "nnx": _nnx,
    "onnx": _onnx,
}
"""Of each library what runs one of its layers on xs (T, B, D) from zeros: outputs (T, B, H)."""
