"""Variational dropout: one mask for a whole sequence on what the recurrent products read."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from recurrax import keys
from recurrax.typing import Array, Carry, Cell, DTypeLike, Key, Params, Shape
from recurrax.wrappers.sizes import check_cell_field, check_rate

__all__ = ["Dropout", "DropoutCarry"]


class DropoutCarry(NamedTuple):
    """The cell's own carry; key (*batch,), the same at every step."""

    cell: Carry
    key: Key


@dataclass(frozen=True)
class Dropout(Cell[Params, DropoutCarry]):
    """A cell whose recurrent products read m * s_tm1 / (1 - rate), with one mask m per sequence, row and unit.

    v_t = recur(θ, m * s_tm1 / (1 - rate), u_t),  s_t = pointwise(θ, s_tm1, u_t, v_t),  m = 1 with probability 1 - rate

    `pointwise` reads the whole state, so that a memory is never dropped. A row without a key in its carry has
    m = 1 - rate everywhere, the cell as it is; `recurrax.with_key(carry, key)` gives each row a key of its own.

    The key and not the mask is in the carry: it has no gradient, so that instruments measure the cell's own state, one
    function gives a key to whatever cells are nested, and a reset leaves keys alone. The mask is drawn from it anew at
    each step, the same every time.

    Fields: `cell`, one that reads its state in `recur`, and no stack: wrap the layers; `rate`, from 0 to below 1.

    Differs from: Gal & Ghahramani drop inputs with a mask per sequence too; here the inputs are the caller's. Semeniuta
    et al. drop the candidate, and most libraries draw another mask at each step where they drop the state.
    Gradient: in a row, columns of ∂v_t/∂s_tm1 are 0 or 1/(1 - rate) times the cell's, the same at every lag.

    References: Gal & Ghahramani (2016), eq. 7.

    >>> import recurrax
    >>> cell = Dropout(recurrax.Elman(3), rate=0.5)
    >>> params, xs = cell.init(jax.random.key(0), input_size=2), jnp.ones((4, 2))
    >>> plain = recurrax.scan(recurrax.Elman(3), params, xs).outputs
    >>> bool(jnp.all(recurrax.scan(cell, params, xs).outputs == plain))
    True
    """

    cell: Cell
    rate: float

    def __post_init__(self):
        check_cell_field(self.cell)
        check_rate(self.rate)
        if hasattr(self.cell, "layers"):
            raise ValueError(f"cell: expected one layer, to be stacked afterwards, got {self.cell!r:.200}")

    def init(self, key: Key, input_size: int, dtype: DTypeLike = jnp.float32) -> Params:
        params = self.cell.init(key, input_size, dtype)
        if not _recur_reads_the_carry(self.cell, params, input_size, dtype):
            raise ValueError(f"cell: expected one whose recur reads the state, got {self.cell!r:.200}")
        return params

    def initial_carry(self, params: Params, batch_shape: Shape, dtype: DTypeLike) -> DropoutCarry:
        return DropoutCarry(self.cell.initial_carry(params, batch_shape, dtype), keys.absent(batch_shape))

    def project(self, params: Params, x: Array) -> Any:
        return self.cell.project(params, x)

    def recur(self, params: Params, carry: DropoutCarry, u: Any) -> Any:
        """The cell's products with the masked state."""
        leaves, tree = jax.tree.flatten(carry.cell)
        masked = [self._masked(carry.key, leaf, number) for number, leaf in enumerate(leaves)]
        return self.cell.recur(params, tree.unflatten(masked), u)

    def _masked(self, key: Key, leaf: Array, number: int) -> Array:
        if not jnp.issubdtype(leaf.dtype, jnp.inexact):
            return leaf
        given = keys.is_given(key).reshape(key.shape + (1,) * (leaf.ndim - key.ndim))
        kept = keys.bernoulli(key, 1 - self.rate, leaf, number)
        return leaf * jnp.where(given, kept / (1 - self.rate), 1.0).astype(leaf.dtype)

    def pointwise(self, params: Params, carry: DropoutCarry, u: Any, v: Any) -> DropoutCarry:
        return DropoutCarry(self.cell.pointwise(params, carry.cell, u, v), carry.key)

    def output(self, params: Params, carry: DropoutCarry, u: Any) -> Array:
        return self.cell.output(params, carry.cell, u)


def _recur_reads_the_carry(cell: Cell, params: Params, input_size: int, dtype: DTypeLike) -> bool:
    """Whether an operation of `recur` has a leaf of the carry among its operands, from the traced program."""
    carry = jax.eval_shape(lambda params: cell.initial_carry(params, (), dtype), params)
    u = jax.eval_shape(cell.project, params, jax.ShapeDtypeStruct((input_size,), dtype))
    traced = jax.make_jaxpr(lambda carry, params, u: cell.recur(params, carry, u))(carry, params, u).jaxpr
    read = {id(operand) for equation in traced.eqns for operand in equation.invars}
    read |= {id(result) for result in traced.outvars}
    return any(id(leaf) in read for leaf in traced.invars[: len(jax.tree.leaves(carry))])
