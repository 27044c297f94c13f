"""What a wrapper asks of the cell in it: that it is one, and how many features it gives."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from recurrax.typing import Cell, DTypeLike, Params

__all__ = ["check_cell_field", "check_rate", "optional_method", "output_size"]


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


def check_cell_field(cell: Any) -> None:
    """Raises a ValueError unless the field `cell` of a wrapper is an instance of a cell."""
    if isinstance(cell, type) or not isinstance(cell, Cell):
        raise ValueError(f"cell: expected an instance of a cell, got {cell!r:.200}")


def check_rate(rate: Any, name: str = "rate") -> None:
    """Raises a ValueError unless what is called `name`, a field of a wrapper, is a probability below 1."""
    if not isinstance(rate, int | float) or isinstance(rate, bool) or not 0 <= rate < 1:
        raise ValueError(f"{name}: expected a float from 0 to below 1, got {rate!r}")


def optional_method(cell: Cell, name: str) -> Callable[..., Any]:
    """A method that a cell may lack; a property of a wrapper that calls this is then missing too, as `hasattr` sees it.

    Raises:
        AttributeError: the cell has no such method.
    """
    return getattr(cell, name)
