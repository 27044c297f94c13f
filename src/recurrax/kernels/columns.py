"""Trees of arrays seen as columns of real numbers."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recurrax.typing import Array


def as_columns(tree: Any, leading: int) -> Array:
    """All numbers of a tree side by side: leaves (*leading, ...) to (*leading, n), real.

    A complex number is two columns of its leaf, real parts before imaginary ones.

    >>> as_columns({"a": jnp.array([[1.0], [2.0]]), "b": jnp.array([3 + 4j, 5j])}, leading=1).tolist()
    [[1.0, 3.0, 4.0], [2.0, 0.0, 5.0]]
    """

    def flat(leaf: Array) -> Array:
        columns = leaf.reshape(*leaf.shape[:leading], math.prod(leaf.shape[leading:]))
        return jnp.concatenate([columns.real, columns.imag], -1) if jnp.iscomplexobj(leaf) else columns

    return jnp.concatenate([flat(leaf) for leaf in jax.tree.leaves(tree)], axis=-1)


def from_columns(columns: Array, like: Any, leading: int) -> Any:
    """The inverse: (*any, n) to the tree of `like`, whose leaves (*leading, ...) become (*any, ...) in their dtypes."""
    leaves, structure = jax.tree.flatten(like)
    widths = column_counts(like, leading)

    def leaf(part: Array, like: Array) -> Array:
        if jnp.iscomplexobj(like):
            real, imaginary = jnp.split(part.astype(like.real.dtype), 2, axis=-1)
            part = jax.lax.complex(real, imaginary)
        return part.astype(like.dtype).reshape(*part.shape[:-1], *like.shape[leading:])

    parts = jnp.split(columns, np.cumsum(widths)[:-1], axis=-1)
    return jax.tree.unflatten(structure, list(map(leaf, parts, leaves)))


def column_counts(tree: Any, leading: int) -> list[int]:
    """How many columns each leaf (*leading, ...) has in `as_columns`: of a complex one, two for each number."""
    return [math.prod(leaf.shape[leading:]) * (1 + jnp.iscomplexobj(leaf)) for leaf in jax.tree.leaves(tree)]


def parts(like: Any, leading: int) -> list[int]:
    """How many columns each part has: a floating leaf (*leading, ...) is one, a complex one two."""
    leaves = jax.tree.leaves(like)
    return [math.prod(leaf.shape[leading:]) for leaf in leaves for _ in range(1 + jnp.iscomplexobj(leaf))]
