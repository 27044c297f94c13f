"""DropConnect on recurrent kernels: weights that are zero for a whole sequence."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import Jaxpr, Literal

from recurrax import keys
from recurrax.typing import Array, Carry, Cell, DTypeLike, Key, Params, Shape
from recurrax.wrappers.sizes import check_cell_field, check_rate

__all__ = ["WeightDrop", "WeightDropCarry"]

_STATE = -1
"""What stands for the carry among the numbers of the leaves of the parameters."""


class WeightDropCarry(NamedTuple):
    """The cell's own carry; key (*batch,), the same at every step."""

    cell: Carry
    key: Key


@dataclass(frozen=True)
class WeightDrop(Cell[Params, WeightDropCarry]):
    """A cell whose recurrent kernels U are m * U / (1 - rate), with one mask m per sequence, row and weight.

    v_t = recur(θ', s_tm1, u_t),  θ' = θ with m * U / (1 - rate) for U,  m = 1 with probability 1 - rate

    The kernels are the floating or complex leaves of θ that `recur` multiplies the state by in a matrix product; all
    else stays. A row without a key in its carry has m = 1 - rate everywhere, the cell as it is;
    `recurrax.with_key(carry, key)` gives each row a key of its own, and a reset leaves it alone. Parameters are the
    cell's own. The fused scan makes the masks once, before its loop.

    A mask for each row is a kernel for each row: a product with B rows then reads B kernels. `dropped` makes one mask
    for all rows, with which the cell alone runs at its own speed.

    Fields: `cell`, one whose `recur` has a matrix product with the state, and no stack: wrap the layers; `rate`, from 0
    to below 1.

    Differs from: Merity et al. draw one mask for a whole minibatch, as `dropped` does; here no row sees another.
    `Dropout` drops units of the state, that is whole rows of U.
    Gradient: in a row, entries of ∂v_t/∂s_tm1 lack the terms of weights that are dropped, the same at every lag.

    References: Merity, Keskar & Socher (2018), section 2; Wan et al. (2013).

    >>> import recurrax
    >>> cell = WeightDrop(recurrax.LSTM(4), rate=0.5)
    >>> params, xs = cell.init(jax.random.key(0), input_size=3), jnp.ones((5, 2, 3))
    >>> masked = cell.dropped(params, jax.random.key(1), xs[0, 0])
    >>> bool(jnp.any(masked.recurrent_kernel == 0)), bool(jnp.all(masked.kernel == params.kernel))
    (True, True)
    >>> recurrax.scan(cell.cell, masked, xs).outputs.shape
    (5, 2, 4)
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
        if not _kernels(self.cell, params, *self._row(params, jax.ShapeDtypeStruct((input_size,), dtype))):
            raise ValueError(
                f"cell: expected one whose recur has a matrix product with the state, got {self.cell!r:.200}"
            )
        return params

    def dropped(self, params: Params, key: Key, x: Any) -> Params:
        """The parameters under one mask, for rows that share it: `recurrax.scan(cell.cell, dropped, xs)`.

        Args:
            params: from `init`.
            key: a single key; a row that has it in its carry has the same mask.
            x: what one row reads in one step, (D,), of which the shape alone matters.
        """
        return self._masked(params, key, *self._row(params, x))

    def _row(self, params: Params, x: Any) -> tuple[Carry, Any]:
        """Shapes of one row's carry and projection, by which the kernels are found."""
        carry = jax.eval_shape(lambda params: self.cell.initial_carry(params, (), jnp.float32), params)
        return carry, jax.eval_shape(self.cell.project, params, x)

    def initial_carry(self, params: Params, batch_shape: Shape, dtype: DTypeLike) -> WeightDropCarry:
        return WeightDropCarry(self.cell.initial_carry(params, batch_shape, dtype), keys.absent(batch_shape))

    def project(self, params: Params, x: Array) -> Any:
        return self.cell.project(params, x)

    def recur(self, params: Params, carry: WeightDropCarry, u: Any) -> Any:
        """The cell's products, each row's with its own kernels."""

        def of_row(key: Key, carry: Carry, u: Any) -> Any:
            return self.cell.recur(self._masked(params, key, carry, u), carry, u)

        of_rows = of_row
        for _ in range(carry.key.ndim):
            of_rows = jax.vmap(of_rows)
        return of_rows(carry.key, carry.cell, u)

    def _masked(self, params: Params, key: Key, carry: Carry, u: Any) -> Params:
        leaves, tree = jax.tree.flatten(params)
        given = keys.is_given(key)
        for number in _kernels(self.cell, params, carry, u):
            kept = keys.bernoulli(key, 1 - self.rate, leaves[number], number)
            leaves[number] *= jnp.where(given, kept / (1 - self.rate), 1.0).astype(leaves[number].dtype)
        return tree.unflatten(leaves)

    def pointwise(self, params: Params, carry: WeightDropCarry, u: Any, v: Any) -> WeightDropCarry:
        return WeightDropCarry(self.cell.pointwise(params, carry.cell, u, v), carry.key)

    def output(self, params: Params, carry: WeightDropCarry, u: Any) -> Array:
        return self.cell.output(params, carry.cell, u)


def _kernels(cell: Cell, params: Params, carry: Carry, u: Any) -> list[int]:
    """The numbers of the leaves of the parameters that `recur` multiplies the state by, from the traced program."""
    traced = jax.make_jaxpr(cell.recur)(params, carry, u).jaxpr
    leaves, found = jax.tree.leaves(params), set()
    states = [{_STATE}] * len(jax.tree.leaves(carry))
    sources = [*({number} for number in range(len(leaves))), *states]
    _follow(traced, dict(zip(traced.invars, sources, strict=False)), found)
    return sorted(number for number in found if jnp.issubdtype(leaves[number].dtype, jnp.inexact))


def _follow(jaxpr: Jaxpr, sources: dict[Any, set[int]], found: set[int]) -> None:
    """Adds to `found` what meets the state in a product; `sources` is what each variable is computed from."""
    for eqn in jaxpr.eqns:
        reads = [set() if isinstance(atom, Literal) else sources.get(atom, set()) for atom in eqn.invars]
        if eqn.primitive.name in ("dot_general", "conv_general_dilated"):
            for one, other in (reads, reads[::-1]):
                if _STATE in one and _STATE not in other:
                    found |= other
        for value in eqn.params.values():
            for function in value if isinstance(value, tuple | list) else (value,):
                inner = getattr(function, "jaxpr", function)
                if isinstance(inner, Jaxpr):  # its arguments are the last of the equation's
                    given = reads[max(0, len(reads) - len(inner.invars)) :]
                    _follow(inner, dict(zip(inner.invars, given, strict=False)), found)
        sources |= dict.fromkeys(eqn.outvars, set().union(*reads))
