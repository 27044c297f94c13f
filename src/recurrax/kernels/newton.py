"""Time in parallel for any cell, by Newton's method on the whole trajectory.

Derivation. The states s_1 .. s_T are the root of s_t - F_t(s_tm1), whose derivative is block bidiagonal. A step of
Newton's method linearises all F_t in parallel and solves for the correction,

    d_t = J_t d_tm1 + (F_t(s_tm1) - s_t),    s_t <- s_t + d_t,    J_t = ∂F_t/∂s_tm1

by an associative scan (`blocks.py`). With blocks or the diagonal of J_t in its place the root is the same, and more
steps lead there. It is accepted by its residual |s_t - F_t(s_tm1)|, which tells a trajectory where the last correction
does not; where rounding is not reached within `LIMITS`, as in chaos, the steps are walked one after the other instead.

Padding is J_t = I and a reset J_t = 0, which follow from the step. With b_t the change of F_t by all but s_tm1, the
change of the states is d_t = J_t d_tm1 + b_t, and the adjoint λ_t = g_t + J_{t+1}ᵀ λ_{t+1}: linear recurrences of the
whole J_t, solved by the same iteration with the same fallback. One derivative of all steps at once gives the rest.
Second derivatives follow.

References: Lim et al. (2024), DEER; Gonzalez et al. (2024), quasi-DEER and its trust regions; Danieli et al. (2025),
ParaRNN, blocks for each unit.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from recurrax.kernels import blocks, locality
from recurrax.kernels.all_steps import (
    Operands,
    Problem,
    before,
    derivative,
    jacobians,
    length,
    one_by_one,
    start,
    step,
    stepped,
)
from recurrax.kernels.arguments import Arguments
from recurrax.kernels.columns import as_columns, column_counts, from_columns, parts
from recurrax.kernels.lasting import custom_jvp
from recurrax.kernels.padding import leaving_output
from recurrax.typing import Array, Carry

Kind: TypeAlias = Literal["full", "block", "diagonal"]

LIMITS: dict[Kind, int] = {"full": 20, "block": 60, "diagonal": 60}
"""Most iterations. A full one that converges needs 5 to 8 and the others up to 55, whatever T."""

WARM_UP = 8
"""Steps that the first guess takes."""

_FULL = 32
"""Largest carry whose Jacobians are held whole: T B N² numbers, and N³ operations for each."""

_ROUNDING = 16
"""Units in the last place that a residual may have: those of sums over some hundred terms."""


class Iterate(NamedTuple):
    """x, residual: (T, *batch, N); error: the residual's share of a leaf, and `before`, that of the iterate before."""

    x: Array
    residual: Array
    error: Array
    before: Array
    iterations: Array


def supports(given: Arguments) -> str | None:
    """Why this implementation cannot run these arguments, or None."""
    if given.effects:
        return "a step has effects, which all steps at once would not have"
    if not isinstance(jax.tree.leaves(given.xs)[0].shape[0], int):
        return "jax.export leaves the number of steps open, on which the number of rounds depends"
    for path, leaf in jax.tree.leaves_with_path(given.carry):
        where = f"carry{jax.tree_util.keystr(path)} is {leaf.dtype}"
        if not jnp.issubdtype(leaf.dtype, jnp.inexact):
            return f"{where}; only a floating or complex carry has a Jacobian"
        if jnp.finfo(leaf.dtype).bits < 32:
            return f"{where}; a residual in less than float32 does not tell a trajectory"
    return None


def scan(given: Arguments) -> tuple[Array, Carry]:
    """Outputs (T, *batch, ...) and the last carry."""
    problem, operands = of_arguments(given)
    if length(operands):
        states = _states(problem, *operands)
        last = jax.tree.map(lambda leaf: leaf[-1], states)
    else:
        states, last = start(operands), given.carry
    ys = jax.vmap(given.cell.output, in_axes=(None, 0, 0))(given.params, states, operands.u)
    ys = leaving_output(operands.rows.valid, ys)
    return (jnp.flip(ys, axis=0) if given.reverse else ys), last


def of_arguments(given: Arguments, kind: Kind | None = None) -> tuple[Problem, Operands]:
    """The problem, with Jacobians of that kind; None takes whole ones of a small carry, else blocks."""
    cell, axes = given.cell, 1 + len(given.batch_shape)
    u, rows = cell.project(given.params, given.xs), given.rows
    if given.reverse:
        u, rows = jax.tree.map(partial(jnp.flip, axis=0), (u, rows))
    counts = parts(given.carry, axes - 1)
    kind = kind or ("full" if sum(counts) <= _FULL else "block")
    size = {"full": sum(counts), "block": len(counts) if len(set(counts)) == 1 else 1, "diagonal": 1}[kind]
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), given.params)
    row, u_row = (
        jax.tree.map(lambda leaf, skip=skip: jax.ShapeDtypeStruct(leaf.shape[skip:], leaf.dtype), tree)
        for tree, skip in ((given.carry, axes - 1), (u, axes))
    )
    is_local = locality.is_local(cell, shapes, row, u_row)
    problem = Problem(cell, axes, size, LIMITS[kind], is_local, given.unroll)
    return problem, Operands(given.params, given.carry, given.initial, u, rows)


@custom_jvp
def _states(problem: Problem, *operands: Any) -> Carry:
    """The carry after each step, leaves (T, *batch, ...), in the order in which steps run."""
    given = Operands(*operands)
    found = trajectory(problem, given)
    return jax.lax.cond(
        found.error <= accepted(given.carry),
        lambda: from_columns(found.x, start(given), problem.axes),
        lambda: one_by_one(problem, given),
    )


@_states.defjvp
def _states_jvp(problem: Problem, primals: Any, tangents: Any) -> tuple[Carry, Carry]:
    states = _states(problem, *primals)

    def after(*operands: Any) -> Carry:
        return stepped(problem, Operands(*operands), states)

    _, change = jax.jvp(after, primals, tangents)
    return states, _solve(problem, Operands(*primals), states, change)


def trajectory(problem: Problem, given: Operands) -> Iterate:
    """The last iterate and its residual, accepted or not.

    The first one is where `WARM_UP` steps lead from the entering carry at every step: there the Jacobians of a bounded
    cell are those of its inputs already, where products of those at the entering carry may overflow.
    """
    axes = problem.axes
    first = jax.lax.fori_loop(0, WARM_UP, lambda _, states: stepped(problem, given, states), start(given))

    def residual(x: Array) -> Array:
        return as_columns(stepped(problem, given, from_columns(x, first, axes)), axes) - x

    def correction(x: Array, residual: Array) -> Array:
        return blocks.solve(jacobians(problem, given, from_columns(x, first, axes)), residual)

    return _iterate(problem, given.carry, residual, correction, as_columns(first, axes))


def _solve(problem: Problem, given: Operands, states: Carry, b: Carry) -> Carry:
    """d_t = J_t d_tm1 + b_t from d = 0 on, with the whole Jacobians of the steps between the states."""
    axes, push = problem.axes, derivative(problem, given, states)

    def matvec(d: Array) -> Array:
        return d - push(jnp.concatenate([jnp.zeros_like(d[:1]), d])[:-1])

    def walk(b: Array) -> Array:
        def body(d: Array, at_t: Any) -> tuple[Array, Array]:
            (entering, *at), b_t = at_t
            change = from_columns(d, entering, axes - 1)
            _, moved = jax.jvp(lambda carry: step(problem, given, carry, *at), (entering,), (change,))
            d = as_columns(moved, axes - 1) + b_t
            return d, d

        over = (before(given, states), given.u, given.rows)
        return jax.lax.scan(body, jnp.zeros_like(b[0]), (over, b), unroll=problem.unroll)[1]

    def solve(matvec: Callable[[Array], Array], b: Array, *, adjoint: bool) -> Array:
        found = jacobians(problem, given, states)
        found = blocks.transposed(found) if adjoint else found
        iterate = _iterate(
            problem,
            given.carry,
            residual=lambda x: b - matvec(x),
            correction=lambda _, residual: blocks.solve(found, residual, reverse=adjoint),
            start=jnp.zeros_like(b),
        )
        # The walk is linear, so that its derivative at any point is itself.
        walked = (lambda: jax.vjp(walk, b)[1](b)[0]) if adjoint else (lambda: walk(b))
        return jax.lax.cond(iterate.error <= accepted(given.carry), lambda: iterate.x, walked)

    forwards, backwards = partial(solve, adjoint=False), partial(solve, adjoint=True)
    d = jax.lax.custom_linear_solve(matvec, as_columns(b, axes), forwards, backwards)
    return from_columns(d, states, axes)


def _iterate(
    problem: Problem,
    carry: Carry,
    residual: Callable[[Array], Array],
    correction: Callable[[Array, Array], Array],
    start: Array,
) -> Iterate:
    """Adds correction(x, residual(x)) to x until the error is accepted and no longer falls, or has overflown."""
    edges = np.cumsum(column_counts(carry, problem.axes - 1))[:-1]

    def share(x: Array, residual: Array) -> Array:
        """Of each leaf by itself: a small one next to a large one has digits too."""

        def largest(columns: Array) -> Array:
            return jnp.stack([jnp.max(jnp.abs(leaf), initial=0) for leaf in jnp.split(columns, edges, axis=-1)])

        off, scale = largest(residual), largest(x) + largest(x + residual)
        found = jnp.max(jnp.where(off == 0, 0, off / jnp.where(scale == 0, 1, scale)))
        # XLA's maximum on a CPU may pass over NaN.
        return jnp.where(jnp.all(jnp.isfinite(residual)), found, jnp.nan)

    def unfinished(at: Iterate) -> Array:
        wanted = (at.error > accepted(carry)) | (at.error < at.before)
        return wanted & jnp.isfinite(at.error) & (at.iterations < problem.limit)

    def improve(at: Iterate) -> Iterate:
        x = at.x + correction(at.x, at.residual)
        left = residual(x)
        return Iterate(x, left, share(x, left), at.error, at.iterations + 1)

    left = residual(start)
    error = share(start, left)
    first = Iterate(start, left, error, jnp.full_like(error, jnp.inf), jnp.zeros((), jnp.int32))
    return jax.lax.while_loop(unfinished, improve, first)


def accepted(carry: Carry) -> float:
    """The largest error of a trajectory, as a share of the largest entries of each leaf: rounding."""
    return _ROUNDING * max(float(jnp.finfo(leaf.dtype).eps) for leaf in jax.tree.leaves(carry))
