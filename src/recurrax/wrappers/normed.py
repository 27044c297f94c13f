"""Layer normalisation of a cell's pre-activations."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from recurrax.typing import Array, Carry, Cell, DTypeLike, Key, Shape
from recurrax.wrappers.sizes import check_cell_field, optional_method

__all__ = ["Normed", "NormedParams"]


class NormedParams(NamedTuple):
    """The cell's own parameters; gain γ and shift β, a pair of lists with an array for each normalised leaf."""

    cell: Any
    gain: list[Array]
    shift: list[Array]


@dataclass(frozen=True)
class Normed(Cell[NormedParams, Carry]):
    """A cell whose pre-activations a, one for each gate, are normalised over their units, (a - μ) / sqrt(σ² + ε) γ + β.

    The pre-activations are the leaves of what the cell's `recur` gives, floating and with at least two units on the
    last axis; others stay. γ starts at 1 and β at what a zero input and the initial carry give, so that biases drawn by
    the cell, a forget bias among them, are there at the start although μ takes the mean of them away.

    Fields: `cell`; `epsilon` ε.

    Differs from: Ba et al. normalise the products with x and with h separately, and c_t too; here their sum is
    normalised once per gate, where the cell adds them in `recur`, and else the product with the state alone: in `GRU`
    that is so for n with `reset_after`. The carry is the cell's own.
    Gradient: the Jacobian of each product is divided by its own σ, so a recurrent kernel's scale drops out of it. Where
    a is all but constant, as of a zero state, it is multiplied by up to 1/sqrt(ε).

    References: Ba, Kiros & Hinton (2016).

    >>> import recurrax
    >>> params = Normed(recurrax.LSTM(3, forget_bias=1.0)).init(jax.random.key(0), input_size=2)
    >>> len(params.gain), params.shift[1].tolist()
    (4, [1.0, 1.0, 1.0])
    """

    cell: Cell
    epsilon: float = 1e-3

    def __post_init__(self):
        check_cell_field(self.cell)
        if not isinstance(self.epsilon, int | float) or not self.epsilon > 0:
            raise ValueError(f"epsilon: expected a float above 0, got {self.epsilon!r}")

    def init(self, key: Key, input_size: int, dtype: DTypeLike = jnp.float32) -> NormedParams:
        params = self.cell.init(key, input_size, dtype)
        u = self.cell.project(params, jnp.zeros(input_size, dtype))
        v = self.cell.recur(params, self.cell.initial_carry(params, (), dtype), u)
        shift = [leaf.astype(dtype) for leaf in jax.tree.leaves(v) if _is_normalised(leaf)]
        if not shift:
            raise ValueError(f"cell: expected one whose recur gives a pre-activation, got {self.cell!r:.200}")
        return NormedParams(params, gain=[jnp.ones_like(leaf) for leaf in shift], shift=shift)

    def initial_carry(self, params: NormedParams, batch_shape: Shape, dtype: DTypeLike) -> Carry:
        return self.cell.initial_carry(params.cell, batch_shape, dtype)

    def project(self, params: NormedParams, x: Array) -> Any:
        return self.cell.project(params.cell, x)

    def recur(self, params: NormedParams, carry: Carry, u: Any) -> Any:
        """The cell's pre-activations, normalised."""
        leaves, tree = jax.tree.flatten(self.cell.recur(params.cell, carry, u))
        weights = iter(zip(params.gain, params.shift, strict=True))
        lead = _leading_axes(self.cell, params.cell, carry)
        return tree.unflatten(
            [self._norm(leaf, *next(weights)) if _is_normalised(leaf, lead) else leaf for leaf in leaves]
        )

    def _norm(self, a: Array, gain: Array, shift: Array) -> Array:
        centred = a - jnp.mean(a, axis=-1, keepdims=True)
        scaled = centred * jax.lax.rsqrt(jnp.mean(jnp.square(centred), axis=-1, keepdims=True) + self.epsilon)
        lead = (1,) * (a.ndim - gain.ndim)
        return scaled * gain.astype(a.dtype).reshape(lead + gain.shape) + shift.astype(a.dtype).reshape(
            lead + shift.shape
        )

    def pointwise(self, params: NormedParams, carry: Carry, u: Any, v: Any) -> Carry:
        return self.cell.pointwise(params.cell, carry, u, v)

    def output(self, params: NormedParams, carry: Carry, u: Any) -> Array:
        return self.cell.output(params.cell, carry, u)

    @property
    def expose(self) -> Callable[..., Carry]:
        """That of the cell, where it has one."""
        expose = optional_method(self.cell, "expose")
        return lambda params, carry, v: expose(params.cell, carry, v)


def _is_normalised(leaf: Array, lead: int = 0) -> bool:
    """Whether a leaf with `lead` axes before those of its units holds units to normalise over."""
    return jnp.issubdtype(leaf.dtype, jnp.floating) and leaf.ndim > lead and leaf.shape[-1] > 1


def _leading_axes(cell: Cell, params: Any, carry: Carry) -> int:
    """The axes (*batch) of a carry, by its first leaf."""
    like = jax.eval_shape(lambda params: cell.initial_carry(params, (), jnp.float32), params)
    return jax.tree.leaves(carry)[0].ndim - jax.tree.leaves(like)[0].ndim
