"""A loop over time whose results overwrite what was read.

Time-sized arrays cost page faults and cache misses, not arithmetic: a step of training that gives each of its values a
time-sized array of its own spends more time on fresh pages than on products. A projection is read once, just before
the activation that replaces it is written, and an activation once, just before its adjoint is: one buffer will do.

Trick: reading one step ahead of the writing. XLA shares the buffer only if it can see every read happen before the
write, and within one step it cannot, because a read may be fused into several computations: it then copies the whole
buffer at every step, 6.5 times slower at (B, T, D, H) = (32, 128, 64, 128), 40 times at (16, 1024, 32, 64). So the read
of step t+1 is made from the buffer that step t has written, and travels to its step in the loop's state. Reads and
writes then form one chain, and nothing is copied but that one step.

Leaves that a cell cut from one product lie side by side in one buffer, (T, *batch, k*H) for k gates: a step reads and
writes it as a whole, and the products before and after the loop take it whole, uncut.
"""

from collections.abc import Callable
from itertools import groupby
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from recurrax.typing import Array

State = TypeVar("State")
Leaves = list[Array]
Groups = list[Leaves]
"""Leaves of one shape and dtype that lie side by side in one buffer."""


class Results(NamedTuple):
    """The last state; the results in the order the body gives them, each (T, ...); which of them share a buffer."""

    state: Any
    results: Leaves
    together: list[list[int]]


def side_by_side(leaves: Leaves) -> Groups:
    """Neighbours of one shape and dtype, (T, ...) with at least one axis beside time, as groups."""
    alike = groupby(enumerate(leaves), lambda at: (at[1].shape, at[1].dtype, at[0] if at[1].ndim < 2 else None))
    return [[leaf for _, leaf in group] for _, group in alike]


def run(
    body: Callable[[State, Leaves, Any], tuple[State, Leaves]],
    state: State,
    groups: Groups,
    streams: Any,
    *,
    steps: int,
    reverse: bool,
    unroll: int,
) -> Results:
    """Applies `body` step by step, its results overwriting `groups` where shapes and dtypes allow.

    Args:
        body: (state, values of all leaves of `groups` at t, values of `streams` at t) to (state, results at t).
        state: carried from step to step.
        groups: arrays (T, ...) whose contents are not needed afterwards.
        streams: a pytree of arrays (T, ...) that are only read.
        steps: T.
        reverse: from the last step to the first.
        unroll: steps per iteration of the compiled loop.
    """
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), (groups, streams))
    results = jax.eval_shape(body, state, jax.tree.leaves(one[0]), one[1])[1]
    together = _places(results, one[0])
    if steps == 0:  # no step to read ahead for
        return Results(state, [jnp.zeros((0, *result.shape), result.dtype) for result in results], together)
    fresh = sorted(set(range(len(results))) - {i for places in together for i in places})

    def read(buffers: Leaves, t: Array | int) -> Leaves:
        return [jax.lax.dynamic_index_in_dim(buffer, t, keepdims=False) for buffer in buffers]

    def step(carried: tuple[State, Leaves, Leaves], at_t: tuple[Array, Groups, Any]) -> tuple[Any, Leaves]:
        state, written, ahead = carried
        t, only_read, streamed = at_t
        slices, others = iter(ahead), iter(only_read)
        values = [
            _cut(next(slices), len(group)) if places else next(others)
            for group, places in zip(groups, together, strict=True)
        ]
        state, results = body(state, [value for group in values for value in group], streamed)
        # What no result replaces is written back as it was.
        stay = [
            _joined([results[i] for i in places] + group[len(places) :])
            for group, places in zip(values, together, strict=True)
            if places
        ]
        written = [
            jax.lax.dynamic_update_index_in_dim(buffer, new, t, 0) for buffer, new in zip(written, stay, strict=True)
        ]
        # Beyond the last step the index is clamped, and what it reads is not used.
        ahead = read(written, t - 1 if reverse else t + 1)
        return (state, written, ahead), [results[i] for i in fresh]

    first = steps - 1 if reverse else 0
    written = [_joined(group) for group, places in zip(groups, together, strict=True) if places]
    (state, written, _), stacked = jax.lax.scan(
        step,
        (state, written, read(written, first)),
        (jnp.arange(steps), [group for group, places in zip(groups, together, strict=True) if not places], streams),
        reverse=reverse,
        unroll=unroll,
    )
    found = dict(zip(fresh, stacked, strict=True))
    buffers = iter(written)
    for group, places in zip(groups, together, strict=True):
        if places:
            found.update(zip(places, _cut(next(buffers), len(group)), strict=False))
    return Results(state, [found[i] for i in range(len(results))], together)


def _joined(leaves: Leaves) -> Array:
    return leaves[0] if len(leaves) == 1 else jnp.concatenate(leaves, axis=-1)


def _cut(joined: Array, parts: int) -> Leaves:
    if parts == 1:
        return [joined]
    return list(jax.lax.split(joined, [joined.shape[-1] // parts] * parts, axis=joined.ndim - 1))


def _places(results: Leaves, groups: Groups) -> list[list[int]]:
    """For every group the results that overwrite its leaves, as many as there are of their shape and dtype."""
    free = list(range(len(results)))
    places = []
    for group in groups:
        slot = group[0]
        fits = [i for i in free if (results[i].shape, results[i].dtype) == (slot.shape, slot.dtype)][: len(group)]
        free = [i for i in free if i not in fits]
        places.append(fits)
    return places
