"""A batch as the Pallas kernels take it: one axis, of whole tiles."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from recurrax.kernels.arguments import Arguments


def as_rows(given: Arguments) -> Arguments:
    """The same arguments with one batch axis."""
    axes = len(given.batch_shape)
    batch = math.prod(given.batch_shape)

    def merged(tree: Any, leading: int) -> Any:
        return jax.tree.map(
            lambda leaf: leaf.reshape(*leaf.shape[:leading], batch, *leaf.shape[leading + axes :]), tree
        )

    xs, rows = merged((given.xs, given.rows), 1)
    carry, initial = merged((given.carry, given.initial), 0)
    return given._replace(xs=xs, carry=carry, initial=initial, rows=rows, batch_shape=(batch,))


def padded_to(given: Arguments, rows: int) -> Arguments:
    """The same arguments with rows added, up to whole tiles.

    They repeat the last one: zeros could meet a division. What becomes of them is cut off, so their adjoints are zero.
    """
    (batch,) = given.batch_shape
    more = -batch % rows
    if not more:
        return given

    def repeated(tree: Any, axis: int) -> Any:
        return jax.tree.map(
            lambda leaf: jnp.pad(leaf, [(0, more * (i == axis)) for i in range(leaf.ndim)], mode="edge"), tree
        )

    xs, of_rows = repeated((given.xs, given.rows), 1)
    carry, initial = repeated((given.carry, given.initial), 0)
    return given._replace(xs=xs, carry=carry, initial=initial, rows=of_rows, batch_shape=(batch + more,))
