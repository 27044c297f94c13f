"""A loop over time as one Pallas kernel: a grid of tiles of the batch by blocks of steps, the steps inside.

Blocks of steps come one after the other, so the state stays where it is, in an output block that all of them share.
What rows and steps have in common, the parameters, is fetched once. Pallas wants two axes of every block: fewer are
lifted to two outside and taken back inside; bools go as int32.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core

from recurrax.kernels import neighbours, substitutes
from recurrax.kernels.tiles import LIMIT, Tiles, lifted
from recurrax.typing import Array

Leaves = list[Any]
Body = Callable[[Leaves, Leaves, Leaves, Leaves], tuple[Leaves, Leaves, Leaves]]
"""(shared, of_rows, state, streams at t) to (state, what is summed, results at t), all of one tile's rows."""


class Operands(NamedTuple):
    """Flat leaves: shared by all rows and steps; of_rows (B, ...), shared by all steps; the first state (B, ...);
    streams (T, tiles, ...), of one tile's rows what the body reads in a step, in any shape.
    """

    shared: Leaves
    of_rows: Leaves
    state: Leaves
    streams: Leaves


class Kernel(NamedTuple):
    """A body traced for one tile.

    run: (*shared, *of_rows, *state, *streams_t) to (*state, *summed_t, *results_t).
    constants: arrays that the body reads beside its arguments; they are the first of `shared`.
    shared, of_rows, state, streams, summed, results: shapes of one tile and step, bools as int32 and sums at least
        float32.
    over: for streams that results may overwrite, by their places, the places of these.
    """

    run: Callable[..., Leaves]
    constants: Leaves
    shared: Leaves
    of_rows: Leaves
    state: Leaves
    streams: Leaves
    summed: Leaves
    results: Leaves
    tiles: Tiles
    over: dict[int, int]


def trace(body: Body, tiles: Tiles, operands: Operands, overwritten: Sequence[int] = ()) -> Kernel:
    """The kernel of a body for tiles of that size; operands are arrays or shapes.

    Streams at the places `overwritten` are not needed afterwards: results of the same shape and dtype replace them.
    """

    def of_tile(leaf: Any) -> Any:
        return jax.ShapeDtypeStruct((tiles.rows, *leaf.shape[1:]), leaf.dtype)

    of_rows, state = ([of_tile(leaf) for leaf in group] for group in (operands.of_rows, operands.state))
    streams = [jax.ShapeDtypeStruct(leaf.shape[2:], leaf.dtype) for leaf in operands.streams]
    groups = (operands.shared, of_rows, state, streams)
    traced, (_, summed, results) = jax.make_jaxpr(body, return_shape=True)(*groups)
    traced = jax.make_jaxpr(lambda *leaves: substitutes.evaluate(traced, leaves))(*jax.tree.leaves(groups))
    jaxpr, constants = traced.jaxpr, [jnp.asarray(leaf) for leaf in traced.consts]
    debug_info = jaxpr.debug_info.with_unknown_names()
    hoisted = core.Jaxpr((), [*jaxpr.constvars, *jaxpr.invars], jaxpr.outvars, jaxpr.eqns, debug_info=debug_info)
    run = core.jaxpr_as_fun(core.ClosedJaxpr(hoisted, ()))
    over = neighbours.overwritten({i: streams[i] for i in overwritten}, results)
    return Kernel(run, constants, [*constants, *operands.shared], of_rows, state, streams, summed, results, tiles, over)


def run(kernel: Kernel, operands: Operands, reverse: bool) -> tuple[Leaves, Leaves, Leaves]:
    """The last state (B, ...), the sums over each tile's rows and all steps (tiles, ...), the results (T, tiles, ...).

    B has to be a multiple of the tile's rows. What a tile gives in a step may have any shape; where its rows come
    first, results are (T, B, ...) cut up. On CPU the kernel is interpreted.
    """
    operands = operands._replace(shared=[*kernel.constants, *operands.shared])
    how = {"cpu": True, "tpu": False}
    branches = {name: partial(_call, kernel, reverse, interpret) for name, interpret in how.items()}
    return jax.lax.platform_dependent(operands, **branches)


def _call(kernel: Kernel, reverse: bool, interpret: bool, operands: Operands) -> tuple[Leaves, Leaves, Leaves]:
    # Imported here: it takes a quarter as long as all of JAX. Where that falls into a trace, JAX 0.12 traces the whole
    # function once more at its next call, since Pallas's settings are then part of what programs are known by.
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import tpu

    n_steps, n_tiles = operands.streams[0].shape[:2]
    block_steps, n_blocks = kernel.tiles.steps, kernel.tiles.blocks(n_steps)

    def place(block: Any) -> Any:
        return n_blocks - 1 - block if reverse else block

    def whole(shape: Sequence[int]) -> Any:
        return pl.BlockSpec(shape, lambda tile, block: (0,) * len(shape))

    def of_tile(shape: Sequence[int]) -> Any:
        return pl.BlockSpec((None, *shape), lambda tile, block: (tile, *(0,) * len(shape)))

    def of_steps(shape: Sequence[int]) -> Any:
        index = (0,) * len(shape)
        return pl.BlockSpec((block_steps, None, *shape), lambda tile, block: (place(block), tile, *index))

    inputs = [
        (kernel.shared, whole, (), 0),
        (kernel.of_rows, of_tile, (n_tiles,), 1),
        (kernel.state, of_tile, (n_tiles,), 1),
        (kernel.streams, of_steps, (n_steps, n_tiles), 1),
    ]
    outputs = [
        (kernel.state, of_tile, (n_tiles,), 1),
        ([summed_as(leaf) for leaf in kernel.summed], of_tile, (n_tiles,), 0),
        (kernel.results, of_steps, (n_steps, n_tiles), 1),
    ]

    def body(*refs: Any) -> None:
        shared, of_rows, first, streams, state, sums, results = dealt(
            refs, [leaves for leaves, *_ in (*inputs, *outputs)]
        )
        block = pl.program_id(1)

        @pl.when(block == 0)
        def _() -> None:
            for ref, value in zip(state, first, strict=True):
                ref[...] = value[...]
            for ref in sums:
                ref[...] = jnp.zeros(ref.shape, ref.dtype)

        # The last block of time may be shorter than the others.
        rest = n_steps - place(block) * block_steps
        here = block_steps if n_steps % block_steps == 0 else jnp.minimum(block_steps, rest)

        def step(k: Array, _: None) -> None:
            at = here - 1 - k if reverse else k
            stay = zip([*shared, *of_rows, *state], [*kernel.shared, *kernel.of_rows, *kernel.state], strict=True)
            found = kernel.run(
                *(_taken(ref[...], leaf) for ref, leaf in stay),
                *(_taken(ref[at], leaf) for ref, leaf in zip(streams, kernel.streams, strict=True)),
            )
            stepped, summed, made = dealt(found, [leaves for leaves, *_ in outputs])
            for ref, new in zip(state, stepped, strict=True):
                ref[...] = _given(new, new.shape, 1)
            for ref, new in zip(sums, summed, strict=True):
                ref[...] += _given(new, new.shape).astype(ref.dtype)
            for ref, new in zip(results, made, strict=True):
                ref[at] = _given(new, new.shape, 1)

        jax.lax.fori_loop(0, here, step, None)

    # Each block is read before it is written: streams and results move on together.
    first_stream, first_result = (sum(len(leaves) for leaves, *_ in group[:-1]) for group in (inputs, outputs))
    found = pl.pallas_call(
        body,
        grid=(n_tiles, n_blocks),
        in_specs=[spec(lifted(leaf.shape, rows)) for leaves, spec, _, rows in inputs for leaf in leaves],
        out_specs=[spec(lifted(leaf.shape, rows)) for leaves, spec, _, rows in outputs for leaf in leaves],
        out_shape=[
            jax.ShapeDtypeStruct((*lead, *lifted(leaf.shape, rows)), given_dtype(leaf))
            for leaves, _, lead, rows in outputs
            for leaf in leaves
        ],
        input_output_aliases={first_stream + i: first_result + j for i, j in kernel.over.items()},
        compiler_params=None
        if interpret
        else tpu.CompilerParams(dimension_semantics=("parallel", "arbitrary"), vmem_limit_bytes=LIMIT),
        interpret=interpret,
    )(
        *(
            _given(array, leaf.shape, rows, lead)
            for arrays, (leaves, _, lead, rows) in zip(operands, inputs, strict=True)
            for array, leaf in zip(arrays, leaves, strict=True)
        )
    )
    last, sums, made = (
        [_taken(new, leaf, lead) for new, leaf in zip(group, leaves, strict=True)]
        for group, (leaves, _, lead, _) in zip(dealt(found, [leaves for leaves, *_ in outputs]), outputs, strict=True)
    )
    return [leaf.reshape(n_tiles * kernel.tiles.rows, *leaf.shape[2:]) for leaf in last], sums, made


def summed_as(leaf: Any) -> Any:
    """The shape and dtype in which a leaf is summed over steps."""
    return jax.ShapeDtypeStruct(leaf.shape, jnp.promote_types(leaf.dtype, jnp.float32))


def _given(array: Array, shape: Sequence[int], rows: int = 0, lead: Sequence[int] = ()) -> Array:
    """Tiles of a shape as a kernel is given them; rows is 1 where the first axis is that of rows."""
    return array.astype(given_dtype(array)).reshape(*lead, *lifted(shape, rows))


def given_dtype(leaf: Any) -> Any:
    """The dtype in which a kernel is given a leaf."""
    return jnp.int32 if leaf.dtype == jnp.bool_ else leaf.dtype


def _taken(array: Array, leaf: Any, lead: Sequence[int] = ()) -> Array:
    """Tiles as they were before `_given`."""
    array = array.reshape(*lead, *leaf.shape)  # first: a TPU takes no bool out of an array
    return array != 0 if leaf.dtype == jnp.bool_ else array


def dealt(values: Sequence[Any], groups: Sequence[Leaves]) -> list[Leaves]:
    """Values in groups of the sizes of others."""
    waiting = iter(values)
    return [[next(waiting) for _ in group] for group in groups]
