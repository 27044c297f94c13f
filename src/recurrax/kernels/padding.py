"""Which rows of the batch a step applies to: padding passes the carry through, a reset starts a row afresh."""

from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from recurrax.keys import is_key
from recurrax.typing import Array

Tree = TypeVar("Tree")


class Rows(NamedTuple):
    """valid, reset: bool (T, *batch); None where every row is valid, where none is reset."""

    valid: Array | None
    reset: Array | None


def where_rows(rows: Array, chosen: Tree, otherwise: Tree) -> Tree:
    """Leaf by leaf, `chosen` in the rows (*batch,) that are True and `otherwise` elsewhere, in the latter's dtype."""

    def select(new: Array, old: Array) -> Array:
        return jnp.where(rows.reshape(rows.shape + (1,) * (old.ndim - rows.ndim)), in_dtype_of(old, new), old)

    return jax.tree.map(select, chosen, otherwise)


def in_dtype_of(like: Array, leaf: Array) -> Array:
    """A leaf in the dtype of another; keys of random numbers have one dtype and cannot be cast."""
    return leaf if leaf.dtype == like.dtype else leaf.astype(like.dtype)


def entering_carry(reset: Array | None, initial: Tree, carry: Tree) -> Tree:
    """The carry a step starts from: the initial one in rows that are reset, but keys, since chance is no memory."""
    if reset is None:
        return carry
    initial = jax.tree.map(lambda new, old: old if is_key(old) else new, initial, carry)
    return where_rows(reset, initial, carry)


def leaving_carry(valid: Array | None, stepped: Tree, entering: Tree) -> Tree:
    """The carry a step leaves behind: the one it entered with in rows that are padding, always in its dtypes."""
    if valid is None:
        return jax.tree.map(lambda new, old: in_dtype_of(old, new), stepped, entering)
    return where_rows(valid, stepped, entering)


def leaving_output(valid: Array | None, y: Array) -> Array:
    """The output of a step: zeros in rows that are padding."""
    return y if valid is None else where_rows(valid, y, jnp.zeros_like(y))
