"""Wrappers of cells and of a task as users write them in a file of their own, for `tests/wrapping.py:Held:cell=...`."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from recurrax import Cell


@dataclass(frozen=True)
class Held(Cell):
    """A cell whose carry moves only a part of the way: s_t = rate s_tm1 + (1 - rate) cell(s_tm1, x_t)."""

    cell: Cell
    rate: float = 0.5

    def init(self, key, input_size, dtype=jnp.float32):
        return self.cell.init(key, input_size, dtype)

    def initial_carry(self, params, batch_shape, dtype):
        return self.cell.initial_carry(params, batch_shape, dtype)

    def project(self, params, x):
        return self.cell.project(params, x)

    def recur(self, params, carry, u):
        return self.cell.recur(params, carry, u)

    def pointwise(self, params, carry, u, v):
        moved = self.cell.pointwise(params, carry, u, v)
        return jax.tree.map(lambda old, new: self.rate * old + (1 - self.rate) * new, carry, moved)

    def output(self, params, carry, u):
        return self.cell.output(params, carry, u)


@dataclass(frozen=True)
class Deep(Cell):
    """Cells on top of each other: each reads the output of the one below."""

    cells: tuple[Cell, ...]
    name: str = ""
    sizes: tuple[int, ...] = ()
    above: Any = None

    def init(self, key, input_size, dtype=jnp.float32):
        keys = jax.random.split(key, len(self.cells))
        sizes = [input_size, *(cell.hidden_size for cell in self.cells)]
        return tuple(cell.init(*of, dtype) for cell, *of in zip(self.cells, keys, sizes[:-1], strict=True))

    def initial_carry(self, params, batch_shape, dtype):
        return tuple(cell.initial_carry(of, batch_shape, dtype) for cell, of in zip(self.cells, params, strict=True))

    def project(self, params, x):
        return x

    def recur(self, params, carry, u):
        return u

    def pointwise(self, params, carry, u, v):
        after, y = [], v
        for cell, *of in zip(self.cells, params, carry, strict=True):
            carry, y = cell.step(*of, y)
            after.append(carry)
        return tuple(after)

    def output(self, params, carry, u):
        return carry[-1].h
