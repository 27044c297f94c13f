"""The fast path: `lax.scan` with a backward written for recurrences, for any cell.

Derivation. With s_t the carry, u = project(θ, x), v_t = recur(θ, s_tm1, u_t), s_t = pointwise(θ, s_tm1, u_t, v_t) and
y_t = output(θ, s_t, u_t), the adjoints run backwards through

    δs_t   = (∂y_t/∂s_t)ᵀ δy_t + what step t+1 returns
    δv_t   = (∂s_t/∂v_t)ᵀ δs_t
    δs_tm1 = (∂s_t/∂s_tm1)ᵀ δs_t + (∂v_t/∂s_tm1)ᵀ δv_t        the one product with the carry, transposed

and nothing in that loop needs the gradient of a weight. Those come after it, from the stacked δu and δv:

    δθ = Σ_t (∂v_t/∂θ)ᵀ δv_t + Σ_t (∂u_t/∂θ)ᵀ δu_t + Σ_t (∂s_t/∂θ)ᵀ δs_t

where the first is a single product over T*B rows for each product in a step, the second is `jax.vjp` of `project` on
the whole sequence, and only the third, for elementwise parameters, is summed as the loop goes. Which equation of a cell
goes where is read from its trace, see `steps` (the step) and `residuals` (its derivative).

Second derivatives are those of the same scan differentiated by JAX: `_forward` and `_backward` carry rules of their own
that say so.
"""

import math
from collections.abc import Callable
from functools import cache, partial
from itertools import groupby
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import zero_from_primal

from recurrax.kernels import buffers, early, projection, steps
from recurrax.kernels.arguments import Arguments
from recurrax.kernels.early import Advance, Project
from recurrax.kernels.forward_mode import reverse_mode_only
from recurrax.kernels.jaxprs import Leaves
from recurrax.kernels.padding import Rows, entering_carry, leaving_carry, leaving_output
from recurrax.kernels.residuals import Derivative, is_moving, moving, vjp
from recurrax.kernels.stepping import adjoint_step, forward_step, masked, one_later, one_step, zeros
from recurrax.kernels.steps import Step
from recurrax.typing import Array, Carry, Params, is_below

_FEW_ROWS = 8
"""Fewer rows than that, and a step's projection is bound by reading its kernel."""


class Loop(NamedTuple):
    """How the loop over time runs, and over what; static under `jax.jit`.

    operands: the structure of (params, xs, carry, initial); moves: which of their leaves gradients flow through.
    whole: what needs no carry, of a sequence or a step, see `early`; project: the same in pieces, of a sequence.
    step, derivative: the rest, cut once for the loop in both directions; see `steps` and `residuals`.
    """

    batch_shape: tuple[int, ...]
    reverse: bool
    unroll: int
    operands: Any
    moves: tuple[bool, ...]
    whole: Project
    step: Step
    project: Callable[[Leaves, Leaves], Leaves]
    derivative: Callable[[], Derivative]

    def join(self, flowing: Leaves, still: Leaves) -> tuple[Params, Any, Carry, Carry]:
        """params, xs, carry and initial of the leaves that gradients flow through and of the others."""
        parts = iter(still), iter(flowing)
        return jax.tree.unflatten(self.operands, [next(parts[move]) for move in self.moves])


class Stored(NamedTuple):
    """What the forward loop leaves for the backward one: flat leaves (T, *batch, ...), `saved` as they lie in memory.

    `entering` has those leaves of the carry before each step that are needed and that z does not hold.
    """

    saved: buffers.Groups
    entering: Leaves
    u: Leaves
    z: Leaves


def supports(given: Arguments) -> str | None:
    """Why this implementation cannot run these arguments, or None."""
    effects = ", ".join(sorted(map(str, given.effects)))
    return f"a step has effects, {effects}, which would move with its equations" if effects else None


def scan(given: Arguments) -> tuple[Array, Carry]:
    """Outputs (T, *batch, ...) and the last carry."""
    cell, params, xs, carry, initial, rows, batch_shape, reverse, unroll, _ = given
    leaves, operands = jax.tree.flatten((params, xs, carry, initial))
    moves = tuple(is_moving(leaf) for leaf in leaves)
    whole, advance = early.hoisted(cell, params, carry, xs)
    step = _step(whole, advance, params, carry, xs)
    project = projection.of_sequence(whole, step, params, xs)
    derivative = cache(lambda: Derivative(step, step.u, _alike(rows)))
    loop = Loop(batch_shape, reverse, unroll, operands, moves, whole, step, project, derivative)
    flowing = [reverse_mode_only(leaf) for leaf in moving(leaves)]
    still = [leaf for leaf in leaves if not is_moving(leaf)]
    z, last = _scan(loop, flowing, still, rows)  # pyright: ignore[reportGeneralTypeIssues]
    if step.head is None:
        return z[0], jax.tree.unflatten(jax.tree.structure(carry), last)
    params, _, carry, _ = loop.join(flowing, still)
    prepared = step.before_the_loop(params, carry)
    # What is cheap is computed again for its gradient; z is stored anyway.
    head = jax.checkpoint(step.head, policy=jax.checkpoint_policies.dots_saveable)
    (ys,) = jax.vmap(head, in_axes=(*[None] * len(prepared), *[0] * len(z)))(*prepared, *z)
    return leaving_output(rows.valid, ys), jax.tree.unflatten(jax.tree.structure(carry), last)


def _plain(loop: Loop, flowing: Leaves, still: Leaves, rows: Rows) -> tuple[Leaves, Leaves]:
    """Z (T, *batch, ...), from which the outputs are made, and the last carry, keeping nothing for a derivative."""
    params, xs, carry, initial = loop.join(flowing, still)
    step = loop.step
    # A projection made before the loop would be written and read once for that alone, which pays where a step has few
    # rows: it then reads the whole kernel for them.
    if is_below(math.prod(loop.batch_shape), _FEW_ROWS):
        xs = step.split(jax.tree.leaves(loop.whole(params, xs)))
    else:
        step = steps.cut(partial(_projected, loop.whole, step), params, carry, one_step(xs), head=False)
    prepared, start = step.before_the_loop(params, carry), jax.tree.leaves(initial)

    def body(carry: Leaves, at_t: tuple[Any, Rows]) -> tuple[Leaves, Leaves]:
        x, rows_t = at_t
        entering = entering_carry(rows_t.reset, start, carry)
        results = step.loop(*prepared, *entering, *jax.tree.leaves(x))
        stepped, z = results[: len(carry)], results[len(carry) :]
        return leaving_carry(rows_t.valid, stepped, entering), masked(step, rows_t, z)

    last, z = jax.lax.scan(body, jax.tree.leaves(carry), (xs, rows), reverse=loop.reverse, unroll=loop.unroll)
    return z, last


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _scan(loop: Loop, flowing: Leaves, still: Leaves, rows: Rows) -> tuple[Leaves, Leaves]:
    return _mapped_axis_first(_plain(loop, flowing, still, rows))


def _mapped_axis_first(results: tuple[Leaves, Leaves]) -> tuple[Leaves, Leaves]:
    """The same arrays, in which an axis of `vmap` comes first.

    Workaround: of a `custom_vjp` that is mapped within `jit` and then differentiated, JAX (0.10 to 0.12 at least) looks
    for the mapped axis of what the forward rule gives where the plain function has it, and says nothing. Here loops
    stack it second in one and first in the other. `checkpoint` puts it first, and is nothing once compiled.
    """
    return jax.checkpoint(lambda *leaves: leaves, prevent_cse=False)(*results)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _forward(loop: Loop, flowing: Leaves, still: Leaves, rows: Rows) -> tuple[Leaves, Leaves, Stored]:
    """`_plain`, keeping what the backward loop needs."""
    params, xs, carry, initial = loop.join(flowing, still)
    step, derivative = loop.step, loop.derivative()
    theta, start, leaves = jax.tree.leaves(params), jax.tree.leaves(initial), jax.tree.leaves(carry)
    u = loop.project(theta, jax.tree.leaves(xs))
    prepared = step.before_the_loop(params, carry)
    n_z = len(step.seen)
    # What is saved overwrites u, but for leaves that the derivative reads.
    over = [leaf for i, leaf in enumerate(u) if i not in derivative.kept_u]
    read_only = [u[i] for i in derivative.kept_u]

    def body(carry: Leaves, over_t: Leaves, at_t: tuple[Leaves, Rows]) -> tuple[Leaves, Leaves]:
        read_only_t, rows_t = at_t
        parts = iter(over_t), iter(read_only_t)
        u_t = [next(parts[i in derivative.kept_u]) for i in range(len(u))]
        return forward_step(step, derivative, prepared, start, carry, u_t, rows_t)

    last, results, together = buffers.run(
        body,
        leaves,
        buffers.side_by_side(over),
        (read_only, rows),
        steps=jax.tree.leaves(xs)[0].shape[0],
        reverse=loop.reverse,
        unroll=loop.unroll,
    )
    n_saved = len(results) - n_z - len(derivative.alone)
    entering, z = results[n_saved : len(results) - n_z], results[len(results) - n_z :]
    buffer = {i: number for number, places in enumerate(together) for i in places}
    # Neighbours alone stay together: the backward loop hands the step what is saved in the order in which it was given.
    saved = [[results[i] for i in run] for _, run in groupby(range(n_saved), lambda i: buffer.get(i, -1 - i))]
    return z, last, Stored(saved=saved, entering=entering, u=read_only, z=z)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _backward(loop: Loop, flowing: Leaves, still: Leaves, rows: Rows, kept: Stored, cotangents: Any) -> Leaves:
    """Cotangents of the flowing leaves of params, xs, carry and initial."""
    params, xs, carry, initial = loop.join(flowing, still)
    ct_z, ct_last = cotangents
    theta, inputs = jax.tree.leaves(params), jax.tree.leaves(xs)
    steps = inputs[0].shape[0]
    step, derivative = loop.step, loop.derivative()
    u, pull_project = vjp(loop.project, theta, inputs)
    prepared, pull_prepared = vjp(lambda theta: step.before_the_loop(theta, carry), theta)
    fixed = derivative.fix(*prepared)
    before = _Before(loop, derivative, jax.tree.leaves(carry), kept)
    moved_s = [i for i, leaf in enumerate(step.carry) if is_moving(leaf)]

    # Adjoints overwrite what was saved; where the outputs are made after the loop, those of z too, which are ours.
    n_saved, owned = sum(map(len, kept.saved)), [] if step.head is None else ct_z

    def body(carried: Any, over_t: Leaves, at_t: Any) -> tuple[Any, Leaves]:
        ct_s, ct_initial, summed = carried
        t, ct_z_t, stacked_t, rows_t = at_t
        read_t = before.at(t, stacked_t)
        saved_t, ct_z_t = over_t[:n_saved], ct_z_t or over_t[n_saved:]
        ct_s, restarted, summed_t, moved_t = adjoint_step(
            step, derivative, fixed, read_t, saved_t, ct_s, ct_z_t, rows_t
        )
        ct_initial = ct_initial if restarted is None else _sum(ct_initial, restarted)
        return (ct_s, ct_initial, _sum(summed, summed_t)), moved_t

    (ct_s, ct_initial, summed), moved, together = buffers.run(
        body,
        (ct_last, zeros(moving(jax.tree.leaves(initial))), zeros(derivative.summed)),
        [*kept.saved, *([leaf] for leaf in owned)],
        (jnp.arange(steps), [] if owned else ct_z, before.stacked(), rows),
        steps=steps,
        reverse=not loop.reverse,
        unroll=loop.unroll,
    )
    ct_u = [
        jnp.zeros(leaf.shape, leaf.dtype) if at is None else moved[at]
        for leaf, at in zip(moving(u), derivative.u_at, strict=True)
    ]
    ct_theta, ct_xs = pull_project(ct_u)
    ct_by_leaf = dict(zip(moved_s, ct_s, strict=True))
    ct_prepared = derivative.after(fixed, before.kept(ct_by_leaf), moved, summed, together)
    ct_prepared = [
        jnp.zeros(leaf.shape, leaf.dtype) if ct is None else ct.astype(leaf.dtype)
        for ct, leaf in zip(ct_prepared, moving(prepared), strict=True)
    ]
    (also_theta,) = pull_prepared(ct_prepared)
    return [*_sum(ct_theta, also_theta), *ct_xs, *ct_s, *ct_initial]


class _Before(NamedTuple):
    """The leaves of the carry before each step, of z and of u that a derivative reads."""

    loop: Loop
    derivative: Derivative
    first: Leaves
    stored: Stored

    def stacked(self) -> Leaves:
        """What the backward loop reads at its own step, (T, *batch, ...)."""
        d = self.derivative
        u = dict(zip(d.kept_u, self.stored.u, strict=True))
        entering = [self.stored.entering[d.alone.index(i)] for i in d.read_s if i in d.alone]
        return [*entering, *(self.stored.z[i] for i in d.read_z), *(u[i] for i in d.read_u)]

    def at(self, t: Array, stacked_t: Leaves) -> Leaves:
        """All that the backward loop reads at step t, the carry before it from where the step before it left it."""
        d, values = self.derivative, iter(stacked_t)
        is_first = t == (jax.tree.leaves(self.stored.z)[0].shape[0] - 1 if self.loop.reverse else 0)

        def before(i: int) -> Array:
            z, at = self.stored.z[d.same[i]], t + 1 if self.loop.reverse else t - 1
            if z.shape[0] == 0:  # no step, whose shapes are asked for all the same
                return self.first[i]
            return jnp.where(is_first, self.first[i], jax.lax.dynamic_index_in_dim(z, at, keepdims=False))

        entering = [before(i) if i in d.same else next(values) for i in d.read_s]
        return [*entering, *values]

    def kept(self, ct_s: dict[int, Array]) -> Leaves:
        """What is read after the loop, (T, *batch, ...)."""
        d = self.derivative
        entering = [self._entering(i, ct_s.get(i)) for i in d.kept_s]
        return [*entering, *(self.stored.z[i] for i in d.kept_z), *self.stored.u]

    def _entering(self, i: int, after: Array | None = None) -> Array:
        d = self.derivative
        if i in d.alone:
            return self.stored.entering[d.alone.index(i)]
        first = self.first[i]
        if after is not None:
            # Trick: a clamp that delays an array. The same values, bound to what the loop gives: else the array is laid
            # out before the loop and held through it, for a product after it. Where the loop gives NaN, so does this:
            # the gradient has it either way.
            first = jax.lax.clamp(first, after, first)
        return one_later(self.stored.z[d.same[i]], first, self.loop.reverse)


def _step(project: Project, advance: Advance, params: Params, carry: Carry, xs: Any) -> Step:
    """The cut step for inputs (T, *batch, ...), from the projection on."""
    u = jax.eval_shape(project, params, xs)
    return steps.cut(advance, params, carry, one_step(u), order=projection.order(project, params, xs))


def _projected(project: Project, step: Step, params: Params, carry: Carry, x: Any) -> tuple[Leaves, Leaves]:
    """The loop's part of a step from the inputs on."""
    u = step.split(jax.tree.leaves(project(params, x)))
    results = step.loop(*step.before_the_loop(params, carry), *jax.tree.leaves(carry), *u)
    return results[: len(step.carry)], results[len(step.carry) :]


def _scan_fwd(loop, flowing, still, rows):
    z, last, kept = _forward(loop, flowing, still, rows)
    return _mapped_axis_first((z, last)), (flowing, still, rows, kept)


def _scan_bwd(loop, residuals, cotangents):
    flowing, still, rows, kept = residuals
    ct_z, ct_last = cotangents
    cotangents = [ct for ct in ct_z if is_moving(ct)], [ct for ct in ct_last if is_moving(ct)]
    return _backward(loop, flowing, still, rows, kept, cotangents), None, None


_scan.defvjp(_scan_fwd, _scan_bwd)


@_forward.defjvp
def _forward_jvp(loop, primals, tangents):
    flowing, still, rows = primals
    out = _forward(loop, flowing, still, rows)
    ct_z, ct_last = jax.jvp(lambda flowing: _plain(loop, flowing, still, rows), (flowing,), (tangents[0],))[1]
    # What is kept is a function of the operands, and `_backward` is differentiated with respect to those: no tangent
    # travels through `kept`.
    return out, (ct_z, ct_last, jax.tree.map(zero_from_primal, out[2]))


@_backward.defjvp
def _backward_jvp(loop, primals, tangents):
    flowing, still, rows, kept, cotangents = primals

    def gradients(flowing, cotangents):
        def results(flowing: Leaves) -> tuple[Leaves, Leaves]:
            z, last = _plain(loop, flowing, still, rows)
            return moving(z), moving(last)

        return jax.vjp(results, flowing)[1](cotangents)[0]

    out = _backward(loop, flowing, still, rows, kept, cotangents)
    return out, jax.jvp(gradients, (flowing, cotangents), (tangents[0], tangents[4]))[1]


def _alike(rows: Rows) -> bool:
    """Whether all rows are treated alike."""
    return rows.valid is None and rows.reset is None


def _sum(left: Leaves, right: Leaves) -> Leaves:
    return [a + b for a, b in zip(left, right, strict=True)]
