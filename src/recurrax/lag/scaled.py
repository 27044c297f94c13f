"""Vectors far below and above what a float can hold: a value near 1 and a power of two, row by row.

x = value · 2^exponent, with max|value| in [1/2, 1). A power of two scales without rounding and its exponent is an
integer, so walking a thousand steps adds no error to the scale: in float32 as in float64 only the direction rounds.
"""

from functools import reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from recurrax import norms
from recurrax.typing import Array


class Scaled(NamedTuple):
    """One vector per row of the batch: value, a tree of arrays (*batch, ...); exponent int32 (*batch)."""

    value: Any
    exponent: Array


def rescale(tree: Any, exponent: Array) -> Scaled:
    """Brings the largest magnitude of tree · 2^exponent to [1/2, 1); rows of zeros stay as they are.

    Args:
        tree: arrays (*batch, ...), floating.
        exponent: int32 (*batch).
    """
    largest = reduce(jnp.maximum, (_over_features(jnp.max, jnp.abs(x), exponent.ndim) for x in jax.tree.leaves(tree)))
    # Beyond ±126 the factor itself would be subnormal in float32, and flushed; the next call scales the rest.
    shift = jnp.clip(jnp.frexp(largest)[1], -126, 126).astype(exponent.dtype)
    return Scaled(times_power(tree, -shift), exponent + shift)


def times_power(tree: Any, exponent: Array) -> Any:
    """Scales by 2^exponent, row by row: to zero where that is below the dtype's range."""

    def multiply(x: Array) -> Array:
        factor = jnp.ldexp(jnp.ones((), x.dtype), jnp.clip(exponent, -1000, 1000))
        return x * factor.reshape(factor.shape + (1,) * (x.ndim - exponent.ndim))

    return jax.tree.map(multiply, tree)


def add(left: Scaled, right: Scaled) -> Scaled:
    """The sum; a term below the other by more than the dtype's range is lost, being far below rounding."""
    zero = [_over_features(jnp.all, x == 0, left.exponent.ndim) for x in jax.tree.leaves(right.value)]
    exponent = jnp.where(reduce(jnp.logical_and, zero), left.exponent, jnp.maximum(left.exponent, right.exponent))
    lowered = [times_power(term.value, jnp.minimum(term.exponent - exponent, 0)) for term in (left, right)]
    return rescale(jax.tree.map(jnp.add, *lowered), exponent)


def log_norms(vector: Scaled) -> Any:
    """Ln ‖·‖₂ (*batch) of each leaf of a vector, in the tree of its value: -inf for zeros."""
    batch_ndim = vector.exponent.ndim
    return jax.tree.map(
        lambda x: norms.log_norm(x, tuple(range(batch_ndim, x.ndim))) + _log_scale(vector, x.dtype), vector.value
    )


def log_norm_joint(vector: Scaled) -> Array:
    """Ln ‖·‖₂ (*batch) of all leaves of a vector together."""
    squares = [_over_features(jnp.sum, jnp.square(x), vector.exponent.ndim) for x in jax.tree.leaves(vector.value)]
    total = reduce(jnp.add, squares)
    return 0.5 * jnp.log(total) + _log_scale(vector, total.dtype)


def cosine(left: Scaled, right: Scaled) -> Array:
    """⟨left, right⟩ / (‖left‖ ‖right‖) per row (*batch): NaN where either is zero."""
    products = jax.tree.leaves(jax.tree.map(jnp.multiply, left.value, right.value))
    total = reduce(jnp.add, (_over_features(jnp.sum, x, left.exponent.ndim) for x in products))
    lengths = [log_norm_joint(Scaled(term.value, jnp.zeros_like(term.exponent))) for term in (left, right)]
    return jnp.clip(total * jnp.exp(-lengths[0] - lengths[1]), -1, 1)


def _over_features(reduction: Any, x: Array, batch_ndim: int) -> Array:
    return reduction(x, axis=tuple(range(batch_ndim, x.ndim)))


def _log_scale(vector: Scaled, dtype: Any) -> Array:
    return vector.exponent.astype(dtype) * jnp.asarray(np.log(2), dtype)
