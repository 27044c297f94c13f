"""The fused scan's loops as Pallas kernels: one forward, one backward, for any cell.

What a step computes, what is kept of it and what waits for the end of the loop is read from the cell's trace, as for
the fused scan (`steps`, `residuals`); `grid` runs it on a TPU, `triton` on an NVIDIA GPU. On a TPU parameters and
carry stay in the fast memory of the device from the first step to the last; of each step, only its projection and its
results travel.

    forward    reads   u_t                              writes  y_t and what the backward kernel needs
    backward   reads   δy_t and that                    writes  δu_t and the factors of weight gradients

Weight gradients are single products after the backward kernel; those of elementwise parameters are summed in it, tile
by tile. Rows that are padding or reset are chosen in the kernel, step by step.

Second derivatives are those of the reference.
"""

from collections.abc import Callable
from functools import partial
from traceback import extract_tb
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import zero_from_primal
from jax.extend.backend import get_backend

from recurrax.kernels import grid, neighbours, projection, reference, steps, tiles, triton
from recurrax.kernels.arguments import Arguments
from recurrax.kernels.batches import as_rows, padded_to
from recurrax.kernels.forward_mode import reverse_mode_only
from recurrax.kernels.grid import Kernel, Operands
from recurrax.kernels.jaxprs import Leaves
from recurrax.kernels.lasting import custom_jvp
from recurrax.kernels.neighbours import Arrays
from recurrax.kernels.padding import Rows, entering_carry, leaving_carry
from recurrax.kernels.residuals import Derivative, is_moving, moving, vjp
from recurrax.kernels.stepping import adjoint_step, forward_step, masked, one_later, one_step, shifted, zeros
from recurrax.kernels.steps import Step
from recurrax.kernels.tiles import Tiles
from recurrax.keys import is_key
from recurrax.typing import Array, Carry, Cell


class Plan(NamedTuple):
    """How the kernels run, and over what; static under `jax.jit`. Batches are one axis (B,), of whole tiles.

    operands: the structure of (params, xs, carry, initial); moves: which of their leaves gradients flow through.
    project: the leaves of params and xs to those of u, (T, B, ...).
    step, derivative: the cell's, traced for the rows of one tile.
    forward, backward: the tiles of the kernels.
    arrays: what lies side by side in those that the kernels read and write.
    for_gpu: whether the kernels are for a GPU.
    """

    cell: Cell
    reverse: bool
    operands: Any
    moves: tuple[bool, ...]
    project: Callable[[Leaves, Leaves], Leaves]
    step: Step
    derivative: Derivative
    forward: Tiles
    backward: Tiles
    arrays: Arrays
    for_gpu: bool

    def run(self, kernel: Kernel, operands: Operands, reverse: bool) -> tuple[Leaves, Leaves, Leaves]:
        """The last state, sums and results of a kernel, see `grid.run`."""
        return (triton if self.for_gpu else grid).run(kernel, operands, reverse)

    def join(self, flowing: Leaves, still: Leaves) -> tuple[Any, Any, Carry, Carry]:
        """params, xs, carry and initial of the leaves that gradients flow through and of the others."""
        parts = iter(still), iter(flowing)
        return jax.tree.unflatten(self.operands, [next(parts[move]) for move in self.moves])

    def folded(self, leaves: Leaves) -> Leaves:
        """Leaves (T, B, ...) as (T * tiles, rows of a tile, ...)."""
        return [leaf.reshape(-1, self.forward.rows, *leaf.shape[2:]) for leaf in leaves]


class Stored(NamedTuple):
    """What the forward kernel leaves for the backward one: y and `entering` (T, B, ...), those leaves of the carry
    before each step that are needed and that y does not hold; `saved` and the `unchanged` arrays of u by tiles,
    (T, tiles, ...), in which rows need not come first.
    """

    saved: Leaves
    entering: Leaves
    unchanged: Leaves
    y: Array


def supports(given: Arguments) -> str | None:
    """Why this implementation cannot run these arguments, or None."""
    steps, sizes = jax.tree.leaves(given.xs)[0].shape[0], given.batch_shape
    if not all(isinstance(size, int) for size in (steps, *sizes)):
        return "jax.export leaves the number of steps or rows open, by which its blocks are cut"
    if 0 in (steps, *sizes):
        return "there is no step or no row to make a block of"
    if given.effects:
        return "a step has effects, which a kernel cannot have"
    if jax.default_backend() == "gpu" and "cuda" not in get_backend().platform_version.lower():
        return "its kernels are for TPU and for GPUs of NVIDIA's, and interpreted on CPU"
    if reason := _unknown_dtype(given):
        return reason
    plan, _ = _plan(as_rows(given))
    needed, limit = max(plan.forward.bytes, plan.backward.bytes), triton.LIMIT if plan.for_gpu else tiles.LIMIT
    if needed > limit:
        unit, name = (1 << 10, "KiB") if plan.for_gpu else (1 << 20, "MiB")
        return (
            f"a kernel of {plan.forward.rows} rows would hold {needed / unit:.0f} {name} in fast memory, by estimate, "
            f"of which it may take {limit // unit} {name}"
        )
    return refused_by_compiler(given) if jax.default_backend() in ("tpu", "gpu") else None


def on_gpu() -> bool:
    """Whether kernels are planned for a GPU; else they are for a TPU."""
    return jax.default_backend() == "gpu"


def _unknown_dtype(given: Arguments) -> str | None:
    """Which leaf a kernel cannot hold, or None."""
    u = jax.eval_shape(given.cell.project, given.params, given.xs)
    for name, tree in {"params": given.params, "carry": given.carry, "u": u}.items():
        for path, leaf in jax.tree.leaves_with_path(tree):
            if is_key(leaf) or jnp.issubdtype(leaf.dtype, jnp.complexfloating):
                return f"{name}{jax.tree_util.keystr(path)} is {leaf.dtype}, which a kernel cannot hold"
    return None


def refused_by_compiler(given: Arguments) -> str | None:
    """What Pallas says against the kernels of these arguments, or None: it is asked to lower them once.

    For a GPU, some versions of JAX look at the one that is there.
    """
    leaves, structure = jax.tree.flatten((given.params, given.xs, given.carry, given.initial, given.rows))

    def results(flowing: Leaves, still: Leaves) -> Leaves:
        parts = iter(still), iter(flowing)
        joined = jax.tree.unflatten(structure, [next(parts[is_moving(leaf)]) for leaf in leaves])
        params, xs, carry, initial, rows = joined
        found = scan(given._replace(params=params, xs=xs, carry=carry, initial=initial, rows=rows))
        return moving(jax.tree.leaves(found))

    def gradients(flowing: Leaves, still: Leaves) -> Any:
        values, pull = jax.vjp(lambda flowing: results(flowing, still), flowing)
        return values, pull(values)

    shapes = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves]
    still = [leaf for leaf in shapes if not is_moving(leaf)]
    try:
        jax.jit(gradients).trace(moving(shapes), still).lower(lowering_platforms=("cuda" if on_gpu() else "tpu",))
    except Exception as error:  # of any kind: what a compiler does not know is said in many ways
        said = str(error).split("Error details: ")[-1].split(". Please file")[0].strip()
        said = said or f"{type(error).__name__} in {extract_tb(error.__traceback__)[-1].name}"
        return f"Pallas for {'GPU' if on_gpu() else 'TPU'} says: {said.splitlines()[0]}"
    return None


def scan(given: Arguments) -> tuple[Array, Carry]:
    """Outputs (T, *batch, ...) and the last carry."""
    batch_shape = given.batch_shape
    flat = as_rows(given)
    batch = flat.batch_shape[0]
    plan, padded = _plan(flat)
    leaves = jax.tree.leaves((padded.params, padded.xs, padded.carry, padded.initial))
    flowing = [reverse_mode_only(leaf) for leaf in moving(leaves)]
    still = [leaf for leaf in leaves if not is_moving(leaf)]
    ys, last = _scan(plan, flowing, still, padded.rows)
    last = [leaf[:batch].reshape(*batch_shape, *leaf.shape[1:]) for leaf in last]
    ys = ys[:, :batch]
    return ys.reshape(ys.shape[0], *batch_shape, *ys.shape[2:]), jax.tree.unflatten(
        jax.tree.structure(given.carry), last
    )


def _plan(given: Arguments) -> tuple[Plan, Arguments]:
    """The plan with the largest tiles that fit, the smallest if none do, and the arguments padded to them."""
    (batch,) = given.batch_shape
    plan, padded, memory = None, given, triton if on_gpu() else tiles
    for rows in memory.rows_to_try(batch):
        padded = padded_to(given, rows)
        plan = _plan_of(padded, rows)
        if max(plan.forward.bytes, plan.backward.bytes) <= memory.LIMIT:
            break
    assert plan is not None, "a batch of no rows is refused"
    return plan, padded


def _plan_of(given: Arguments, rows: int) -> Plan:
    cell, params, xs, carry, initial, *_ = given

    def tile(leaf: Any, axis: int) -> Any:
        return jax.ShapeDtypeStruct((*leaf.shape[:axis], rows, *leaf.shape[axis + 1 :]), leaf.dtype)

    u = jax.eval_shape(cell.project, params, jax.tree.map(partial(tile, axis=1), xs))
    step = steps.cut(
        partial(steps.one_step, cell),
        params,
        jax.tree.map(partial(tile, axis=0), carry),
        one_step(u),
        order=projection.order(cell.project, params, xs),
        head=False,
        sunk=steps.MADE_AGAIN,
    )
    leaves, operands = jax.tree.flatten((params, xs, carry, initial))
    moves = tuple(is_moving(leaf) for leaf in leaves)
    project = projection.of_sequence(cell.project, step, params, xs)
    flags = one_step(jax.tree.map(partial(tile, axis=1), jax.tree.leaves(given.rows)))
    derivative = Derivative(step, step.u, alike=not flags)
    n_steps, resets = jax.tree.leaves(xs)[0].shape[0], given.rows.reset is not None
    shapes = neighbours.shapes_of(step, derivative)
    # Trick for GPUs, where a kernel can neither join nor cut: every leaf is an array of its own.
    arrays = neighbours.arrays(step, derivative, shapes, together=not on_gpu())
    of_tiles = neighbours.tiles_of(step, derivative, shapes, arrays, flags, n_steps, resets)
    if on_gpu():
        choose, carry = partial(triton.choose, rows, n_steps), step.carry
        read = [*shapes.before, *(step.u[i] for i in derivative.read_u), *shapes.saved]
        backward = choose(derivative.backward, shapes.fixed, [*read, *moving(carry), *moving(step.seen)])
        of_tiles = choose(derivative.forward, step.prepared, [*carry, *step.u]), backward
    return Plan(cell, given.reverse, operands, moves, project, step, derivative, *of_tiles, arrays, on_gpu())


def _forward_kernel(plan: Plan, flowing: Leaves, still: Leaves, rows: Rows, keeps: bool) -> tuple[Kernel, Operands]:
    """The kernel of the forward loop and what it is given; u is its streams but for those of the rows."""
    params, xs, carry, initial = plan.join(flowing, still)
    theta, step = jax.tree.leaves(params), plan.step
    n_s = len(step.carry)

    def body(prepared: Leaves, start: Leaves, s: Leaves, streams: Leaves) -> tuple[Leaves, Leaves, Leaves]:
        joined, rows_t = _with_rows(rows, streams)
        u_t = plan.arrays.of_u.cut(joined)
        if keeps:
            s, kept = forward_step(step, plan.derivative, prepared, start, s, u_t, rows_t)
            n_saved = len(kept) - len(plan.derivative.alone) - len(step.seen)
            return s, [], [*plan.arrays.saved.join([*u_t, *kept[:n_saved]]), *kept[n_saved:]]
        entering = entering_carry(rows_t.reset, start, s)
        results = step.loop(*prepared, *entering, *u_t)
        return leaving_carry(rows_t.valid, results[:n_s], entering), [], masked(step, rows_t, results[n_s:])

    u = plan.arrays.of_u.join(plan.project(theta, jax.tree.leaves(xs)))
    start = [] if rows.reset is None else jax.tree.leaves(initial)
    streams = _cut([*u, *jax.tree.leaves(rows)], plan.forward.rows)
    operands = Operands(step.before_the_loop(theta, carry), start, jax.tree.leaves(carry), streams)
    free = [i for i in range(len(u)) if not keeps or i not in plan.arrays.unchanged]
    return grid.trace(body, plan.forward, operands, free), operands


def _value(plan: Plan, flowing: Leaves, still: Leaves, rows: Rows) -> tuple[Array, Leaves]:
    """Outputs (T, B, ...) and the leaves of the last carry, keeping nothing for a derivative."""
    last, _, (ys,) = plan.run(*_forward_kernel(plan, flowing, still, rows, keeps=False), plan.reverse)
    return _joined(ys), last


_scan = jax.custom_vjp(_value, nondiff_argnums=(0,))


@custom_jvp
def _forward(plan: Plan, flowing: Leaves, still: Leaves, rows: Rows) -> tuple[Array, Leaves, Stored]:
    """`_value`, keeping what the backward kernel needs."""
    kernel, operands = _forward_kernel(plan, flowing, still, rows, keeps=True)
    last, _, results = plan.run(kernel, operands, plan.reverse)
    n_saved = len(plan.arrays.saved.groups)
    *entering, y = map(_joined, results[n_saved:])
    return y, last, Stored(results[:n_saved], entering, [operands.streams[i] for i in plan.arrays.unchanged], y)


@custom_jvp
def _backward(plan: Plan, flowing: Leaves, still: Leaves, rows: Rows, kept: Stored, cotangents: Any) -> Leaves:
    """Cotangents of the flowing leaves of params, xs, carry and initial."""
    params, xs, carry, initial = plan.join(flowing, still)
    step, d, reverse = plan.step, plan.derivative, plan.reverse
    ct_y, ct_last = cotangents
    theta, first = jax.tree.leaves(params), jax.tree.leaves(carry)
    u, pull_project = vjp(plan.project, theta, jax.tree.leaves(xs))
    prepared, pull_prepared = vjp(lambda theta: step.before_the_loop(theta, carry), theta)
    fixed = d.fix(*prepared)
    alone = dict(zip(d.alone, kept.entering, strict=True))
    # What the kernel reads is an array in any case; what is read after it alone, XLA makes as a product takes it.
    entering = alone | {
        i: (shifted if i in d.read_s else one_later)(kept.y, first[i], reverse) for i in d.kept_s if i not in alone
    }
    before = [*(entering[i] for i in d.read_s), *(kept.y for _ in d.read_z)]
    n_before, n_s = len(before), len(ct_last)
    n_read = n_before + len(kept.unchanged) + len(kept.saved)
    ct_initial = [] if rows.reset is None else zeros(moving(jax.tree.leaves(initial)))

    def body(fixed: Leaves, _: Leaves, state: Leaves, streams: Leaves) -> tuple[Leaves, Leaves, Leaves]:
        streams, rows_t = _with_rows(rows, streams)
        saved_t, u_t = plan.arrays.read(streams[n_before:n_read])
        read_t, ct_y_t = [*streams[:n_before], *(u_t[i] for i in d.read_u)], streams[n_read:]
        ct_s, restarted, summed, moved = adjoint_step(step, d, fixed, read_t, saved_t, state[:n_s], ct_y_t, rows_t)
        state = [*ct_s, *(a + b for a, b in zip(state[n_s:], restarted or [], strict=True))]
        return state, summed, plan.arrays.moved.join(moved)

    cut = partial(_cut, rows=plan.backward.rows)
    streams = [*cut(before), *kept.unchanged, *kept.saved, *cut([*ct_y, *jax.tree.leaves(rows)])]
    operands = Operands(fixed, [], [*ct_last, *ct_initial], streams)
    kernel = grid.trace(body, plan.backward, operands, range(n_before, n_read))
    state, summed, moved = plan.run(kernel, operands, not reverse)
    # Reshaped before they are cut: what joins the pieces of one array again is then nothing.
    by_row = plan.arrays.moved.cut([_joined(leaf) for leaf in moved])
    by_tile = plan.arrays.moved.cut([leaf.reshape(-1, *leaf.shape[2:]) for leaf in moved])
    ct_s, ct_initial = state[:n_s], state[n_s:] or zeros(moving(jax.tree.leaves(initial)))
    ct_u = [
        jnp.zeros(leaf.shape, leaf.dtype) if at is None else by_row[at]
        for leaf, at in zip(moving(u), d.u_at, strict=True)
    ]
    ct_theta, ct_xs = pull_project(ct_u)
    read_later = plan.folded([*(entering[i] for i in d.kept_s), *(kept.y for _ in d.kept_z)])
    _, pieces = plan.arrays.read([leaf.reshape(-1, *leaf.shape[2:]) for leaf in (*kept.unchanged, *kept.saved)])
    read_later += [pieces[i] for i in d.kept_u]
    summed = [jnp.sum(leaf, axis=0).astype(like.dtype) for leaf, like in zip(summed, d.summed, strict=True)]
    ct_prepared = d.after(fixed, read_later, by_tile, summed, plan.arrays.moved.groups)
    ct_prepared = [
        jnp.zeros(leaf.shape, leaf.dtype) if ct is None else ct.astype(leaf.dtype)
        for ct, leaf in zip(ct_prepared, moving(prepared), strict=True)
    ]
    (also_theta,) = pull_prepared(ct_prepared)
    return [*(a + b for a, b in zip(ct_theta, also_theta, strict=True)), *ct_xs, *ct_s, *ct_initial]


def _cut(leaves: Leaves, rows: int) -> Leaves:
    """Leaves (T, B, ...) in tiles (T, tiles, rows of a tile, ...)."""
    return [leaf.reshape(leaf.shape[0], leaf.shape[1] // rows, rows, *leaf.shape[2:]) for leaf in leaves]


def _joined(tiles: Array) -> Array:
    """Tiles (T, tiles, rows of a tile, ...) as (T, B, ...)."""
    return tiles.reshape(tiles.shape[0], -1, *tiles.shape[3:])


def _with_rows(rows: Rows, streams: Leaves) -> tuple[Leaves, Rows]:
    """The streams of a step without those of its rows, and these."""
    flags = jax.tree.leaves(rows)
    values = streams[: len(streams) - len(flags)]
    return values, jax.tree.unflatten(jax.tree.structure(rows), streams[len(values) :])


def _scan_fwd(plan, flowing, still, rows):
    y, last, kept = _forward(plan, flowing, still, rows)
    return (y, last), (flowing, still, rows, kept)


def _scan_bwd(plan, residuals, cotangents):
    flowing, still, rows, kept = residuals
    ct_y, ct_last = cotangents
    cotangents = moving([ct_y]), moving(ct_last)
    return _backward(plan, flowing, still, rows, kept, cotangents), None, None


_scan.defvjp(_scan_fwd, _scan_bwd)


def _truth(plan: Plan, still: Leaves, rows: Rows, flowing: Leaves) -> tuple[Leaves, Leaves]:
    """What the reference gives: outputs, and the leaves of the last carry."""
    params, xs, carry, initial = plan.join(flowing, still)
    batch_shape = jax.tree.leaves(xs)[0].shape[1:2]
    y, last = reference.scan(
        Arguments(plan.cell, params, xs, carry, initial, rows, batch_shape, plan.reverse, unroll=1)
    )
    return [y], jax.tree.leaves(last)


@_forward.defjvp
def _forward_jvp(plan, primals, tangents):
    flowing, still, rows = primals
    out = _forward(plan, flowing, still, rows)
    (ct_y,), ct_last = jax.jvp(partial(_truth, plan, still, rows), (flowing,), (tangents[0],))[1]
    # No tangent travels through what is kept: `_backward` is differentiated with respect to the operands.
    return out, (ct_y, ct_last, jax.tree.map(zero_from_primal, out[2]))


@_backward.defjvp
def _backward_jvp(plan, primals, tangents):
    flowing, still, rows, kept, cotangents = primals

    def gradients(flowing: Leaves, cotangents: Any) -> Leaves:
        def results(flowing: Leaves) -> tuple[Leaves, Leaves]:
            y, last = _truth(plan, still, rows, flowing)
            return moving(y), moving(last)

        return jax.vjp(results, flowing)[1](cotangents)[0]

    out = _backward(plan, flowing, still, rows, kept, cotangents)
    return out, jax.jvp(gradients, (flowing, cotangents), (tangents[0], tangents[4]))[1]
