"""Memory for time: carries kept at the ends of chunks of K steps, everything between computed again backwards.

A training step then holds T/K carries and one chunk of K steps instead of T steps of everything (Chen et al. 2016,
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
