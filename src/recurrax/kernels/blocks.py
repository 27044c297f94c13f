"""Block-diagonal matrices over time, and the recurrence d_t = J_t d_tm1 + b_t that they define.

A state of N numbers is cut into N/P units of P numbers each, and J_t into its N/P diagonal blocks of P x P: one block
is the whole matrix, P = 1 its diagonal. Two steps of the recurrence are one of the same kind, (J_2 J_1, J_2 b_1 + b_2),
so all T states follow in log T rounds (Blelloch 1990).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from recurrax.typing import Array

_FEW = 4
"""Blocks up to this size are multiplied by sums, which XLA fuses; a product of matrices for each pair is not."""


def to_blocks(columns: Array, size: int) -> Array:
    """(..., N) to (..., N/P, P): a unit has one number of each of P equal parts of the columns."""
    units = columns.shape[-1] // size
    return jnp.swapaxes(columns.reshape(*columns.shape[:-1], size, units), -1, -2)


def from_blocks(blocks: Array) -> Array:
    """The inverse, (..., N/P, P) to (..., N)."""
    return jnp.swapaxes(blocks, -1, -2).reshape(*blocks.shape[:-2], blocks.shape[-1] * blocks.shape[-2])


def of_map(push: Callable[[Array], Array], like: Array, size: int) -> Array:
    """The diagonal blocks (..., N/P, P, P) of a linear map of columns (..., N) that never mixes rows.

    N pushes of a column of the identity in every row at once; no more than P results of them are held at a time.
    """
    count = like.shape[-1]
    units = count // size

    def of_unit(unit: Array) -> Array:
        def column(part: Array) -> Array:
            one = (jnp.arange(count) == part * units + unit).astype(like.dtype)
            pushed = push(jnp.broadcast_to(one.reshape((1,) * (like.ndim - 1) + (count,)), like.shape))
            return jax.lax.dynamic_index_in_dim(to_blocks(pushed, size), unit, axis=like.ndim - 1, keepdims=False)

        return jax.vmap(column)(jnp.arange(size))  # (P, ..., P), the column first

    found = jax.lax.map(of_unit, jnp.arange(units))  # (N/P, P, ..., P)
    return jnp.moveaxis(found, (0, 1), (-3, -1))


def transposed(jacobians: Array) -> Array:
    """J_{t+1}ᵀ at t, zeros at the last step: what the adjoint recurrence has in the place of J_t."""
    later = jnp.concatenate([jacobians[1:], jnp.zeros_like(jacobians[:1])])
    return jnp.swapaxes(later, -1, -2)


def solve(jacobians: Array, b: Array, *, reverse: bool = False) -> Array:
    """d_t = J_t d_tm1 + b_t from d = 0 on, all steps in parallel.

    Args:
        jacobians: (T, ..., N/P, P, P).
        b: (T, ..., N).
        reverse: from the last step to the first, d_t = J_t d_{t+1} + b_t.

    Returns:
        d (T, ..., N).
    """

    def combine(earlier: tuple[Array, Array], later: tuple[Array, Array]) -> tuple[Array, Array]:
        return _product(later[0], earlier[0]), _product(later[0], earlier[1]) + later[1]

    blocks = to_blocks(b, jacobians.shape[-1])[..., None]  # (T, ..., N/P, P, 1)
    return from_blocks(jax.lax.associative_scan(combine, (jacobians, blocks), reverse=reverse)[1][..., 0])


def _product(a: Array, b: Array) -> Array:
    if a.shape[-1] <= _FEW:
        return jnp.sum(a[..., :, :, None] * b[..., None, :, :], axis=-2)
    # TF32 would lose the digits that the iteration is to gain.
    return jnp.matmul(a, b, precision="highest")
