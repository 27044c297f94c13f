"""Euclidean norms that neither underflow nor overflow.

‖x‖ = m ‖x/m‖ with m = max|x|. The naive √Σx² squares first, so in float32 it is 0 for vectors below 1e-19 and inf above
1.8e19; here the result is right wherever it can be represented, and its logarithm far beyond. A complex number counts
as its real and its imaginary part.
"""

from typing import Any

import jax
import jax.numpy as jnp

from recurrax.typing import Array

Axes = int | tuple[int, ...] | None


def log_norm(x: Array, axis: Axes = None) -> Array:
    """Ln ‖x‖₂ over `axis` (all axes if None): finite unless x is all zeros (-inf) or holds an inf or a NaN."""
    squares, scale = _scaled_squares(x, axis)
    return 0.5 * log(squares) + jnp.log(scale)


def safe_norm(x: Array, axis: Axes = None) -> Array:
    """‖x‖₂ over `axis` (all axes if None), right from 1e-37 to 1e37 in float32.

    >>> print(f"{float(safe_norm(jnp.array([3e-30, 4e-30]))):.3e}")  # jnp.linalg.norm gives 0.0
    5.000e-30
    """
    squares, scale = _scaled_squares(x, axis)
    return jnp.sqrt(squares) * scale


def log_global_norm(tree: Any) -> Array:
    """Ln ‖·‖₂ of all leaves of a tree together."""
    norms = [2 * log_norm(leaf) for leaf in jax.tree.leaves(tree)]
    return 0.5 * jax.scipy.special.logsumexp(jnp.stack(norms))


def safe_global_norm(tree: Any) -> Array:
    """‖·‖₂ of all leaves of a tree together, where `optax.global_norm` gives 0 below 1e-19 and inf above 1e19."""
    return safe_norm(jnp.stack([safe_norm(leaf) for leaf in jax.tree.leaves(tree)]))


def log_joint(logs: Array, axis: int | None = None) -> Array:
    """Ln ‖·‖₂ of parts together, from ln ‖·‖₂ of each: ½ ln Σ e^{2 logs}, beyond any float's range."""
    largest = jnp.max(jax.lax.stop_gradient(logs), axis=axis, keepdims=True)  # it drops out
    largest = jnp.where(jnp.isneginf(largest), 0, largest)
    total = jnp.sum(jnp.exp(2 * (logs - largest)), axis=axis)
    return 0.5 * log(total) + largest.reshape(total.shape)


def log(x: Array) -> Array:
    """Ln x, -inf at 0 and the gradient there 0: a norm that is zero keeps no other one from being differentiated."""
    zero = x == 0
    return jnp.where(zero, -jnp.inf, jnp.log(jnp.where(zero, 1, x)))


def square(x: Array) -> Array:
    """|x|², real for complex x too."""
    return jnp.square(x.real) + jnp.square(x.imag) if jnp.iscomplexobj(x) else jnp.square(x)


def _scaled_squares(x: Array, axis: Axes) -> tuple[Array, Array]:
    """Σ|x/m|² and m over `axis`, with m = max|x|, or 1 where that is 0, inf or NaN."""
    # m drops out of the norm, and so its gradient does.
    largest = jnp.max(jnp.abs(jax.lax.stop_gradient(x)), axis=axis, keepdims=True, initial=0)
    scale = jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1)
    squares = jnp.sum(square(x / scale), axis=axis)
    return squares, scale.reshape(squares.shape)
