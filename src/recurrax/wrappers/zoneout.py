"""Zoneout: units that stay as they were, drawn anew at every step."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from recurrax import keys
from recurrax.typing import Array, Carry, Cell, DTypeLike, Key, Params, Shape
from recurrax.wrappers.sizes import check_cell_field, check_rate

__all__ = ["Zoneout", "ZoneoutCarry"]


class ZoneoutCarry(NamedTuple):
    """The cell's own carry; key (*batch,), another after every valid step."""

    cell: Carry
    key: Key


@dataclass(frozen=True)
class Zoneout(Cell[Params, ZoneoutCarry]):
    """A cell of whose state each unit stays as it was with probability `rate`, another draw at every step.

    s_t = d_t * s_tm1 + (1 - d_t) * cell(θ, s_tm1, x_t),  d_t = 1 with probability rate, for every leaf, row and unit

    A row without a key in its carry has d_t = rate, the mean; `recurrax.with_key(carry, key)` gives each row a key of
    its own. A key moves on at every valid step and a reset leaves it alone, so that no two episodes share a draw.

    Fields: `cell`; `rate`, from 0 to below 1, for every floating or complex leaf of its state.

    Differs from: Krueger et al. give h and c of an LSTM a rate each. As there, h_t is formed from c_t before units of c
    stay. Keras and PyTorch have dropout alone.
    Gradient: ∂s_t/∂s_tm1 = d_t + (1 - d_t) ∂cell/∂s_tm1, so that a path through units that stay has gain 1.

    References: Krueger et al. (2017), eqs. 2 to 6.

    >>> import recurrax
    >>> cell = Zoneout(recurrax.Elman(3), rate=0.5)
    >>> params, xs = cell.init(jax.random.key(0), input_size=2), jnp.ones((1, 2))
    >>> plain = recurrax.scan(recurrax.Elman(3), params, xs).outputs
    >>> bool(jnp.all(recurrax.scan(cell, params, xs).carry.cell.h == plain[0] / 2))
    True
    """

    cell: Cell
    rate: float

    def __post_init__(self):
        check_cell_field(self.cell)
        check_rate(self.rate)

    def init(self, key: Key, input_size: int, dtype: DTypeLike = jnp.float32) -> Params:
        return self.cell.init(key, input_size, dtype)

    def initial_carry(self, params: Params, batch_shape: Shape, dtype: DTypeLike) -> ZoneoutCarry:
        return ZoneoutCarry(self.cell.initial_carry(params, batch_shape, dtype), keys.absent(batch_shape))

    def project(self, params: Params, x: Array) -> Any:
        return self.cell.project(params, x)

    def recur(self, params: Params, carry: ZoneoutCarry, u: Any) -> Any:
        return self.cell.recur(params, carry.cell, u)

    def pointwise(self, params: Params, carry: ZoneoutCarry, u: Any, v: Any) -> ZoneoutCarry:
        """The cell's next carry, and of the carry before it the units that stay."""
        following, now = keys.advanced(carry.key)
        old, tree = jax.tree.flatten(carry.cell)
        new = jax.tree.leaves(self.cell.pointwise(params, carry.cell, u, v))
        mixed = [self._mixed(now, carry.key, *pair, number) for number, pair in enumerate(zip(old, new, strict=True))]
        return ZoneoutCarry(tree.unflatten(mixed), following)

    def _mixed(self, now: Key, key: Key, old: Array, new: Array, number: int) -> Array:
        if not jnp.issubdtype(old.dtype, jnp.inexact):
            return new
        given = keys.is_given(key).reshape(key.shape + (1,) * (old.ndim - key.ndim))
        stays = jnp.where(given, keys.bernoulli(now, self.rate, old, number), self.rate).astype(old.dtype)
        return stays * old + (1 - stays) * new

    def output(self, params: Params, carry: ZoneoutCarry, u: Any) -> Array:
        return self.cell.output(params, carry.cell, u)
