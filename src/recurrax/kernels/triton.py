"""A loop over time as one Pallas kernel for NVIDIA's GPUs, through Triton: a program for each tile, all steps inside.

What `grid` runs on a TPU, otherwise laid out. The state is carried in registers. Parameters are read anew at every
step, from the caches: read once, they would have to fit into shared memory together; so only each product's factors
have to. Every array holds a power of two of values, so gates are not joined (`parted`). Products of float32 are
of float32, never TF32, unless the cell asks for it.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from recurrax.kernels import jaxprs
from recurrax.kernels.grid import Kernel, Operands, dealt, given_dtype, summed_as
from recurrax.kernels.jaxprs import Leaves
from recurrax.kernels.parted import parted
from recurrax.kernels.tiles import Tiles

LIMIT = 232448
"""Bytes of shared memory that a block of threads may take on an H100: 227 KiB."""
_MOST_ROWS = 16
"""As few as make the tiles of a tensor core: more tiles are more of the GPU's units at work. A guess, never timed."""
_COPIES = 2
"""Values as large as the largest one that lie in registers together, at a guess."""


def rows_to_try(batch: int) -> Iterator[int]:
    """Rows of a tile for a batch of so many, the most first: powers of two."""
    rows = min(_MOST_ROWS, 1 << (batch - 1).bit_length())
    while rows:
        yield rows
        rows //= 2


def choose(rows: int, steps: int, step: Callable[..., Any], shared: Leaves, of_rows: Leaves) -> Tiles:
    """The tiles of a kernel: all steps; their bytes, by estimate, may be more than `LIMIT`.

    They are those of a product's factors, which lie in shared memory, or of the largest value of so many rows, which
    lies in as many bytes of registers.

    Args:
        rows: of a tile.
        steps: T.
        step: of flat leaves (*shared, *of_rows).
        shared: shapes that all rows share.
        of_rows: shapes (rows, ...) of one step.
    """
    found = parted(step, shared, of_rows)
    jaxpr = found.traced.jaxpr
    varying = jaxprs.dependents(found.traced, jaxpr.invars[len(found.prepared) :])
    factors = [sum(map(_bytes, eqn.invars)) for eqn in jaxpr.eqns if eqn.primitive.name == "dot_general"]
    return Tiles(rows, steps, max([0, *factors, *(_COPIES * _bytes(var) for var in varying)]))


def _bytes(atom: Any) -> int:
    return math.prod(atom.aval.shape) * atom.aval.dtype.itemsize


def run(kernel: Kernel, operands: Operands, reverse: bool) -> tuple[Leaves, Leaves, Leaves]:
    """What `grid.run` gives, on an NVIDIA GPU; on CPU the same kernel is interpreted."""
    operands = operands._replace(shared=[*kernel.constants, *operands.shared])
    found = parted(kernel.run, kernel.shared, [*kernel.of_rows, *kernel.state, *kernel.streams])
    operands = operands._replace(shared=found.prepare(*operands.shared))
    kernel = kernel._replace(run=found.run, shared=found.prepared)
    how = {"cpu": True, "cuda": False}
    branches = {name: partial(_call, kernel, reverse, interpret) for name, interpret in how.items()}
    return jax.lax.platform_dependent(operands, **branches)


def _call(kernel: Kernel, reverse: bool, interpret: bool, operands: Operands) -> tuple[Leaves, Leaves, Leaves]:
    from jax.experimental import pallas as pl  # imported here: see `grid`

    n_steps, n_tiles = operands.streams[0].shape[:2]

    def whole(shape: Sequence[int]) -> Any:
        return pl.BlockSpec(shape, lambda tile: (0,) * len(shape))

    def of_tile(shape: Sequence[int]) -> Any:
        return pl.BlockSpec((None, *shape), lambda tile: (tile, *(0,) * len(shape)))

    def of_steps(shape: Sequence[int]) -> Any:
        return pl.BlockSpec((n_steps, None, *shape), lambda tile: (0, tile, *(0,) * len(shape)))

    inputs = [
        (kernel.shared, whole, ()),
        (kernel.of_rows, of_tile, (n_tiles,)),
        (kernel.state, of_tile, (n_tiles,)),
        (kernel.streams, of_steps, (n_steps, n_tiles)),
    ]
    outputs = [
        (kernel.state, of_tile, (n_tiles,)),
        ([summed_as(leaf) for leaf in kernel.summed], of_tile, (n_tiles,)),
        (kernel.results, of_steps, (n_steps, n_tiles)),
    ]
    made = [leaves for leaves, *_ in outputs]

    def body(*refs: Any) -> None:
        shared, of_rows, first, streams, state, sums, results = dealt(refs, [leaves for leaves, *_ in inputs] + made)
        stay = [*zip([*shared, *of_rows], [*kernel.shared, *kernel.of_rows], strict=True)]

        def step(k: Any, held: tuple[Leaves, Leaves]) -> tuple[Leaves, Leaves]:
            at = n_steps - 1 - k if reverse else k
            s, totals = held
            found = kernel.run(
                *(_taken(ref[...], leaf) for ref, leaf in stay),
                *s,
                *(_taken(ref[at], leaf) for ref, leaf in zip(streams, kernel.streams, strict=True)),
            )
            s, terms, values = dealt(found, made)
            for ref, new in zip(results, values, strict=True):
                ref[at] = _given(new)
            return s, [total + term.astype(total.dtype) for total, term in zip(totals, terms, strict=True)]

        start = [_taken(ref[...], leaf) for ref, leaf in zip(first, kernel.state, strict=True)]
        held = start, [jnp.zeros(leaf.shape, leaf.dtype) for leaf in made[1]]
        s, totals = jax.lax.fori_loop(0, n_steps, step, held)
        for ref, new in zip([*state, *sums], [*s, *totals], strict=True):
            ref[...] = _given(new)

    found = pl.pallas_call(
        body,
        grid=(n_tiles,),
        in_specs=[spec(leaf.shape) for leaves, spec, _ in inputs for leaf in leaves],
        out_specs=[spec(leaf.shape) for leaves, spec, _ in outputs for leaf in leaves],
        out_shape=[
            jax.ShapeDtypeStruct((*lead, *leaf.shape), given_dtype(leaf))
            for leaves, _, lead in outputs
            for leaf in leaves
        ],
        compiler_params=None if interpret else _compiler_params(),
        interpret=interpret,
    )(
        *(
            _given(array).reshape(*lead, *leaf.shape)
            for arrays, (leaves, _, lead) in zip(operands, inputs, strict=True)
            for array, leaf in zip(arrays, leaves, strict=True)
        )
    )
    last, totals, values = (
        [_taken(new, leaf) for new, leaf in zip(group, leaves, strict=True)]
        for group, leaves in zip(dealt(found, made), made, strict=True)
    )
    return [leaf.reshape(n_tiles * kernel.tiles.rows, *leaf.shape[2:]) for leaf in last], totals, values


def _compiler_params() -> Any:
    from jax.experimental.pallas import triton

    # One stage: loads of parameters are not begun for the steps ahead, which would take shared memory for each. With 8
    # warps no register of the library's cells of 64 units is spilled but in MLSTM's gradient; with 4, of LSTM's too.
    return triton.CompilerParams(num_warps=8, num_stages=1)


def _given(array: Any) -> Any:
    return array.astype(given_dtype(array))


def _taken(array: Any, leaf: Any) -> Any:
    return array != 0 if leaf.dtype == jnp.bool_ else array
