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


class ScaledVector(NamedTuple):
    """One vector per row of the batch: value · 2^exponent.

    value: a tree of floating or complex arrays (*batch, ...).
    exponent: int32 (*batch).
    """

    value: Any
    exponent: Array


def rescale(tree: Any, exponent: Array) -> ScaledVector:
    """Brings the largest magnitude of tree · 2^exponent to [1/2, 1); rows of zeros stay as they are.

    Args:
        tree: arrays (*batch, ...), floating or complex.
        exponent: int32 (*batch).
    """
    # The shift is piecewise constant, so the gradient of a curve passes by it.
    magnitudes = (jnp.abs(x) for x in jax.tree.leaves(jax.lax.stop_gradient(tree)))
    largest = reduce(jnp.maximum, (_over_features(jnp.max, x, exponent.ndim) for x in magnitudes))  # (*batch)
    # Beyond ±126 the factor itself would be subnormal in float32, and flushed; the next call scales the rest.
    shift = jnp.clip(jnp.frexp(largest)[1], -126, 126).astype(exponent.dtype)
    return ScaledVector(times_power(tree, -shift), exponent + shift)


def times_power(tree: Any, exponent: Array) -> Any:
    """Scales by 2^exponent, row by row: to zero where that is below the dtype's range."""

    def multiply(x: Array) -> Array:
        # In the dtype of the parts: there is no ldexp of complex numbers.
        factor = jnp.ldexp(jnp.ones((), x.real.dtype), jnp.clip(exponent, -1000, 1000))
        return x * factor.reshape(factor.shape + (1,) * (x.ndim - exponent.ndim))

    return jax.tree.map(multiply, tree)


def join(left: ScaledVector, right: ScaledVector) -> ScaledVector:
    """Both as one vector, the tree (left, right), with the larger exponent of the two that are not zero.

    A term below the other by more than the dtype's range is lost, being far below rounding.
    """
    exponent = jnp.maximum(left.exponent, right.exponent)
    exponent = jnp.where(_is_zero(right), left.exponent, jnp.where(_is_zero(left), right.exponent, exponent))
    lowered = (times_power(term.value, jnp.minimum(term.exponent - exponent, 0)) for term in (left, right))
    return ScaledVector(tuple(lowered), exponent)


def add(left: ScaledVector, right: ScaledVector) -> ScaledVector:
    """The sum of two vectors with the same tree."""
    both = join(left, right)
    return rescale(jax.tree.map(jnp.add, *both.value), both.exponent)


def log_norms(vector: ScaledVector) -> Any:
    """Ln ‖·‖₂ (*batch) of each leaf of a vector, in the tree of its value: -inf for zeros."""
    batch_ndim = vector.exponent.ndim
    return jax.tree.map(
        lambda x: norms.log_norm(x, tuple(range(batch_ndim, x.ndim))) + log_scale(vector, x.real.dtype), vector.value
    )


def log_norm_joint(vector: ScaledVector) -> Array:
    """Ln ‖·‖₂ (*batch) of all leaves of a vector together."""
    squares = [_over_features(jnp.sum, norms.square(x), vector.exponent.ndim) for x in jax.tree.leaves(vector.value)]
    total = reduce(jnp.add, squares)
    return 0.5 * norms.log(total) + log_scale(vector, total.dtype)


def cosine(left: ScaledVector, right: ScaledVector) -> Array:
    """⟨left, right⟩ / (‖left‖ ‖right‖) per row (*batch): NaN where either is zero."""
    products = jax.tree.map(lambda x, y: (x * y.conj()).real, left.value, right.value)
    total = reduce(jnp.add, (_over_features(jnp.sum, x, left.exponent.ndim) for x in jax.tree.leaves(products)))
    # Without their exponents, which drop out of a cosine.
    lengths = [log_norm_joint(ScaledVector(term.value, jnp.zeros_like(term.exponent))) for term in (left, right)]
    return jnp.clip(total * jnp.exp(-lengths[0] - lengths[1]), -1, 1)


def _is_zero(vector: ScaledVector) -> Array:
    """Which rows (*batch) hold zeros alone."""
    zero = (_over_features(jnp.all, x == 0, vector.exponent.ndim) for x in jax.tree.leaves(vector.value))
    return reduce(jnp.logical_and, zero)


def _over_features(reduction: Any, x: Array, batch_ndim: int) -> Array:
    return reduction(x, axis=tuple(range(batch_ndim, x.ndim)))


def log_scale(vector: ScaledVector, dtype: Any) -> Array:
    """Ln 2^exponent (*batch)."""
    return vector.exponent.astype(dtype) * jnp.asarray(np.log(2), dtype)
