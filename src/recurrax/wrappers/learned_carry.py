"""A first carry that is trained, around a cell."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from recurrax.typing import Array, Carry, Cell, DTypeLike, Key, Shape
from recurrax.wrappers.sizes import check_cell_field

__all__ = ["LearnedCarry", "LearnedCarryParams"]


class LearnedCarryParams(NamedTuple):
    """The cell's own parameters, and the real floating leaves of one row's first carry, in a list."""

    cell: Any
    start: list[Array]


@dataclass(frozen=True)
class LearnedCarry(Cell[LearnedCarryParams, Carry]):
    """A cell whose carry before the first step, s_0, is a parameter, the same for every row of the batch.

    It starts as the cell's own. A row that is reset starts from it again, and a row of length 0 ends with it, so that
    its gradient is the sum of those of all starts. Leaves that are not real and floating stay the cell's.

    Fields: `cell`.

    Differs from: Flax's `carry_init` draws a carry that no optimiser sees; Haiku's `add_batch` of a parameter is this.
    Gradient: that of the cell; s_0 sees the adjoint of step 0, so a cell that forgets does not train it by late losses.

    >>> import recurrax
    >>> cell = LearnedCarry(recurrax.GRU(3))
    >>> params = cell.init(jax.random.key(0), input_size=2)
    >>> params = params._replace(start=[jnp.ones(3)])
    >>> recurrax.scan(cell, params, jnp.ones((5, 1, 2)), lengths=jnp.array([0])).carry.h.tolist()
    [[1.0, 1.0, 1.0]]
    """

    cell: Cell

    def __post_init__(self):
        check_cell_field(self.cell)

    def init(self, key: Key, input_size: int, dtype: DTypeLike = jnp.float32) -> LearnedCarryParams:
        params = self.cell.init(key, input_size, dtype)
        row = self.cell.initial_carry(params, (), dtype)
        return LearnedCarryParams(params, [leaf.astype(dtype) for leaf in jax.tree.leaves(row) if _is_learned(leaf)])

    def initial_carry(self, params: LearnedCarryParams, batch_shape: Shape, dtype: DTypeLike) -> Carry:
        leaves, tree = jax.tree.flatten(self.cell.initial_carry(params.cell, batch_shape, dtype))
        start = iter(params.start)
        return tree.unflatten([_rows(next(start), leaf) if _is_learned(leaf) else leaf for leaf in leaves])

    def project(self, params: LearnedCarryParams, x: Array) -> Any:
        return self.cell.project(params.cell, x)

    def recur(self, params: LearnedCarryParams, carry: Carry, u: Any) -> Any:
        return self.cell.recur(params.cell, carry, u)

    def pointwise(self, params: LearnedCarryParams, carry: Carry, u: Any, v: Any) -> Carry:
        return self.cell.pointwise(params.cell, carry, u, v)

    def output(self, params: LearnedCarryParams, carry: Carry, u: Any) -> Array:
        return self.cell.output(params.cell, carry, u)


def _is_learned(leaf: Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.floating)


def _rows(row: Array, like: Array) -> Array:
    """One row's leaf for all rows, in the shape and dtype of `like`, each an array of its own."""
    return jnp.zeros_like(like) + jnp.broadcast_to(jnp.asarray(row).astype(like.dtype), like.shape)
