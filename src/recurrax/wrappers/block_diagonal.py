"""Heads: copies of a cell side by side that read the same input and never each other."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from recurrax.typing import Array, Cell, DTypeLike, Key, Shape
from recurrax.wrappers.sizes import check_cell_field, optional_method

__all__ = ["BlockDiagonal"]


@dataclass(frozen=True)
class BlockDiagonal(Cell[tuple[Any, ...], tuple[Any, ...]]):
    """Copies of a cell, each with parameters and a state of its own; every one reads the whole input.

    s^n_t, y^n_t = cell(θ^n, s^n_tm1, x_t) for n = 1 .. heads,  y_t = (y^1_t, .., y^heads_t) on the last axis

    The recurrent kernel of the whole is block diagonal: `BlockDiagonal(Elman(16), 4)` has 64 units and a quarter of
    the recurrent parameters of `Elman(64)`. Parameters and carry are tuples with an entry per head.

    Fields: `cell`, that of one head; `heads`.

    Differs from: xLSTM's heads read slices of a projection of the input, these the whole input. The products of the
    heads are made one by one, so that many small heads are slower than one batched product would be.
    Gradient: ∂s_t/∂s_tm1 is block diagonal, so each head decays with lag as the cell alone.

    References: Beck et al. (2024), section 2.2, for a memory that is mixed within heads only.

    >>> import recurrax
    >>> cell = BlockDiagonal(recurrax.Elman(2), heads=3)
    >>> recurrax.scan(cell, cell.init(jax.random.key(0), input_size=4), jnp.ones((5, 4))).outputs.shape
    (5, 6)
    """

    cell: Cell
    heads: int

    def __post_init__(self):
        check_cell_field(self.cell)
        if not isinstance(self.heads, int) or isinstance(self.heads, bool) or self.heads < 1:
            raise ValueError(f"heads: expected a positive int, got {self.heads!r}")

    def init(self, key: Key, input_size: int, dtype: DTypeLike = jnp.float32) -> tuple[Any, ...]:
        return tuple(self.cell.init(of_head, input_size, dtype) for of_head in jax.random.split(key, self.heads))

    def initial_carry(self, params: tuple[Any, ...], batch_shape: Shape, dtype: DTypeLike) -> tuple[Any, ...]:
        return tuple(self.cell.initial_carry(of_head, batch_shape, dtype) for of_head in params)

    def project(self, params: tuple[Any, ...], x: Array) -> tuple[Any, ...]:
        return tuple(self.cell.project(of_head, x) for of_head in params)

    def recur(self, params: tuple[Any, ...], carry: tuple[Any, ...], u: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(map(self.cell.recur, params, carry, u))

    def pointwise(
        self, params: tuple[Any, ...], carry: tuple[Any, ...], u: tuple[Any, ...], v: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        return tuple(map(self.cell.pointwise, params, carry, u, v))

    def output(self, params: tuple[Any, ...], carry: tuple[Any, ...], u: tuple[Any, ...]) -> Array:
        return jnp.concatenate([*map(self.cell.output, params, carry, u)], axis=-1)

    @property
    def expose(self) -> Callable[..., tuple[Any, ...]]:
        """That of the cell, head by head, where it has one."""
        expose = optional_method(self.cell, "expose")
        return lambda params, carry, v: tuple(map(expose, params, carry, v))

    @property
    def coefficients(self) -> Callable[..., tuple[tuple[Any, ...], tuple[Any, ...]]]:
        """Those of the cell, head by head, where it is linear in its carry."""
        coefficients = optional_method(self.cell, "coefficients")

        def of_heads(params: tuple[Any, ...], u: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
            a, b = zip(*map(coefficients, params, u), strict=True)
            return a, b

        return of_heads
