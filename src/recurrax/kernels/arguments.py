"""What `recurrax.scan` is given, checked: one sentence that names the argument, what came and what was expected."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from recurrax.kernels.padding import Rows
from recurrax.typing import Array, Carry, Cell, DTypeLike, Params


def check_sequence(cell: Cell, params: Params, xs: Array) -> None:
    """Raises a ValueError unless xs is a floating (T, *batch, D) that the cell can project."""
    check_is_cell(cell)
    if not hasattr(xs, "ndim") or not hasattr(xs, "dtype"):
        raise ValueError(f"xs: expected an array (T, *batch, D), got {type(xs).__name__}")
    if xs.ndim < 2:
        raise ValueError(f"xs: expected (T, *batch, D) with at least two axes, got shape {xs.shape}")
    if not jnp.issubdtype(xs.dtype, jnp.floating):
        raise ValueError(f"xs: expected a floating dtype, got {xs.dtype}")
    if xs.shape[-1] == 0:
        raise ValueError(f"xs: expected at least one feature on the last axis, got shape {xs.shape}")


def check_is_cell(cell: Any) -> None:
    """Raises a ValueError unless `cell` is an instance with the methods of the contract."""
    if isinstance(cell, type):
        raise ValueError(f"cell: expected an instance such as {cell.__name__}(128), got the class itself")
    if not isinstance(cell, Cell):
        raise ValueError(f"cell: expected an object with the methods of recurrax.typing.Cell, got {cell!r}")


def carry_dtype(params: Params, xs: Array) -> DTypeLike:
    """The promoted dtype of xs and the parameters, and at least float32: a bfloat16 carry loses a sequence."""
    return jnp.result_type(jnp.float32, xs.dtype, *(leaf.dtype for leaf in jax.tree.leaves(params)))


def check_carry(carry: Carry, expected: Carry) -> None:
    """Raises a ValueError unless `carry` has the type, structure and shapes of `expected` and floating leaves."""
    if jax.tree.structure(carry) != jax.tree.structure(expected):
        raise ValueError(f"carry: expected a {_describe(expected)}, got {_describe(carry)}")
    for (path, got), want in zip(jax.tree.leaves_with_path(carry), jax.tree.leaves(expected), strict=True):
        name = "carry" + jax.tree_util.keystr(path)
        if jnp.shape(got) != want.shape:
            raise ValueError(f"{name}: expected shape {want.shape}, got {jnp.shape(got)}")
        if not jnp.issubdtype(jnp.result_type(got), jnp.floating):
            raise ValueError(f"{name}: expected a floating dtype, got {jnp.result_type(got)}")


def rows(xs: Array, lengths: Array | None, mask: Array | None, resets: Array | None) -> Rows:
    """`lengths` and `mask` combined into one, and `resets`, checked."""
    valid = None
    if mask is not None:
        valid = _bools("mask", mask, xs.shape[:-1])
    if lengths is not None:
        steps = jnp.arange(xs.shape[0]).reshape((-1,) + (1,) * (xs.ndim - 2))
        within = steps < _lengths(lengths, xs.shape)[None]
        valid = within if valid is None else valid & within
    return Rows(valid=valid, reset=None if resets is None else _bools("resets", resets, xs.shape[:-1]))


def _bools(name: str, array: Array, shape: tuple[int, ...]) -> Array:
    if jnp.shape(array) != shape or jnp.result_type(array) != jnp.bool_:
        raise ValueError(
            f"{name}: expected bool (T, *batch) = {shape}, got {jnp.result_type(array)} {jnp.shape(array)}"
        )
    return jnp.asarray(array)


def _lengths(lengths: Array, xs_shape: tuple[int, ...]) -> Array:
    steps, batch_shape = xs_shape[0], xs_shape[1:-1]
    if not jnp.issubdtype(jnp.result_type(lengths), jnp.integer):
        raise ValueError(f"lengths: expected an integer dtype, got {jnp.result_type(lengths)}")
    if jnp.shape(lengths) != batch_shape:
        raise ValueError(f"lengths: expected shape (*batch,) = {batch_shape}, got {jnp.shape(lengths)}")
    # Under jit the values are unknown; a length beyond T then means T, and a negative one 0.
    if not isinstance(lengths, Tracer):
        values = np.asarray(lengths)
        if values.size and (values.min() < 0 or values.max() > steps):
            worst = values.max() if values.max() > steps else values.min()
            raise ValueError(f"lengths: expected values in 0..T = 0..{steps}, got {worst}")
    return jnp.asarray(lengths)


def _describe(tree: Any) -> str:
    fields = getattr(tree, "_fields", None)
    return type(tree).__name__ + (f"({', '.join(fields)})" if fields else "")
