"""Time walked chunk by chunk: to bound the memory of a training step, or to stop gradients between chunks.

Memory for time: carries are kept at the ends of chunks of K steps, everything between is computed again backwards. A
training step then holds T/K carries and one chunk of K steps instead of T steps of everything (Chen et al. 2016,
section 3, with equal chunks; K = √T holds the least).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from recurrax.kernels.padding import Rows
from recurrax.typing import Array, Carry

Run = Callable[[Any, Carry, Rows], tuple[Array, Carry]]
"""xs (K, *batch, ...), the carry before them and their rows, to outputs (K, *batch, ...) and the carry after them."""


def bounded(run: Run, chunk: int, reverse: bool) -> Run:
    """`run` that keeps the carries at the ends of chunks alone, and computes the rest again backwards."""
    # prevent_cse guards against a merge that cannot happen across the iterations of a loop.
    again = jax.checkpoint(run, prevent_cse=False)

    def over_chunks(xs: Any, carry: Carry, rows: Rows) -> tuple[Array, Carry]:
        if chunk >= jax.tree.leaves(xs)[0].shape[0]:  # a window of truncated gradients shorter than a chunk
            return again(xs, carry, rows)
        return run_in_chunks(again, xs, carry, rows, chunk, reverse)

    return over_chunks


def truncated(run: Run, window: int, reverse: bool) -> Run:
    """`run` whose gradients stop at the ends of windows of `window` steps, but for that of the carry it is given."""

    def run_window(xs: Any, entering: tuple[Array, Carry], rows: Rows) -> tuple[Array, tuple[Array, Carry]]:
        is_first, carry = entering
        ys, carry = run(xs, jax.tree.map(lambda leaf: _stopped(leaf, is_first), carry), rows)
        return ys, (jnp.zeros_like(is_first), carry)

    def over_windows(xs: Any, carry: Carry, rows: Rows) -> tuple[Array, Carry]:
        ys, (_, last) = run_in_chunks(run_window, xs, (jnp.asarray(True), carry), rows, window, reverse)
        return ys, last

    return over_windows


def _stopped(leaf: Array, unless: Array) -> Array:
    if not jnp.issubdtype(leaf.dtype, jnp.inexact):
        return leaf
    return jax.lax.select(unless, leaf, jax.lax.stop_gradient(leaf))


def run_in_chunks(run: Run, xs: Any, carry: Carry, rows: Rows, chunk: int, reverse: bool) -> tuple[Array, Carry]:
    """What `run` gives for the whole of xs, chunk by chunk.

    Args:
        run: scans a chunk of any length, in the direction `reverse` says.
        xs: leaves (T, *batch, ...).
        carry: the carry before the first step.
        rows: bools (T, *batch).
        chunk: K, the steps of a chunk; the last one may be shorter.
        reverse: whether the scan starts at the last step.
    """
    steps = jax.tree.leaves(xs)[0].shape[0]
    whole = steps // chunk * chunk

    def body(carry: Carry, at: tuple[Any, Rows]) -> tuple[Carry, Array]:
        ys, carry = run(at[0], carry, at[1])
        return carry, ys

    def folded(leaf: Array) -> Array:
        return leaf[:whole].reshape(whole // chunk, chunk, *leaf.shape[1:])  # (T/K, K, *batch, ...)

    def run_whole(carry: Carry) -> tuple[Array, Carry]:
        carry, ys = jax.lax.scan(body, carry, jax.tree.map(folded, (xs, rows)), reverse=reverse)
        return ys.reshape(whole, *ys.shape[2:]), carry

    if whole == steps:
        return run_whole(carry)
    rest = jax.tree.map(lambda leaf: leaf[whole:], (xs, rows))
    if reverse:
        ys_rest, carry = run(rest[0], carry, rest[1])
        ys, carry = run_whole(carry)
    else:
        ys, carry = run_whole(carry)
        ys_rest, carry = run(rest[0], carry, rest[1])
    return jnp.concatenate([ys, ys_rest]), carry
