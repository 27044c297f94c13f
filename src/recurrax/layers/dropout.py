"""Dropout and zoneout of a layer: the wrapped cell, masked inputs, and keys in the carry. Knows no Flax."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from recurrax import keys
from recurrax.typing import Array, Carry, Cell, Key
from recurrax.wrappers import Dropout, DropoutCarry, Zoneout, ZoneoutCarry
from recurrax.wrappers.sizes import check_rate


class Rates(NamedTuple):
    """Probabilities, each from 0 to below 1: of inputs, of the recurrent products' operands, of units that stay."""

    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    zoneout: float = 0.0

    def check(self) -> None:
        """Raises a ValueError unless each is a probability below 1."""
        for name, rate in self._asdict().items():
            check_rate(rate, name)


def wrapped(cell: Cell, rates: Rates) -> Cell:
    """The cell that a layer scans: `Zoneout(Dropout(cell))`, without the wrappers whose rate is 0."""
    if rates.recurrent_dropout:
        cell = Dropout(cell, rates.recurrent_dropout)
    return Zoneout(cell, rates.zoneout) if rates.zoneout else cell


def carry_of(carry: Carry, rates: Rates, batch_shape: tuple[int, ...]) -> Carry:
    """The carry of a layer around one of its cell, without keys: the wrappers', and outside the key of the inputs."""
    key = keys.absent(batch_shape)
    if rates.recurrent_dropout:
        carry = DropoutCarry(carry, key)
    if rates.zoneout:
        carry = ZoneoutCarry(carry, key)
    return DropoutCarry(carry, key) if rates.dropout else carry


@jax.jit
def keyed(carry: Carry, key: Key | None) -> Carry:
    """The carry with keys from `key` for the rows that have none; with no keys at all if it is None."""
    drawn = carry if key is None else keys.with_key(carry, key)

    def chosen(old: Array, new: Array) -> Array:
        if not keys.is_key(old):
            return old
        return keys.absent(old.shape) if key is None else jnp.where(keys.is_given(old), old, new)

    return jax.tree.map(chosen, carry, drawn)


def masked(inputs: Any, key: Key, rate: float, time_axis: int) -> Any:
    """Floating inputs as m * x_t / (1 - rate), with one mask m for all steps of a row; rows without a key as they are.

    Raises:
        ValueError: there is no floating array among the inputs.
    """
    leaves, tree = jax.tree.flatten(inputs)
    if not any(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves):
        kinds = ", ".join(str(leaf.dtype) for leaf in leaves)
        raise ValueError(f"dropout: expected floating inputs, which it masks, got {kinds}")

    def masked_leaf(leaf: Array, number: int) -> Array:
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return leaf
        leaf = jnp.asarray(leaf)  # NumPy's float64 becomes float32 here without a warning
        step = jax.eval_shape(lambda leaf: jnp.take(leaf, 0, time_axis), leaf)  # (*batch, D)
        given = keys.is_given(key).reshape(key.shape + (1,) * (step.ndim - key.ndim))
        gain = jnp.where(given, keys.bernoulli(key, 1 - rate, step, number) / (1 - rate), 1.0).astype(leaf.dtype)
        gain = jnp.expand_dims(gain, time_axis)
        return jnp.where(gain == 0, 0, leaf * gain)  # an inf that is dropped is 0 and no NaN

    return tree.unflatten([masked_leaf(leaf, number) for number, leaf in enumerate(leaves)])
