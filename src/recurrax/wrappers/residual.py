"""A connection around a cell: what it reads is added to what it gives."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from recurrax.typing import Array, Carry, Cell, DTypeLike, Key, Shape
from recurrax.wrappers.sizes import check_cell_field, optional_method, output_size

__all__ = ["Residual", "ResidualParams"]


class ResidualParams(NamedTuple):
    """The cell's own parameters, and projection R (D, H), None where H is D."""

    cell: Any
    projection: Array | None


@dataclass(frozen=True)
class Residual(Cell[ResidualParams, Carry]):
    """y_t = cell(s_t) + x_t, or cell(s_t) + x_t R where the cell gives another number of features than it reads.

    The carry is the cell's own. The input is one floating array (..., D); R has no bias and is drawn from a truncated
    N(0, 1/D).

    Fields: `cell`.

    Differs from: highway and residual LSTMs that add inside of the cell, before its gates; here the recurrence does
    not change. `Stack` of two residual cells adds the input of the first to the output of the second.
    Gradient: that of the cell with lag, unchanged; with depth a path of gain 1 beside it.

    References: He, Zhang, Ren & Sun (2016), eqs. 1 and 2; Wu et al. (2016) for recurrent layers.

    >>> import recurrax
    >>> cell = Residual(recurrax.Elman(4))
    >>> params = cell.init(jax.random.key(0), input_size=2)
    >>> params.projection.shape, cell.init(jax.random.key(0), input_size=4).projection
    ((2, 4), None)
    """

    cell: Cell

    def __post_init__(self):
        check_cell_field(self.cell)

    def init(self, key: Key, input_size: int, dtype: DTypeLike = jnp.float32) -> ResidualParams:
        cell_key, key = jax.random.split(key)
        params = self.cell.init(cell_key, input_size, dtype)
        size = output_size(self.cell, params, input_size, dtype)
        if size == input_size:
            return ResidualParams(params, projection=None)
        return ResidualParams(params, jax.nn.initializers.lecun_normal()(key, (input_size, size), dtype))

    def initial_carry(self, params: ResidualParams, batch_shape: Shape, dtype: DTypeLike) -> Carry:
        return self.cell.initial_carry(params.cell, batch_shape, dtype)

    def project(self, params: ResidualParams, x: Array) -> tuple[Any, Array]:
        """The cell's projection, and what is added to its output (..., H)."""
        return self.cell.project(params.cell, x), x if params.projection is None else x @ params.projection

    def recur(self, params: ResidualParams, carry: Carry, u: tuple[Any, Array]) -> Any:
        return self.cell.recur(params.cell, carry, u[0])

    def pointwise(self, params: ResidualParams, carry: Carry, u: tuple[Any, Array], v: Any) -> Carry:
        return self.cell.pointwise(params.cell, carry, u[0], v)

    def output(self, params: ResidualParams, carry: Carry, u: tuple[Any, Array]) -> Array:
        y = self.cell.output(params.cell, carry, u[0])
        return y + u[1].astype(y.dtype)

    @property
    def expose(self) -> Callable[..., Carry]:
        """That of the cell, where it has one."""
        expose = optional_method(self.cell, "expose")
        return lambda params, carry, v: expose(params.cell, carry, v)

    @property
    def coefficients(self) -> Callable[..., tuple[Carry, Carry]]:
        """Those of the cell, where it is linear in its carry."""
        coefficients = optional_method(self.cell, "coefficients")
        return lambda params, u: coefficients(params.cell, u[0])
