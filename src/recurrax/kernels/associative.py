"""Time in parallel, for a cell that is linear in its carry and says so by `coefficients`.

Derivation. Two steps of s_t = a_t s_tm1 + b_t are one of the same kind, (a_2 a_1, a_2 b_1 + b_2), so all T states
follow in log T rounds (Blelloch 1990). The states also solve a linear system, (I - A L) s = b, where L shifts by one
step; its transpose is a recurrence of the same kind, back in time:

    δb_t = δs_t + a_{t+1} δb_{t+1},    δa_t = δb_t s_tm1

Transposed and not conjugated, which is JAX's convention for complex numbers. Derivatives of any order, in both modes,
are solutions of these two systems; those of the parameters follow by the cell's own derivative over all steps at once.

Nothing is divided and no product of decays is kept in logarithms: one that underflows to 0 adds nothing, as it should.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from recurrax.kernels.arguments import Arguments, first_step
from recurrax.kernels.padding import Rows, leaving_output, where_rows
from recurrax.typing import Array, Carry, Params


def supports(given: Arguments) -> str | None:
    """Why this implementation cannot run these arguments, or None."""
    if not hasattr(given.cell, "coefficients"):
        name = type(given.cell).__name__
        return f"{name} does not say by a method coefficients(params, u) that it is linear in its carry"
    if given.effects:
        return "a step has effects, which all steps at once would not have"
    if not isinstance(jax.tree.leaves(given.xs)[0].shape[0], int):
        return "jax.export leaves the number of steps open, on which the number of rounds depends"
    return mismatch(given.cell, given.params, given.carry, given.xs)


def mismatch(cell: Any, params: Params, carry: Carry, xs: Any) -> str | None:
    """Where the coefficients of one step do not fit the carry; None where all do."""
    given = jax.eval_shape(lambda params, x: cell.coefficients(params, cell.project(params, x)), params, first_step(xs))
    if not isinstance(given, tuple) or len(given) != 2:
        given = type(given).__name__ + (f" of {len(given)}" if isinstance(given, tuple) else "")
        return f"coefficients gives a {given}; return two carries, (a, b)"
    for name, tree in zip("ab", given, strict=True):
        if jax.tree.structure(tree) != jax.tree.structure(carry):
            return f"coefficients gives {name} of structure {jax.tree.structure(tree)}; return a carry"
        for (path, leaf), like in zip(jax.tree.leaves_with_path(tree), jax.tree.leaves(carry), strict=True):
            where = f"{name}{jax.tree_util.keystr(path)}"
            if not jnp.issubdtype(like.dtype, jnp.inexact):
                return f"carry{where[1:]} is {like.dtype}; a linear carry is floating or complex"
            if jnp.issubdtype(leaf.dtype, jnp.complexfloating) > jnp.issubdtype(like.dtype, jnp.complexfloating):
                return f"coefficients gives {where} in {leaf.dtype} for a carry in {like.dtype}; make that complex too"
            if not _broadcasts(leaf.shape, like.shape):
                return f"coefficients gives {where} of shape {leaf.shape} for a carry of shape {like.shape}"
    return None


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    sizes = zip(reversed(shape), reversed(to), strict=False)
    return len(shape) <= len(to) and all(size in (1, want) for size, want in sizes)


def coefficients(cell: Any, params: Params, u: Any, states: Carry) -> tuple[Carry, Carry]:
    """(a, b) of all steps, a with as many axes as `states`, leaves (T, *batch, ...), and b of their shapes."""

    def sized(a: Array, b: Array, s: Array) -> tuple[Array, Array]:
        dtype = jnp.result_type(a, b, s)
        kind = dtype if jnp.iscomplexobj(a) else jnp.finfo(dtype).dtype
        a = jnp.asarray(a, kind)
        a = a.reshape((1,) * (s.ndim - a.ndim) + a.shape)
        # An axis that all its entries share stays one entry long, but for time, along which the scan cuts.
        return jnp.broadcast_to(a, (s.shape[0], *a.shape[1:])), jnp.broadcast_to(jnp.asarray(b, dtype), s.shape)

    a, b = cell.coefficients(params, u)
    return jax.tree.transpose(jax.tree.structure(a), None, jax.tree.map(sized, a, b, states))


def scan(given: Arguments) -> tuple[Array, Carry]:
    """Outputs (T, *batch, ...) and the last carry."""
    cell, params, xs, carry, initial, rows, *_ = given
    steps = jax.tree.leaves(xs)[0].shape[0]
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((steps, *leaf.shape), leaf.dtype), carry)
    u = cell.project(params, xs)
    # What is elementwise is computed again for its derivative: a time-sized array costs more.
    of_steps = jax.checkpoint(
        lambda params, u: coefficients(cell, params, u, shapes), policy=jax.checkpoint_policies.dots_saveable
    )
    a, b = of_steps(params, u)
    turn = partial(jnp.flip, axis=0) if given.reverse else lambda leaf: leaf
    a, b, rows = jax.tree.map(turn, (a, b, rows))
    states = jax.tree.map(partial(_states, rows), a, b, carry, initial)
    last = jax.tree.map(lambda leaf: leaf[-1], states) if steps else carry
    ys = cell.output(params, jax.tree.map(turn, states), u)
    return leaving_output(given.rows.valid, ys), last


def _states(rows: Rows, a: Array, b: Array, carry: Array, initial: Array) -> Array:
    """One leaf of the carry after each step, (T, *batch, ...)."""
    if rows.valid is not None:  # the carry passes through padding
        a, b = where_rows(rows.valid, (a, b), (jnp.ones_like(a), jnp.zeros_like(b)))
    if rows.reset is not None:  # a step from the initial carry does not see the one before
        b = where_rows(rows.reset, a * initial[None].astype(b.dtype) + b, b)
        a = where_rows(rows.reset, jnp.zeros_like(a), a)
    b = b.at[:1].add(a[:1] * carry[None].astype(b.dtype))
    return _solve(a, b).astype(carry.dtype)


def _solve(a: Array, b: Array) -> Array:
    """s_t = a_t s_tm1 + b_t from s = 0 on, (T, *batch, ...)."""
    nothing = jnp.zeros_like(b[:1])

    def residual(s: Array) -> Array:
        return s - a * jnp.concatenate([nothing, s])[:-1]

    def forward(_: Any, b: Array) -> Array:
        return _parallel(a, b, reverse=False)

    def backward(_: Any, ct: Array) -> Array:
        return _parallel(jnp.concatenate([a[1:], jnp.zeros_like(a[:1])]), ct, reverse=True)

    return jax.lax.custom_linear_solve(residual, b, forward, backward)


def _parallel(a: Array, b: Array, reverse: bool) -> Array:
    def combine(earlier: tuple[Array, Array], later: tuple[Array, Array]) -> tuple[Array, Array]:
        return later[0] * earlier[0], later[0] * earlier[1] + later[1]

    return jax.lax.associative_scan(combine, (a, b), reverse=reverse)[1]
