"""What a wrapper asks of the cell in it: how many features it gives."""

import jax
import jax.numpy as jnp

from recurrax.typing import Cell, DTypeLike, Params

__all__ = ["output_size"]


def output_size(cell: Cell, params: Params, input_size: int, dtype: DTypeLike) -> int:
    """Features of y_t, from shapes alone, for inputs with `input_size` floating features.

    >>> import recurrax
    >>> cell = recurrax.LSTM(8, projection_size=3)
    >>> output_size(cell, cell.init(jax.random.key(0), 2), 2, jnp.float32)
    3
    """

    def step(params: Params) -> jax.Array:
        return cell.step(params, cell.initial_carry(params, (), dtype), jnp.zeros(input_size, dtype))[1]

    return jax.eval_shape(step, params).shape[-1]
