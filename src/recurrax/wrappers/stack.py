"""A stack of cells in depth, as one cell with a joint state."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from recurrax.typing import Array, Cell, DTypeLike, Key, Shape
from recurrax.wrappers.sizes import output_size

__all__ = ["Stack"]


@dataclass(frozen=True)
class Stack(Cell[tuple[Any, ...], tuple[Any, ...]]):
    """Cells on top of each other, each reading the output of the one below at the same step.

    s^1_t, y^1_t = step_1(θ^1, s^1_tm1, x_t),  s^l_t, y^l_t = step_l(θ^l, s^l_tm1, y^{l-1}_t),  y_t = y^L_t

    Parameters and carry are tuples (θ^1 .. θ^L) and (s^1 .. s^L), so an instrument measures the joint state of all
    layers. Every input is one floating array (..., D).

    Fields: `cells`, from the bottom up, at least one.

    A scan runs it layer by layer, each over the whole sequence before the one above (`implementation="layered"`), with
    the values, gradients and speed of separate scans; its own step takes all layers through one step of time.

    Differs from: PyTorch's `num_layers` gives the carries as one array with an axis of layers, which cannot hold cells
    of different kinds.
    Gradient: ∂s_t/∂s_tm1 is block triangular. Its blocks on the diagonal are those of the cells alone, so a stack
    decays with lag as its slowest layer; the blocks below add terms that are polynomial in the lag.

    References: Schmidhuber (1992); Graves, Mohamed & Hinton (2013).

    >>> import recurrax
    >>> stack = Stack([recurrax.Elman(4), recurrax.GRU(3)])
    >>> params = stack.init(jax.random.key(0), input_size=2)
    >>> result = recurrax.scan(stack, params, jnp.ones((5, 2)))
    >>> result.outputs.shape, result.carry[0].h.shape, result.carry[1].h.shape
    ((5, 3), (4,), (3,))
    """

    cells: Sequence[Cell]

    def __post_init__(self):
        if not isinstance(self.cells, Sequence) or not self.cells:
            raise ValueError(f"cells: expected a sequence of at least one cell, got {self.cells!r:.200}")
        for cell in self.cells:
            if isinstance(cell, type) or not isinstance(cell, Cell):
                raise ValueError(f"cells: expected instances of cells, got {cell!r:.200}")
        object.__setattr__(self, "cells", tuple(self.cells))  # a list has no hash

    @property
    def layers(self) -> tuple[Cell, ...]:
        """The cells from the bottom up, as the contract of a cell names them."""
        return tuple(self.cells)

    def init(self, key: Key, input_size: int, dtype: DTypeLike = jnp.float32) -> tuple[Any, ...]:
        params = []
        for cell, of_layer in zip(self.cells, jax.random.split(key, len(self.cells)), strict=True):
            params.append(cell.init(of_layer, input_size, dtype))
            if len(params) < len(self.cells):
                input_size = output_size(cell, params[-1], input_size, dtype)
        return tuple(params)

    def initial_carry(self, params: tuple[Any, ...], batch_shape: Shape, dtype: DTypeLike) -> tuple[Any, ...]:
        pairs = zip(self.cells, params, strict=True)
        return tuple(cell.initial_carry(of_layer, batch_shape, dtype) for cell, of_layer in pairs)

    def project(self, params: tuple[Any, ...], x: Array) -> Any:
        """The projection of the first layer; those above wait for the layer below."""
        return self.cells[0].project(params[0], x)

    def recur(self, params: tuple[Any, ...], carry: tuple[Any, ...], u: Any) -> Any:
        """The products of the first layer; `pointwise` makes those of the layers above."""
        return self.cells[0].recur(params[0], carry[0], u)

    def pointwise(self, params: tuple[Any, ...], carry: tuple[Any, ...], u: Any, v: Any) -> tuple[Any, ...]:
        stepped = [self.cells[0].pointwise(params[0], carry[0], u, v)]
        for layer in range(1, len(self.cells)):
            cell, of_layer, entering = self.cells[layer], params[layer], carry[layer]
            y = self.cells[layer - 1].output(params[layer - 1], stepped[-1], u)
            u = cell.project(of_layer, y)
            stepped.append(cell.pointwise(of_layer, entering, u, cell.recur(of_layer, entering, u)))
        return tuple(stepped)

    def output(self, params: tuple[Any, ...], carry: tuple[Any, ...], u: Any) -> Array:
        """The output of the last layer.

        Its projection is made again from the carries after the step, and where no layer's output reads u nothing of
        that is computed.
        """
        for layer in range(1, len(self.cells)):
            u = self.cells[layer].project(
                params[layer], self.cells[layer - 1].output(params[layer - 1], carry[layer - 1], u)
            )
        return self.cells[-1].output(params[-1], carry[-1], u)
