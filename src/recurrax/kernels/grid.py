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

from recurrax.kernels import jaxprs, tiles
from recurrax.kernels.tiles import Tiles
from recurrax.typing import Array

Leaves = list[Any]
Body = Callable[[Leaves, Leaves, Leaves, Leaves], tuple[Leaves, Leaves, Leaves]]
"""(shared, of_rows, state, streams at t) to (state, what is summed, results at t), all of one tile's rows."""


class Operands(NamedTuple):
    """Flat leaves: shared by all rows and steps; of_rows (B, ...), shared by all steps; the first state (B, ...);
    streams (T, B, ...).
    """

    shared: Leaves
    of_rows: Leaves
    state: Leaves
    streams: Leaves


class Kernel(NamedTuple):
    """A body traced for one tile.

    run: (*constants, *shared, *of_rows, *state, *streams_t) to (*state, *summed_t, *results_t).
    constants: arrays that the body reads beside its arguments, which a kernel has to be given.
    summed, results: shapes of one step.
    """

    run: Callable[..., Leaves]
    constants: Leaves
    summed: Leaves
    results: Leaves
    tiles: Tiles


def trace(body: Body, rows: int, operands: Operands) -> Kernel:
    """The kernel of a body for tiles of so many rows; operands are arrays or shapes."""

    def tile(leaf: Any, axis: int) -> Any:
        return jax.ShapeDtypeStruct((rows, *leaf.shape[axis + 1 :]), leaf.dtype)

    of_rows, state = ([tile(leaf, 0) for leaf in group] for group in (operands.of_rows, operands.state))
    streams = [tile(leaf, 1) for leaf in operands.streams]
    traced, (_, summed, results) = jax.make_jaxpr(body, return_shape=True)(operands.shared, of_rows, state, streams)
    run, constants = _hoisted(traced)
    shared = [*constants, *operands.shared, *summed]
    steps = operands.streams[0].shape[0]
    sizes = tiles.choose(rows, steps, shared, [*of_rows, *state, *state], [*streams, *results])
    return Kernel(run, constants, summed, results, sizes)


def _hoisted(traced: jaxprs.Traced) -> tuple[Callable[..., Leaves], Leaves]:
    """A traced function of its constants and arguments, and its constants."""
    jaxpr = traced.jaxpr
    debug_info = jaxpr.debug_info.with_unknown_names()
    invars = [*jaxpr.constvars, *jaxpr.invars]
    whole = core.Jaxpr((), invars, jaxpr.outvars, jaxpr.eqns, debug_info=debug_info)
    return core.jaxpr_as_fun(core.ClosedJaxpr(whole, ())), [jnp.asarray(leaf) for leaf in traced.consts]


def run(kernel: Kernel, operands: Operands, reverse: bool) -> tuple[Leaves, Leaves, Leaves]:
    """The last state (B, ...), the sums over each tile's rows and all steps (tiles, ...), the results (T, B, ...).

    B has to be a multiple of the tile's rows. On CPU the kernel is interpreted.
    """
    operands = operands._replace(shared=[*kernel.constants, *operands.shared])
    return jax.lax.platform_dependent(
        operands,
        cpu=partial(_call, kernel, reverse, True),
        tpu=partial(_call, kernel, reverse, False),
    )


def _call(kernel: Kernel, reverse: bool, interpret: bool, operands: Operands) -> tuple[Leaves, Leaves, Leaves]:
    from jax.experimental import pallas as pl  # half as long again to import as all else
    from jax.experimental.pallas import tpu

    shared, of_rows, state, streams = operands
    steps, batch = streams[0].shape[:2]
    rows, block_steps = kernel.tiles.rows, kernel.tiles.steps
    n_blocks = kernel.tiles.blocks(steps)

    def whole(leaf: Any) -> Any:
        return pl.BlockSpec(_lifted(leaf.shape), lambda b, t: (0,) * len(_lifted(leaf.shape)))

    def by_rows(leaf: Any) -> Any:
        shape = _lifted(leaf.shape, 1)[1:]
        return pl.BlockSpec((rows, *shape), lambda b, t: (b, *(0,) * len(shape)))

    def by_steps(leaf: Any) -> Any:
        shape = _lifted(leaf.shape, 2)[2:]
        at = (lambda t: n_blocks - 1 - t) if reverse else (lambda t: t)
        return pl.BlockSpec((block_steps, rows, *shape), lambda b, t: (at(t), b, *(0,) * len(shape)))

    def by_tile(leaf: Any) -> Any:
        shape = _lifted(leaf.shape)
        return pl.BlockSpec((None, *shape), lambda b, t: (b, *(0,) * len(shape)))

    summed = [jax.ShapeDtypeStruct((batch // rows, *_lifted(s.shape)), _sum_dtype(s)) for s in kernel.summed]
    results = [jax.ShapeDtypeStruct((steps, batch, *leaf.shape[1:]), leaf.dtype) for leaf in kernel.results]
    arguments = (shared, of_rows, state, streams)

    def body(*refs: Any) -> None:
        shared_refs, row_refs, first_refs, stream_refs, state_refs, sum_refs, result_refs = _dealt(
            refs, (*arguments, state, summed, results)
        )
        block = pl.program_id(1)

        @pl.when(block == 0)
        def _() -> None:
            for ref, first in zip(state_refs, first_refs, strict=True):
                ref[...] = first[...]
            for ref in sum_refs:
                ref[...] = jnp.zeros(ref.shape, ref.dtype)

        # The last block of time may be shorter than the others.
        place = n_blocks - 1 - block if reverse else block
        here = block_steps if steps % block_steps == 0 else jnp.minimum(block_steps, steps - place * block_steps)

        def step(k: Array, _: None) -> None:
            at = here - 1 - k if reverse else k
            found = kernel.run(
                *(_taken(ref[...], leaf.shape, leaf) for ref, leaf in zip(shared_refs, shared, strict=True)),
                *(_taken(ref[...], (rows, *leaf.shape[1:]), leaf) for ref, leaf in zip(row_refs, of_rows, strict=True)),
                *(_taken(ref[...], (rows, *leaf.shape[1:]), leaf) for ref, leaf in zip(state_refs, state, strict=True)),
                *(
                    _taken(ref[at], (rows, *leaf.shape[2:]), leaf)
                    for ref, leaf in zip(stream_refs, streams, strict=True)
                ),
            )
            stepped, summands, made = _dealt(found, (state, summed, results))
            for ref, new in zip(state_refs, stepped, strict=True):
                ref[...] = _given(new, 1)
            for ref, new in zip(sum_refs, summands, strict=True):
                ref[...] += _given(new).astype(ref.dtype)
            for ref, new in zip(result_refs, made, strict=True):
                ref[at] = _given(new, 1)

        jax.lax.fori_loop(0, here, step, None)

    out_shape = [
        *(_shape_given(leaf, 1) for leaf in state),
        *summed,
        *(_shape_given(leaf, 2) for leaf in results),
    ]
    found = pl.pallas_call(
        body,
        grid=(batch // rows, n_blocks),
        in_specs=[*map(whole, shared), *map(by_rows, of_rows), *map(by_rows, state), *map(by_steps, streams)],
        out_specs=[*map(by_rows, state), *map(by_tile, kernel.summed), *map(by_steps, results)],
        out_shape=out_shape,
        compiler_params=None
        if interpret
        else tpu.CompilerParams(dimension_semantics=("parallel", "arbitrary"), vmem_limit_bytes=tiles.LIMIT),
        interpret=interpret,
    )(
        *map(_given, shared),
        *(_given(leaf, 1) for group in (of_rows, state) for leaf in group),
        *(_given(leaf, 2) for leaf in streams),
    )
    last, sums, made = _dealt(found, (state, summed, results))
    return (
        [_taken(new, leaf.shape, leaf) for new, leaf in zip(last, state, strict=True)],
        [new.reshape(new.shape[0], *leaf.shape) for new, leaf in zip(sums, kernel.summed, strict=True)],
        [_taken(new, leaf.shape, leaf) for new, leaf in zip(made, results, strict=True)],
    )


def _lifted(shape: Sequence[int], leading: int = 0) -> tuple[int, ...]:
    """A shape with at least two axes; one of rows alone, after `leading` axes with them, is a column."""
    if leading:
        return tuple(shape) if len(shape) > leading else (*shape, 1)
    return (1,) * (2 - len(shape)) + tuple(shape)


def _given(leaf: Array, leading: int = 0) -> Array:
    """A leaf as a kernel is given it."""
    leaf = leaf.astype(jnp.int32) if leaf.dtype == jnp.bool_ else leaf
    return leaf.reshape(_lifted(leaf.shape, leading))


def _shape_given(leaf: Any, leading: int) -> Any:
    dtype = jnp.int32 if leaf.dtype == jnp.bool_ else leaf.dtype
    return jax.ShapeDtypeStruct(_lifted(leaf.shape, leading), dtype)


def _taken(value: Array, shape: Sequence[int], like: Any) -> Array:
    """A leaf as it was before `_given`."""
    return (value != 0 if like.dtype == jnp.bool_ else value).reshape(shape)


def _sum_dtype(leaf: Any) -> Any:
    """At least float32."""
    return jnp.promote_types(leaf.dtype, jnp.float32)


def _dealt(values: Sequence[Any], groups: Sequence[Leaves]) -> list[Leaves]:
    waiting = iter(values)
    return [[next(waiting) for _ in group] for group in groups]
