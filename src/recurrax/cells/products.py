"""The matrix products every gated cell is made of: one input against the kernels of all gates."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from recurrax.typing import Array

_CACHED_BYTES = 4 << 20
"""Up to this size the pre-activations of all gates stay in a core's cache, and cutting them out of one array is
free."""


def project_gates(x: Array, kernel: Array, bias: Array) -> tuple[Array, ...]:
    """u_g = x W_g + b_g, one product per gate for a sequence, one for all gates of a step.

    A gate of a sequence is one array from end to end: on CPU, cutting gates out of a time-sized (T, B, G*H) array costs
    more than the product that made it, and so does joining their adjoints.

    Args:
        x: (..., D), floating; with more than two axes it is a sequence's.
        kernel: (D, G, H).
        bias: (G, H).

    Returns:
        G arrays (..., H) in the promoted dtype of x and kernel, at least float32.

    Raises:
        ValueError: the last axis of x is not D.
    """
    if x.ndim == 0 or x.shape[-1] != kernel.shape[0]:
        raise ValueError(f"xs: expected {kernel.shape[0]} features on the last axis, got shape {x.shape}")
    dtype = jnp.promote_types(x.dtype, kernel.dtype)
    fan_in, gates, size = kernel.shape
    product = _product_with(x.astype(dtype))
    kernel = kernel.astype(dtype)
    if x.ndim > 2:
        return tuple(add_bias(product(kernel[:, g]), bias[g]) for g in range(gates))
    # Slices, whose transpose joins no adjoints: jaxlib 0.10.2 once miscompiled that in a loop (float64, three gates).
    joined = add_bias(product(kernel.reshape(fan_in, gates * size)), bias.reshape(gates * size))
    return tuple(joined[..., g * size : (g + 1) * size] for g in range(gates))


def recur_gates(h: Array, kernel: Array) -> tuple[Array, ...]:
    """v_g = h U_g in the kernel's dtype, all gates in one product where that is a step's.

    Args:
        h: (..., H).
        kernel: (H, G, H).

    Returns:
        G arrays (..., H) in the kernel's dtype, at least float32.
    """
    fan_in, gates, size = kernel.shape
    product = _product_with(h.astype(kernel.dtype))
    if math.prod(h.shape[:-1]) * gates * size * kernel.dtype.itemsize > _CACHED_BYTES:
        return tuple(product(kernel[:, g]) for g in range(gates))
    joined = product(kernel.reshape(fan_in, gates * size))
    # lax.split rather than slices: its transpose is one concatenation, not a sum of padded arrays.
    return tuple(jax.lax.split(joined, [size] * gates, axis=joined.ndim - 1))


def add_bias(x: Array, bias: Array) -> Array:
    """X (..., H) + bias (H,) in the dtype of x, the broadcast spelt out."""
    return x + bias.astype(x.dtype).reshape((1,) * (x.ndim - 1) + bias.shape)


def _product_with(x: Array) -> Callable[[Array], Array]:
    """The function from a kernel (D, N) to x kernel (..., N), summed in at least float32."""
    accumulator = jnp.promote_types(x.dtype, jnp.float32)
    # Two axes only: with more, XLA's CPU back end transposes copies of whole arrays for the weight gradients.
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])

    def product(kernel: Array) -> Array:
        y = jax.lax.dot_general(rows, kernel, (((1,), (0,)), ((), ())), preferred_element_type=accumulator)
        return y.reshape(*x.shape[:-1], kernel.shape[-1])

    return product
