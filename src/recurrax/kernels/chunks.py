"""Memory for time: carries kept at the ends of stretches of K steps, everything between computed again backwards.

A training step then holds T/K carries and one stretch of K steps instead of T steps of everything (Chen et al. 2016,
section 3, with equal stretches; K = √T holds the least).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from recurrax.kernels.padding import Rows
from recurrax.typing import Array, Carry

Run = Callable[[Array, Carry, Rows], tuple[Array, Carry]]
"""xs (K, *batch, D), the carry before them and their rows, to outputs (K, *batch, H) and the carry after them."""


def walk(run: Run, xs: Array, carry: Carry, rows: Rows, steps: int, reverse: bool) -> tuple[Array, Carry]:
    """What `run` gives for the whole of xs, stretch by stretch.

    Args:
        run: walks a stretch of any length, in the direction `reverse` says.
        xs: (T, *batch, D).
        carry: the carry before the first step walked.
        rows: bools (T, *batch).
        steps: K, the steps of a stretch; the last one may be shorter.
        reverse: whether the walk starts at the last step.
    """
    whole = xs.shape[0] // steps * steps

    def body(carry: Carry, at: tuple[Array, Rows]) -> tuple[Carry, Array]:
        ys, carry = run(at[0], carry, at[1])
        return carry, ys

    def folded(leaf: Array) -> Array:
        return leaf[:whole].reshape(whole // steps, steps, *leaf.shape[1:])

    def walk_whole(carry: Carry) -> tuple[Array, Carry]:
        carry, ys = jax.lax.scan(body, carry, jax.tree.map(folded, (xs, rows)), reverse=reverse)
        return ys.reshape(whole, *ys.shape[2:]), carry

    if whole == xs.shape[0]:
        return walk_whole(carry)
    rest = jax.tree.map(lambda leaf: leaf[whole:], (xs, rows))
    if reverse:
        ys_rest, carry = run(rest[0], carry, rest[1])
        ys, carry = walk_whole(carry)
    else:
        ys, carry = walk_whole(carry)
        ys_rest, carry = run(rest[0], carry, rest[1])
    return jnp.concatenate([ys, ys_rest]), carry
