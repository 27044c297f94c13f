"""Weights of other libraries' cells as parameters of ours, and back."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np

from recurrax.cells import GRU, LSTM, Elman, ElmanParams, GRUParams, LSTMParams
from recurrax.convert import peers
from recurrax.convert.layouts import LAYOUTS, Layout, Part

Gates = dict[str, dict[str, np.ndarray]]
"""Arrays (rows, H) by field and gate; of biases (H,)."""
_OF_START = {"hidden_size", "kernel_init", "recurrent_init", "bias_init", "forget_bias", "t_max", "update_bias"}
_OF_START |= {"recurrent_gain", "projection_size", "spectral_radius"}
"""Fields of our cells that say how parameters are drawn or how large they are, not what a step does."""


K_R = ("kernel", "recurrent_kernel")
PEEPHOLES = "ifo"
ORDER = {LSTM: "ifgo", GRU: "rzn", Elman: "n"}
"""Our gates."""
_PARAMS: dict[type, Any] = {LSTM: LSTMParams, GRU: GRUParams, Elman: ElmanParams}


class Conversion(NamedTuple):
    """A cell, its parameters (NumPy arrays), and what the conversion merged, added or left out."""

    cell: Any
    params: Any
    notes: tuple[str, ...]


class Weights(NamedTuple):
    """Arrays by another library's names, "/" between levels, and what the conversion merged, added or left out."""

    arrays: dict[str, np.ndarray]
    notes: tuple[str, ...]


def weights_from(
    library: str, arrays: Any, *, cell: Any = None, prefix: str = "", suffix: str = "", check: bool = False
) -> Conversion:
    """Another library's weights of one cell as a cell and parameters of ours, with the same values and gradients.

    Args:
        library: "torch", "keras", "equinox", "haiku", "linen", "nnx" or, of one direction, "onnx".
        arrays: the weights by name, nested or flat with "/" between levels; for Keras also the list of
            `layer.get_weights()`; for Equinox and nnx also the module itself.
        cell: the cell they are for, where names and shapes leave that open, as they do an activation.
        prefix: what the names begin with; others are left alone.
        suffix: what the names end with, as PyTorch's "_l0".
        check: whether the library, which has to be installed, runs its own layer with these arrays, and the cell with
            the parameters, on random inputs, in float64 but for Keras; the last note says how far apart they are.

    Raises:
        ValueError: there is no such library, no cell of it has such arrays, or `cell` is another; or, with `check`,
            the outputs are not the same.
        ModuleNotFoundError: with `check`, the library is not installed.

    >>> kernel, recurrent = np.ones((2, 3)), np.eye(3)
    >>> cell, params, notes = weights_from("keras", [kernel, recurrent, np.zeros(3)])
    >>> cell.hidden_size, params.kernel.shape
    (3, (2, 1, 3))
    """
    layouts = _layouts(library)
    named = _named(arrays, layouts, prefix, suffix)
    found = [layout for layout in layouts.values() if _fits(layout, named)]
    found = [layout for layout in found if cell is None or _is_for(layout, cell)] if len(found) > 1 else found
    if not found:
        have = ", ".join(f"{name} {array.shape}" for name, array in named.items()) or "none"
        raise ValueError(f"arrays: expected those of {library}'s {', '.join(layouts)}, got {have:.300}")
    layout = found[0]
    gates, notes = _read(layout, named)
    params = _params_of(layout, gates, notes)
    size = gates["kernel"][layout.parts[0].gates[0]].shape[-1]
    sizes: dict[str, Any] = {"hidden_size": size, **layout.fixed}
    if "projection" in gates:
        sizes["projection_size"] = gates["projection"][""].shape[-1]
    if "peephole" in gates:
        sizes["peepholes"] = True
    made = layout.kind(**sizes)
    if cell is not None:
        _check_is_for(library, layout, cell)
        if (cell.hidden_size, getattr(cell, "projection_size", None)) != (
            size,
            getattr(made, "projection_size", None),
        ):
            raise ValueError(f"cell: expected one of the weights' size, {made!r:.80}, got {cell!r:.80}")
        made = cell
    if check:
        notes.append(peers.check(library, _name(layouts, layout), named, made, params))
    return Conversion(made, params, tuple(notes))


def weights_to(
    library: str, cell: Any, params: Any, *, prefix: str = "", suffix: str = "", check: bool = False
) -> Weights:
    """A cell's parameters by another library's names and in its layout.

    Args:
        library: as in `weights_from`, and "nnx:OptimizedLSTMCell" for one of its cells where several would do.
        cell: an `LSTM`, `GRU` or `Elman`.
        params: its parameters.
        prefix: what the names begin with.
        suffix: what the names end with, as PyTorch's "_l0".
        check: as in `weights_from`.

    Raises:
        ValueError: the library has no such cell; the sentence says what it lacks. With `check`, as `weights_from`.
        ModuleNotFoundError: likewise.

    >>> import jax, recurrax
    >>> cell = recurrax.GRU(3)
    >>> arrays, notes = weights_to("torch", cell, cell.init(jax.random.key(0), 2), suffix="_l0")
    >>> arrays["weight_ih_l0"].shape, notes
    ((9, 2), ('bias_hh: zeros for r, z, which have one bias here',))
    """
    library, _, wanted = library.partition(":")
    layouts = _layouts(library)
    if wanted and wanted not in layouts:
        raise ValueError(f"library: expected one of {', '.join(layouts)} after ':', got {wanted!r}")
    known = [layouts[wanted]] if wanted else [layout for layout in layouts.values() if isinstance(cell, layout.kind)]
    if not known:
        raise ValueError(f"cell: expected an LSTM, GRU or Elman that {library} has, got {cell!r:.80}")
    layout = next((layout for layout in known if _is_for(layout, cell)), known[0])
    _check_is_for(library, layout, cell)
    gates = _gates_of(layout, cell, params)
    arrays, notes = {}, []
    zeros = np.zeros_like(np.asarray(params.bias)[0])
    for part in layout.parts:
        array = _write(part, gates, zeros, notes)
        if array is not None:
            arrays[part.name] = array
    for name, left in gates.items():
        for gate, array in left.items():
            if np.any(array):
                raise ValueError(f"params: {library}'s cell has no {name} of {gate}; expected zeros, got {array!r:.60}")
    if check:
        notes.append(peers.check(library, _name(layouts, layout), arrays, cell, params))
    return Weights({f"{prefix}{name}{suffix}": array for name, array in arrays.items()}, tuple(notes))


def carry_from(library: str, cell: Any, carry: Any) -> Any:
    """Another library's state as the carry of our cell: Flax's LSTM has (c, h), the others (h, c).

    >>> import jax.numpy as jnp, recurrax
    >>> carry_from("linen", recurrax.LSTM(2), (jnp.zeros(2), jnp.ones(2))).h.tolist()
    [1.0, 1.0]
    """
    names = _carry_order(library, cell)
    parts = [carry] if len(names) == 1 and not isinstance(carry, tuple | list) else list(carry)
    if len(parts) != len(names):
        raise ValueError(f"carry: expected {', '.join(names)} of {library}, got {len(parts)} arrays")
    like = cell.initial_carry(None, (), np.float32)
    return type(like)(**dict(zip(names, parts, strict=True)))


def carry_to(library: str, cell: Any, carry: Any) -> Any:
    """Our carry in the order of another library: a tuple, or h alone."""
    parts = tuple(getattr(carry, name) for name in _carry_order(library, cell))
    return parts if len(parts) > 1 else parts[0]  # pyright: ignore[reportGeneralTypeIssues]


def _carry_order(library: str, cell: Any) -> tuple[str, ...]:
    layouts = [layout for layout in _layouts(library).values() if isinstance(cell, layout.kind)]
    if not layouts:
        raise ValueError(f"cell: expected an LSTM, GRU or Elman that {library} has, got {cell!r:.80}")
    return layouts[0].carry


def _layouts(library: str) -> Mapping[str, Layout]:
    if library not in LAYOUTS:
        raise ValueError(f"library: expected one of {', '.join(LAYOUTS)}, got {library!r}")
    return LAYOUTS[library]


def _name(layouts: Mapping[str, Layout], layout: Layout) -> str:
    return next(name for name, one in layouts.items() if one is layout)


def _named(arrays: Any, layouts: Mapping[str, Layout], prefix: str, suffix: str) -> dict[str, np.ndarray]:
    """Arrays by their names in a layout."""
    if isinstance(arrays, list | tuple) and not hasattr(arrays, "_fields"):
        parts = next(iter(layouts.values())).parts
        arrays = {part.name: array for part, array in zip(parts, arrays, strict=False)}
    flat = {name: array for name, array in _flat("", arrays) if array is not None}
    ends = [(name, name[len(prefix) : len(name) - len(suffix)]) for name in flat]
    return {inner: np.asarray(flat[name]) for name, inner in ends if name == f"{prefix}{inner}{suffix}"}


def _flat(path: str, tree: Any) -> Iterator[tuple[str, Any]]:
    if hasattr(tree, "shape") or tree is None:
        yield path, tree
        return
    if hasattr(tree, "get_value"):  # a variable of nnx
        yield path, tree.get_value()
        return
    held = tree if isinstance(tree, Mapping) else vars(tree) if hasattr(tree, "__dict__") else {}
    for name, inner in held.items():
        if isinstance(inner, type | np.dtype):  # what a module computes in
            continue
        if isinstance(inner, Mapping) or hasattr(inner, "shape") or hasattr(inner, "__dict__"):
            yield from _flat(f"{path}/{name}" if path else str(name), inner)


def _fits(layout: Layout, named: Mapping[str, np.ndarray]) -> bool:
    """Whether arrays have the names and the numbers of gates and axes of a layout."""
    names = {part.name for part in layout.parts}
    if not {part.name for part in layout.parts if not part.optional} <= named.keys() or not named.keys() <= names:
        return False
    wide = next(part for part in layout.parts if "recurrent_kernel" in part.fields)
    rows, columns = _shape(wide, named[wide.name])
    projected = named.get("weight_hr")
    size = columns // len(wide.gates)
    if columns % len(wide.gates) or (projected is None and len(wide.fields) == 1 and rows != size):
        return False
    return all(
        named[part.name].ndim == (2 if len(part.fields) == 2 or "kernel" in part.fields[0] or not part.gates else 1)
        for part in layout.parts
        if part.name in named
    )


def _shape(part: Part, array: np.ndarray) -> tuple[int, int]:
    shape = array.shape[::-1] if part.transposed else array.shape
    return shape if len(shape) == 2 else (0, 0)


def _read(layout: Layout, named: Mapping[str, np.ndarray]) -> tuple[Gates, list[str]]:
    """Arrays by field and gate, in our signs, and what there is to say."""
    gates: Gates = {}
    notes = []
    for part in layout.parts:
        if part.name not in named:
            notes += [f"{part.name}: none there, so zeros"] if "bias" in part.fields[-1] else []
            continue
        array = named[part.name].T if part.transposed else named[part.name]
        if not part.gates:
            gates[part.fields[0]] = {"": array}
            continue
        size = array.shape[-1] // len(part.gates)
        for at, gate in enumerate(part.gates):
            block = array[..., at * size : (at + 1) * size]
            for name, rows in zip(part.fields, _rows(part, block, size), strict=True):
                gates.setdefault(name, {})[gate] = -rows if gate in layout.negated else rows
    notes += [f"{gate}: negated, its weights act on 1 - {gate} there" for gate in layout.negated]
    return gates, notes


def _rows(part: Part, block: np.ndarray, size: int) -> Iterable[np.ndarray]:
    if len(part.fields) == 1:
        return (block,)
    if block.ndim == 2 and "bias" in part.fields[0]:
        return block[0], block[1]
    return block[:-size], block[-size:]


def _params_of(layout: Layout, gates: Gates, notes: list[str]) -> Any:
    order = ORDER[layout.kind]
    kernel, recurrent = (np.stack([gates[name][gate] for gate in order], axis=1) for name in K_R)
    zeros = np.zeros(kernel.shape[-1], kernel.dtype)
    x, h = ({gate: gates.get(name, {}).get(gate, zeros) for gate in order} for name in ("input_bias", "recurrent_bias"))
    inner = None
    if layout.kind is GRU and layout.fixed["reset_after"]:
        inner, h["n"] = h["n"], zeros
    both = [gate for gate in order if np.any(x[gate]) and np.any(h[gate])]
    if both:
        notes.append(f"the two biases of {', '.join(both)} summed")
    bias = np.stack([x[gate] + h[gate] + np.asarray(layout.added.get(gate, 0), kernel.dtype) for gate in order])
    notes += [f"{gate}: {value} added to its bias, as their code does" for gate, value in layout.added.items()]
    if layout.kind is GRU:
        return _PARAMS[GRU](kernel, recurrent, bias, inner)
    params = _PARAMS[layout.kind](kernel, recurrent, bias)
    if "peephole" in gates:
        params = params._replace(peephole=np.stack([gates["peephole"][gate] for gate in PEEPHOLES]))
    return params._replace(projection=gates["projection"][""]) if "projection" in gates else params


def _gates_of(layout: Layout, cell: Any, params: Any) -> Gates:
    """Our parameters by field and gate, in the signs and with the offsets of a layout."""
    order = ORDER[layout.kind]
    gates: Gates = {
        name: {gate: np.asarray(getattr(params, name))[:, at] for at, gate in enumerate(order)} for name in K_R
    }
    bias = np.asarray(params.bias)
    gates["input_bias"] = {
        gate: bias[at] - np.asarray(layout.added[gate], bias.dtype) if gate in layout.added else bias[at]
        for at, gate in enumerate(order)
    }
    if getattr(params, "recurrent_bias", None) is not None:
        gates["recurrent_bias"] = {"n": np.asarray(params.recurrent_bias)}
    if getattr(params, "projection", None) is not None:
        gates["projection"] = {"": np.asarray(params.projection)}
    if getattr(params, "peephole", None) is not None:
        gates["peephole"] = dict(zip(PEEPHOLES, np.asarray(params.peephole), strict=True))
    for name in gates:
        for gate in layout.negated:
            if gate in gates[name]:
                gates[name][gate] = -gates[name][gate]
    if not any("input_bias" in part.fields for part in layout.parts):
        gates["recurrent_bias"] = gates.pop("input_bias")
    return gates


def _write(part: Part, gates: Gates, zeros: np.ndarray, notes: list[str]) -> np.ndarray | None:
    """The array of a part, its gates taken out of `gates`; None for a projection or peepholes that the cell has not."""
    if part.fields == ("peephole",) and "peephole" not in gates:
        return None
    if not part.gates:
        array = gates.pop(part.fields[0], {}).get("")
        return None if array is None else array.T
    filled = [gate for gate in part.gates if gate not in gates.get(part.fields[-1], {})]
    if filled:
        notes.append(f"{part.name}: zeros for {', '.join(filled)}, which have one bias here")
    blocks = []  # of each gate, (rows, H) or (H,)
    for gate in part.gates:
        rows = [gates.get(name, {}).pop(gate, zeros) for name in part.fields]
        blocks.append(rows[0] if len(rows) == 1 else np.vstack(rows))
    joined = np.concatenate(blocks, axis=-1)
    return joined.T if part.transposed else joined


def _is_for(layout: Layout, cell: Any) -> bool:
    return isinstance(cell, layout.kind) and _difference(layout, cell) is None


def _check_is_for(library: str, layout: Layout, cell: Any) -> None:
    """Raises a ValueError unless a step of the cell is one of the library's."""
    if not isinstance(cell, layout.kind):
        raise ValueError(f"cell: expected one of type {layout.kind.__name__}, got {cell!r:.80}")
    name = _difference(layout, cell)
    if name is not None:
        asked = getattr(layout.kind(1, **layout.fixed), name)
        raise ValueError(f"cell: {library} has none with {name}={getattr(cell, name)!r}; expected {name}={asked!r}")


def _difference(layout: Layout, cell: Any) -> str | None:
    """The first field by which a step of the cell is none of the layout's."""
    like, free = layout.kind(1, **layout.fixed), _OF_START | {*layout.free}
    held = {name for part in layout.parts for name in part.fields}
    if "projection" not in held and getattr(cell, "projection_size", None) is not None:
        return "projection_size"
    free |= {"peepholes"} & {f"{name}s" for name in held}
    names = (one.name for one in fields(layout.kind) if one.name not in free)
    return next((name for name in names if getattr(cell, name) != getattr(like, name)), None)
