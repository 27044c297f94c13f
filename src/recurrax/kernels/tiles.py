"""How many rows and steps one block of a kernel holds, and the fast memory that takes.

A TPU computes on VMEM, next to its units, and a kernel's blocks must lie in it whole. The last two axes of an array are
stored there in tiles of 8 x 128 numbers of 4 bytes, 16 x 128 of 2 bytes, and each block twice: one is computed on while
the next is fetched.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

LIMIT = 100 << 20
"""Bytes of VMEM that a kernel may take, of the 128 MiB of a TPU v5e or v6e: kernels of that size were compiled for
both."""
_MOST_ROWS, _MOST_STEPS = 256, 64
"""More rows fill no unit better, and more steps a block spare little of the work at its border."""
_SUBLANES, _LANES = 8, 128
_SLACK = 2 << 20
"""What the compiler keeps for itself, at a guess."""

Leaves = Sequence[Any]


class Tiles(NamedTuple):
    """Rows of the batch and steps of time in one block; bytes of VMEM that a kernel takes with them, by estimate."""

    rows: int
    steps: int
    bytes: int

    def blocks(self, steps: int) -> int:
        """How many blocks there are in so many steps."""
        return -(-steps // self.steps)


def rows_to_try(batch: int) -> Iterator[int]:
    """Rows of a block for a batch of so many, the largest first: all of them, or a multiple of 8."""
    if batch <= _MOST_ROWS:
        yield batch
    rows = _MOST_ROWS
    while rows >= _SUBLANES:
        if rows < batch:
            yield rows
        rows //= 2


def choose(rows: int, steps: int, shared: Leaves, of_rows: Leaves, of_steps: Leaves) -> Tiles:
    """The tiles of a kernel whose blocks have so many rows; their bytes may be more than `LIMIT`.

    Args:
        rows: of a block.
        steps: T.
        shared: shapes that all blocks share.
        of_rows: shapes (rows, ...) that all steps share.
        of_steps: shapes (rows, ...) of one step.
    """
    # The values of a step on their way through it, at a guess as many as it reads and writes, lie there once more.
    step = stored(of_steps, 1)
    fixed, each = 2 * (stored(shared) + stored(of_rows, 1)) + step + _SLACK, 2 * step
    fit = max(1, min(_MOST_STEPS, steps, (LIMIT - fixed) // max(1, each)))
    fit = -(-steps // -(-steps // fit))  # as many blocks, as full as they can be
    return Tiles(rows, fit, fixed + fit * each)


def lifted(shape: Sequence[int], rows: int = 0) -> tuple[int, ...]:
    """A shape with at least two axes; with rows = 1, one of rows alone becomes a column."""
    if rows and len(shape) == 1:
        return (*shape, 1)
    return (1,) * (2 - len(shape)) + tuple(shape)


def stored(shapes: Leaves, rows: int = 0) -> int:
    """Bytes of arrays as a TPU stores them, bools as int32."""
    sizes = (4 if leaf.dtype == bool else leaf.dtype.itemsize for leaf in shapes)
    return sum(_stored(lifted(leaf.shape, rows), size) for leaf, size in zip(shapes, sizes, strict=True))


def _stored(shape: Sequence[int], itemsize: int) -> int:
    *outer, height, width = shape
    sublanes = _SUBLANES * max(1, 4 // itemsize)
    return math.prod(outer) * -(-height // sublanes) * sublanes * -(-width // _LANES) * _LANES * itemsize
