"""What a layer wraps around `recurrax.scan`: the batch first, a compute dtype, the words of Flax. Knows no Flax."""

from typing import Any

import jax
import jax.numpy as jnp

from recurrax.kernels import arguments
from recurrax.kernels.scan import Implementation, ScanResult, scan
from recurrax.typing import Array, Carry, Cell, DTypeLike, Params


def run_layer(
    cell: Cell,
    params: Params,
    inputs: Array,
    initial_carry: Carry | None = None,
    *,
    seq_lengths: Array | None = None,
    mask: Array | None = None,
    resets: Array | None = None,
    time_major: bool = False,
    reverse: bool = False,
    dtype: DTypeLike | None = None,
    implementation: Implementation | None = None,
) -> ScanResult:
    """`recurrax.scan` of inputs (*batch, T, D), with mask and resets (*batch, T), to outputs (*batch, T, H).

    Args:
        cell: any cell of the contract.
        params: its parameters.
        inputs: (*batch, T, D) floating; (T, *batch, D) if `time_major`.
        initial_carry: each field (*batch, ...); the cell's own if None.
        seq_lengths: (*batch,) ints in 0..T.
        mask: (*batch, T) bools, True = valid; (T, *batch) if `time_major`.
        resets: like mask, True = the carry entering the step is the cell's initial one.
        time_major: whether time stands before the batch axes instead of after them.
        reverse: walk from the last valid step to the first; outputs stay at their own positions.
        dtype: what inputs and parameters are cast to; the carry stays at least float32. None casts nothing.
        implementation: as in `recurrax.scan`.

    Raises:
        ValueError: an argument has the wrong shape, dtype, structure or name; the sentence says which.
    """
    arguments.check_is_cell(cell)
    check_inputs(inputs, time_major)
    batch_shape = inputs.shape[1:-1] if time_major else inputs.shape[:-2]
    if seq_lengths is not None and jnp.shape(seq_lengths) != batch_shape:
        raise ValueError(f"seq_lengths: expected shape (*batch,) = {batch_shape}, got {jnp.shape(seq_lengths)}")
    mask = _time_first("mask", mask, inputs.shape[:-1], time_major)
    resets = _time_first("resets", resets, inputs.shape[:-1], time_major)
    if dtype is not None:
        inputs, params = cast_floating(inputs, dtype), cast_floating(params, dtype)
    outputs, carry = scan(
        cell,
        params,
        inputs if time_major else jnp.moveaxis(inputs, -2, 0),
        initial_carry,
        lengths=seq_lengths,
        mask=mask,
        resets=resets,
        reverse=reverse,
        implementation=implementation,
    )
    return ScanResult(outputs if time_major else jnp.moveaxis(outputs, 0, -2), carry)


def check_inputs(inputs: Array, time_major: bool) -> None:
    """Raises a ValueError unless `inputs` is a floating array of at least two axes."""
    axes = "(T, *batch, D)" if time_major else "(*batch, T, D)"
    if not hasattr(inputs, "ndim") or not hasattr(inputs, "dtype"):
        raise ValueError(f"inputs: expected an array {axes}, got {type(inputs).__name__}")
    if inputs.ndim < 2 or not jnp.issubdtype(inputs.dtype, jnp.floating):
        raise ValueError(f"inputs: expected floating {axes}, got {inputs.dtype} {inputs.shape}")


def check_params(params: Params) -> None:
    """Raises a ValueError unless `params` is a NamedTuple, whose fields a layer can hold under their own names."""
    if not isinstance(params, tuple) or not hasattr(params, "_fields"):
        raise ValueError(f"cell: expected init to give a NamedTuple of arrays, got {type(params).__name__}")


def check_floating(name: str, dtype: DTypeLike | None) -> None:
    """Raises a ValueError unless `dtype` is None or a floating dtype."""
    if dtype is not None and not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"{name}: expected a floating dtype, got {jnp.dtype(dtype)}")


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
