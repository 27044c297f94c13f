"""What is differentiated: a loss as the gradient it sends into the outputs."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from recurrax.kernels import scan
from recurrax.typing import Array, Carry, Cell, Params

Loss = Callable[[Array], Array]
"""A function of the outputs (T, *batch, H) to a scalar."""


def output_cotangent(
    cell: Cell,
    params: Params,
    xs: Array,
    carry: Carry,
    lengths: Array | None,
    cotangent: Array | None,
    loss: Loss | None,
) -> Array:
    """∂L/∂y: (*batch, H) where the loss reads the last output alone, (T, *batch, H) where it may read any.

    Args:
        cell: any cell of the contract.
        params: its parameters.
        xs: (T, *batch, D) inputs.
        carry: the carry before the first step.
        lengths: (*batch,) ints or None.
        cotangent: L = ⟨cotangent, y⟩ of either shape; ones (*batch, H) if this and `loss` are None.
        loss: L as a function of the outputs, instead of a cotangent.

    Raises:
        ValueError: both are given, or the cotangent has neither shape or no floating dtype.
    """
    _, like = jax.eval_shape(cell.step, params, carry, jax.ShapeDtypeStruct(xs.shape[1:], xs.dtype))
    if loss is not None:
        if cotangent is not None:
            raise ValueError("loss: expected either a loss or a cotangent, got both")
        outputs = scan(cell, params, xs, carry, lengths=lengths).outputs
        return jax.grad(loss)(outputs).astype(like.dtype)
    if cotangent is None:
        return jnp.asarray(np.ones(like.shape, like.dtype))
    shapes = like.shape, (xs.shape[0], *like.shape)
    if jnp.shape(cotangent) not in shapes or not jnp.issubdtype(jnp.result_type(cotangent), jnp.floating):
        raise ValueError(
            f"cotangent: expected floating (*batch, H) = {shapes[0]} or (T, *batch, H) = {shapes[1]}, "
            f"got {jnp.result_type(cotangent)} {jnp.shape(cotangent)}"
        )
    return jnp.asarray(cotangent, like.dtype)
