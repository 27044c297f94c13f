"""Batches that the host makes: NumPy arrays as a function of (seed, step), stacked for a chunk of steps at a time."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend.core import Literal, Var

from recurrax.train.keys import batch_key
from recurrax.typing import Key


class HostBatches(NamedTuple):
    """The batches of a chunk: of_row (S,), the place of each row's seed; arrays, every leaf (seeds, chunk, ...).

    Cut into parts along S and seeds, each part has the seeds of its own rows, and places among these.
    """

    of_row: np.ndarray
    arrays: Any


def stack_chunk(
    batches: Callable[[int, int], Any],
    seeds: np.ndarray,
    live: np.ndarray,
    first: int,
    steps: int,
    chunk: int,
    parts: int = 1,
) -> HostBatches:
    """The batches of `steps` steps, at least one, from step `first` on, repeated at the end to fill a chunk.

    Args:
        batches: (seed, step) to a pytree of arrays.
        seeds: (S,) of the rows; rows that share a seed share its batches.
        live: (S,) bools; for the seeds of no live row, another seed's batches stand in.
        first: step.
        steps: how many are wanted.
        chunk: how many the program takes.
        parts: how many the rows are split into; it divides S.

    Raises:
        ValueError: the batches are not all alike.
    """
    of_parts = [np.unique(part, return_inverse=True) for part in np.split(seeds, parts)]
    most = max(len(distinct) for distinct, _ in of_parts)
    # All parts have the same shape: those with fewer seeds repeat their last.
    held = [seed for distinct, _ in of_parts for seed in np.pad(distinct, (0, most - len(distinct)), "edge")]
    needed = [seed for seed in np.unique(seeds) if live[seeds == seed].any()] or [seeds[0]]
    stacked: dict[int, Any] = {}
    for seed in needed:
        made = [batches(int(seed), first + number) for number in range(steps)]
        stacked[int(seed)] = _stack(made + made[-1:] * (chunk - steps))
    arrays = _stack([stacked.get(int(seed), stacked[int(needed[0])]) for seed in held])
    return HostBatches(np.concatenate([of_row for _, of_row in of_parts]).astype(np.int32), arrays)


def uses_its_key(batch: Callable[[Key], Any]) -> bool:
    """Whether anything in a batch depends on its key.

    >>> uses_its_key(lambda key: jax.random.normal(key, (2,))), uses_its_key(lambda key: np.ones(2))
    (True, False)
    """
    # In a function made anew, since JAX keeps what it traces by the function it is given.
    closed = jax.make_jaxpr(lambda key: batch(key))(batch_key(0, 0))
    needed = {variable for variable in closed.jaxpr.outvars if isinstance(variable, Var)}
    for equation in reversed(closed.jaxpr.eqns):
        if needed.intersection(equation.outvars):
            needed.update(variable for variable in equation.invars if not isinstance(variable, Literal))
    return closed.jaxpr.invars[0] in needed


def _stack(parts: list[Any]) -> Any:
    def described(part: Any) -> Any:
        return jax.tree.map(lambda leaf: (np.shape(leaf), str(np.asarray(leaf).dtype)), part)

    for part in parts[1:]:
        if part is not parts[0] and described(part) != described(parts[0]):
            raise ValueError(
                f"batches: expected the same shapes at every seed and step, got {described(parts[0])} "
                f"and {described(part)}"
            )
    return jax.tree.map(lambda *leaves: np.stack(leaves), *parts)
