"""Walking time with results that overwrite what was read.

Time-sized arrays cost page faults and cache misses, not arithmetic: a step of training that gives each of its values a
time-sized array of its own spends more time on fresh pages than on products. A projection is read once, just before
the activation that replaces it is written, and an activation once, just before its adjoint is: one buffer will do.

XLA shares the buffer only if it can see every read happen before the write, and within one step it cannot, because a
read may be fused into several computations: it then copies the whole buffer at every step. So the read of step t+1 is
made from the buffer that step t has written, and travels to its step in the loop's state. Reads and writes then form
one chain, and nothing is copied but that one step.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from recurrax.typing import Array

State = TypeVar("State")
Leaves = list[Array]


def walk(
    body: Callable[[State, Leaves, Any], tuple[State, Leaves]],
    state: State,
    buffers: Leaves,
    streams: Any,
    *,
    steps: int,
    reverse: bool,
    unroll: int,
) -> tuple[State, Leaves]:
    """Applies `body` step by step, its results overwriting `buffers` where shapes and dtypes allow.

    Args:
        body: (state, values of `buffers` at t, values of `streams` at t) to (state, results at t).
        state: carried from step to step.
        buffers: arrays (T, ...) whose contents are not needed afterwards.
        streams: a pytree of arrays (T, ...) that are only read.
        steps: T.
        reverse: from the last step to the first.
        unroll: steps per iteration of the compiled loop.

    Returns:
        The last state, and the results in the order the body gives them, each (T, ...).
    """
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), (buffers, streams))
    results = jax.eval_shape(body, state, *one)[1]
    if steps == 0:  # no step to read ahead for
        return state, [jnp.zeros((0, *result.shape), result.dtype) for result in results]
    places = _places(results, one[0])
    overwritten = [place for place in places if place is not None]
    only_read = [i for i in range(len(buffers)) if i not in overwritten]

    def read(buffers: Leaves, t: Array | int) -> Leaves:
        return [jax.lax.dynamic_index_in_dim(buffer, t, keepdims=False) for buffer in buffers]

    def step(carried: tuple[State, Leaves, Leaves], at_t: tuple[Array, Leaves, Any]) -> tuple[Any, Leaves]:
        state, written, ahead = carried
        t, others, streamed = at_t
        values = dict(zip([*overwritten, *only_read], [*ahead, *others], strict=True))
        state, results = body(state, [values[i] for i in range(len(values))], streamed)
        stay = [result for result, place in zip(results, places, strict=True) if place is not None]
        written = [
            jax.lax.dynamic_update_index_in_dim(buffer, new, t, 0) for buffer, new in zip(written, stay, strict=True)
        ]
        # Beyond the last step the index is clamped, and what it reads is not used.
        ahead = read(written, t - 1 if reverse else t + 1)
        return (state, written, ahead), [r for r, place in zip(results, places, strict=True) if place is None]

    first = steps - 1 if reverse else 0
    written = [buffers[i] for i in overwritten]
    (state, written, _), fresh = jax.lax.scan(
        step,
        (state, written, read(written, first)),
        (jnp.arange(steps), [buffers[i] for i in only_read], streams),
        steps,
        reverse=reverse,
        unroll=unroll,
    )
    in_place, stacked = iter(written), iter(fresh)
    return state, [next(stacked) if place is None else next(in_place) for place in places]


def _places(results: Leaves, slices: Leaves) -> list[int | None]:
    """For every result the buffer it overwrites, None where no buffer of its shape and dtype is left."""
    free = dict(enumerate(slices))
    places: list[int | None] = []
    for result in results:
        fits = [i for i, slot in free.items() if (slot.shape, slot.dtype) == (result.shape, result.dtype)]
        places.append(fits[0] if fits else None)
        if fits:
            del free[fits[0]]
    return places
