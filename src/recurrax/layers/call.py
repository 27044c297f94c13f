"""What a layer wraps around `recurrax.scan`: the batch first, a compute dtype, the words of Flax. Knows no Flax."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from recurrax.kernels import arguments
from recurrax.kernels.scan import Implementation, ScanResult, scan
from recurrax.layers.dropout import Rates, carry_of, keyed, masked, wrapped
from recurrax.typing import Array, Carry, Cell, DTypeLike, Key, Params
from recurrax.wrappers import DropoutCarry


def run_layer(
    cell: Cell,
    params: Params,
    inputs: Any,
    initial_carry: Carry | None = None,
    *,
    seq_lengths: Array | None = None,
    mask: Array | None = None,
    resets: Array | None = None,
    time_major: bool = False,
    reverse: bool = False,
    keep_order: bool = True,
    dtype: DTypeLike | None = None,
    unroll: int = 1,
    chunk: int | None = None,
    truncate: int | None = None,
    implementation: Implementation | None = None,
    rates: Rates,
    key: Key | None = None,
) -> ScanResult:
    """`recurrax.scan` of inputs (*batch, T, ...), with mask and resets (*batch, T), to outputs (*batch, T, H).

    Args:
        cell: any cell of the contract.
        params: its parameters.
        inputs: (*batch, T, D) floating, or any pytree of arrays (*batch, T, ...), integers and bools among them; time
            comes first if `time_major`.
        initial_carry: each field (*batch, ...); the cell's own if None.
        seq_lengths: (*batch,) ints in 0..T.
        mask: (*batch, T) bools, True = valid; (T, *batch) if `time_major`.
        resets: like mask, True = the carry entering the step is the cell's initial one.
        time_major: whether time stands before the batch axes instead of after them.
        reverse: walk from the last valid step to the first.
        keep_order: with `reverse`, whether outputs stay at their own positions; else the first step walked comes
            first, and padding within `seq_lengths` last.
        dtype: what inputs and parameters are cast to; the carry stays at least float32. None casts nothing.
        unroll: as in `recurrax.scan`.
        chunk: likewise.
        truncate: likewise.
        implementation: likewise.
        rates: of dropout and zoneout. Where one is not 0 the carry is that of `dropout.carry_of`; one of the cell
            alone is taken too.
        key: a single key, from which rows draw that have none in their carry; None draws nothing.

    Raises:
        ValueError: an argument has the wrong shape, dtype, structure or name; the sentence says which.
    """
    arguments.check_is_cell(cell)
    shape = check_inputs(inputs, time_major)
    batch_shape = shape[1:] if time_major else shape[:-1]
    if seq_lengths is not None and jnp.shape(seq_lengths) != batch_shape:
        raise ValueError(f"seq_lengths: expected shape (*batch,) = {batch_shape}, got {jnp.shape(seq_lengths)}")
    mask = _time_first("mask", mask, shape, time_major)
    resets = _time_first("resets", resets, shape, time_major)
    if dtype is not None:
        inputs, params = cast_floating(inputs, dtype), cast_floating(params, dtype)
    carry, input_key = initial_carry, None
    if any(rates):
        carry = keyed(_carry(cell, params, inputs, batch_shape, initial_carry, rates), key)
        if rates.dropout:
            carry, input_key = carry
            inputs = masked(inputs, input_key, rates.dropout, 0 if time_major else len(batch_shape))
    outputs, carry = scan(
        wrapped(cell, rates),
        params,
        inputs if time_major else jax.tree.map(lambda leaf: jnp.moveaxis(leaf, len(batch_shape), 0), inputs),
        carry,
        lengths=seq_lengths,
        mask=mask,
        resets=resets,
        reverse=reverse,
        unroll=unroll,
        chunk=chunk,
        truncate=truncate,
        implementation=implementation,
    )
    if reverse and not keep_order:
        outputs = _turned(outputs, seq_lengths)
    carry = carry if input_key is None else DropoutCarry(carry, input_key)
    return ScanResult(outputs if time_major else jnp.moveaxis(outputs, 0, len(batch_shape)), carry)


def _carry(
    cell: Cell, params: Params, inputs: Any, batch_shape: tuple[int, ...], given: Carry | None, rates: Rates
) -> Carry:
    """The carry of a layer with such rates: the given one, or one around it, or around the cell's initial one."""
    initial = cell.initial_carry(params, batch_shape, arguments.carry_dtype(params, inputs))
    if given is None or jax.tree.structure(given) == jax.tree.structure(initial):
        return carry_of(initial if given is None else given, rates, batch_shape)
    expected = carry_of(initial, rates, batch_shape)
    if jax.tree.structure(given) != jax.tree.structure(expected):
        kinds = f"a {type(expected).__name__} as a call returns it, or the cell's {type(initial).__name__}"
        raise ValueError(f"initial_carry: expected {kinds}, got {type(given).__name__}")
    if rates.dropout and jnp.shape(given.key) != batch_shape:
        raise ValueError(f"initial_carry.key: expected shape (*batch,) = {batch_shape}, got {jnp.shape(given.key)}")
    return given


def _turned(outputs: Array, lengths: Array | None) -> Array:
    """Outputs (T, *batch, H) in the order in which they were walked from the last valid step, the padding behind."""
    if lengths is None:
        return jnp.flip(outputs, axis=0)
    steps = jnp.arange(outputs.shape[0]).reshape((-1,) + (1,) * jnp.ndim(lengths))
    source = jnp.where(steps < lengths[None], lengths[None] - 1 - steps, steps)  # (T, *batch)
    return jnp.take_along_axis(outputs, source[..., None], axis=0)


_TAKEN = {
    *(
        "cell",
        "input_size",
        "time_major",
        "return_carry",
        "reverse",
        "keep_order",
        "dtype",
        "param_dtype",
        "unroll",
        "chunk",
        "truncate",
        "implementation",
        "dropout",
        "recurrent_dropout",
        "zoneout",
        "deterministic",
        "rngs",
        "variable_axes",
        "variable_broadcast",
        "variable_carry",
        "split_rngs",
    ),
    *("params", "params_tree", "name", "parent", "scope", "rates", "wrapped_cell"),
}
"""What the layers, and Flax's modules, call their own."""


def check_inputs(inputs: Any, time_major: bool) -> tuple[int, ...]:
    """The axes (*batch, T) of inputs, or (T, *batch) if `time_major`: all but the features of a floating array.

    Of several arrays they are the leading axes that all share, features set aside.

    Raises:
        ValueError: inputs are no arrays with such axes.
    """
    axes = "(T, *batch, D)" if time_major else "(*batch, T, D)"
    leaves = jax.tree.leaves(inputs)
    if not leaves or not all(hasattr(leaf, "ndim") and hasattr(leaf, "dtype") for leaf in leaves):
        raise ValueError(f"inputs: expected an array {axes} or a pytree of arrays, got {type(inputs).__name__}")
    shared = arguments.shared_axes(leaves)
    if not shared:
        kinds = ", ".join(f"{leaf.dtype} {leaf.shape}" for leaf in leaves)
        raise ValueError(f"inputs: expected floating {axes}, or integers without D, got {kinds}")
    return shared


def fields(params: Params) -> dict[str, Any]:
    """The parts of parameters that a layer holds under names of their own.

    The fields of a NamedTuple, or the entries of a dict with names for keys; the whole as `weights` of anything else,
    or where a layer has another use for one of the names.
    """
    names = getattr(params, "_fields", tuple(params) if isinstance(params, dict) else ())
    if not names or not all(isinstance(name, str) and name.isidentifier() and name not in _TAKEN for name in names):
        return {"weights": params}
    return dict(params) if isinstance(params, dict) else params._asdict()


def of_fields(like: Params, values: dict[str, Any]) -> Params:
    """Parameters of the kind of `like` from what `fields` gives."""
    if fields(like).get("weights") is like:
        return values["weights"]
    return type(like)(values) if isinstance(like, dict) else type(like)(**values)


def check_params(cell: Cell, params: Any, own: Params) -> Params:
    """Parameters of the kind of `own`, from such ones, or from dicts and lists as a checkpoint gives them back.

    Raises:
        ValueError: they are those of another cell, width or number of gates.
    """
    by_field = in_structure_of(fields(own), params)
    found = in_structure_of(own, params) if by_field is None else of_fields(own, by_field)
    if found is None:
        raise wrong_names(cell, fields(own), params)
    for (path, leaf), want in zip(jax.tree.leaves_with_path(found), jax.tree.leaves(own), strict=True):
        if jnp.shape(leaf) != jnp.shape(want):
            raise wrong_shape(cell, jax.tree_util.keystr(path), jnp.shape(leaf), jnp.shape(want))
    return found


def in_structure_of(like: Any, tree: Any) -> Any:
    """A pytree's leaves in the structure of `like`, where a list or dict may stand for a tuple or its kind.

    None where names or places differ.
    """
    named = _named(tree)
    wanted = _named(like)
    return (
        jax.tree.unflatten(jax.tree.structure(like), map(named.get, wanted)) if named.keys() == wanted.keys() else None
    )


def _named(tree: Any) -> dict[str, Any]:
    """Leaves by their path, keys, fields and places alike."""
    named = jax.tree.leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in named}


def wrong_names(cell: Cell, expected: Any, got: Any) -> ValueError:
    """What to raise for parameters of another cell."""
    names = [", ".join(_named(tree)) or "none" for tree in (expected, got)]
    return ValueError(f"params: expected those of {type(cell).__name__}, {names[0]}, got {names[1]:.200}")


def wrong_shape(cell: Cell, name: str, got: Any, expected: Any) -> ValueError:
    """What to raise for parameters of another width or number of gates."""
    return ValueError(f"params{name}: expected shape {expected} of the layer's {type(cell).__name__}, got {got}")


def parted(tree: Any) -> tuple[Any, Any]:
    """A pytree twice: with the leaves that are trained and None for the others, and the other way round."""
    trained = jax.tree.map(lambda leaf: leaf if is_trained(leaf) else None, tree)
    return trained, jax.tree.map(lambda leaf: None if is_trained(leaf) else leaf, tree)


def merged(like: Any, trained: Any, constant: Any) -> Any:
    """The pytree of the kind of `like` that `parted` took apart."""
    parts = iter(jax.tree.leaves(constant)), iter(jax.tree.leaves(trained))
    return jax.tree.map(lambda leaf: next(parts[is_trained(leaf)]), like)


def is_floating(leaf: Any) -> bool:
    """Whether an array or shape has a real floating dtype."""
    return jnp.issubdtype(leaf.dtype, jnp.floating)


def is_trained(leaf: Any) -> bool:
    """Whether a parameter has a gradient; integers, such as a permutation, are kept but not trained."""
    return jnp.issubdtype(leaf.dtype, jnp.inexact)


def check_floating(name: str, dtype: DTypeLike | None) -> None:
    """Raises a ValueError unless `dtype` is None or a floating dtype."""
    if dtype is not None and not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"{name}: expected a floating dtype, got {jnp.dtype(dtype)}")


def check_is_usual(name: str, got: Any, usual: Any) -> None:
    """Raises a ValueError unless an argument of Flax's scan over a cell's variables is what it is without one."""
    if got != usual:
        usual, got = (dict(value) if isinstance(value, Mapping) else value for value in (usual, got))
        raise ValueError(f"{name}: expected {usual!r}, since all steps share a cell's parameters alone, got {got!r}")


def cast_floating(tree: Any, dtype: DTypeLike) -> Any:
    """The floating leaves of a tree in `dtype`, the others as they are."""
    return jax.tree.map(lambda leaf: leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, tree)


def _time_first(name: str, steps: Array | None, shape: tuple[int, ...], time_major: bool) -> Array | None:
    if steps is None:
        return None
    if jnp.shape(steps) != shape or jnp.result_type(steps) != jnp.bool_:
        axes = "(T, *batch)" if time_major else "(*batch, T)"
        raise ValueError(f"{name}: expected bool {axes} = {shape}, got {jnp.result_type(steps)} {jnp.shape(steps)}")
    return steps if time_major else jnp.moveaxis(jnp.asarray(steps), -1, 0)
