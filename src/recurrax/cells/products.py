"""The matrix products every gated cell is made of: one input against the kernels of all gates."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from recurrax.typing import Array, is_below

_CACHED_BYTES = 4 << 20
"""Up to this size the pre-activations of all gates stay in a core's cache, and cutting them out of one array is
free."""
_FEW_ROWS = 8
"""Fewer rows than that, and a product is bound by reading its kernel, whose rows should be what it is multiplied by."""


def project_gates(x: Array, kernel: Array, bias: Array | None = None) -> tuple[Array, ...]:
    """u_g = x W_g + b_g, all gates in one product.

    Args:
        x: (..., D), floating.
        kernel: (D, G, H).
        bias: (G, H); none is added if None.

    Returns:
        G arrays (..., H) in the promoted dtype of x and kernel, at least float32.

    Raises:
        ValueError: x is not floating, or its last axis is not D.
    """
    if x.ndim == 0 or x.shape[-1] != kernel.shape[0]:
        raise ValueError(f"xs: expected {kernel.shape[0]} features on the last axis, got shape {x.shape}")
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"xs: expected a floating dtype, got {x.dtype}")
    dtype = jnp.promote_types(x.dtype, kernel.dtype)
    fan_in, gates, size = kernel.shape
    joined = _product_with(x.astype(dtype))(kernel.astype(dtype).reshape(fan_in, gates * size))
    if bias is not None:
        joined = add_bias(joined, bias.reshape(gates * size))
    # Slices, whose adjoint joins nothing: jaxlib 0.10.2 once miscompiled that in a loop (float64, three gates).
    return tuple(joined[..., g * size : (g + 1) * size] for g in range(gates))


def recur_gates(h: Array, kernel: Array) -> tuple[Array, ...]:
    """v_g = h U_g in the kernel's dtype, all gates in one product, but where a step's is large.

    Args:
        h: (..., H).
        kernel: (H, G, H).

    Returns:
        G arrays (..., H) in the kernel's dtype, at least float32.
    """
    fan_in, gates, size = kernel.shape
    product = _product_with(h.astype(kernel.dtype))
    if not is_below(math.prod(h.shape[:-1]) * gates * size * kernel.dtype.itemsize, _CACHED_BYTES):
        return tuple(product(kernel[:, g]) for g in range(gates))
    joined = product(kernel.reshape(fan_in, gates * size))
    return _cut(joined, gates)


def add_bias(x: Array, bias: Array) -> Array:
    """X (..., H) + bias (H,) in the dtype of x, the broadcast spelt out."""
    return x + bias.astype(x.dtype).reshape((1,) * (x.ndim - 1) + bias.shape)


def scale(x: Array, weights: Array) -> Array:
    """X (..., H) times weights (H,) in the dtype of x, the broadcast spelt out."""
    return x * weights.astype(x.dtype).reshape((1,) * (x.ndim - 1) + weights.shape)


def _cut(joined: Array, gates: int) -> tuple[Array, ...]:
    """With `lax.split` rather than slices: its transpose is one concatenation, not a sum of padded arrays."""
    return tuple(jax.lax.split(joined, [joined.shape[-1] // gates] * gates, axis=joined.ndim - 1))


def _product_with(x: Array) -> Callable[[Array], Array]:
    """The function from a kernel (D, N) to x kernel (..., N), summed in at least float32."""
    accumulator = jnp.promote_types(x.dtype, jnp.float32)
    # Two axes only: with more, XLA's CPU back end transposes copies of whole arrays for the weight gradients.
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    few = is_below(rows.shape[0], _FEW_ROWS)

    def product(kernel: Array) -> Array:
        # Trick: with the transpose of the kernel, which the compiler takes back here. The adjoint, ct kernelᵀ, is then
        # a plain product with a matrix that a loop over time can have laid out once, before it begins: 1.0 to 1.6
        # times faster on its own, but with one row the training step is three times slower.
        dimensions = (((1,), (0,)), ((), ())) if few else (((1,), (1,)), ((), ()))
        y = jax.lax.dot_general(rows, kernel if few else kernel.T, dimensions, preferred_element_type=accumulator)
        return y.reshape(*x.shape[:-1], kernel.shape[-1])

    return product
