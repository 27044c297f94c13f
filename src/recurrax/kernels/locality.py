"""Cheap Jacobians of a step, from the cut of the contract.

Where `pointwise` is local to its units, each number of a unit following from that unit's numbers of the carry and of v,
and `recur` is affine in the carry with coefficients of the parameters alone, v = s U + const,

    J_t = D_t + Σ_g diag(E_{g,t}) U_gᵀ

with D (P x P for each unit) and E_g from P + G pushes through `pointwise`, which is elementwise, and U from one
Jacobian of `recur` for the whole sequence. An LSTM has P = 2 (h, c) and G = 4.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recurrax.kernels import jaxprs
from recurrax.kernels.columns import as_columns, from_columns, parts
from recurrax.keys import is_key
from recurrax.typing import Array, Carry, Cell, Params

_ROUNDING = 1e-3
"""Relative error to which the probe in float32 knows that a function is local."""


def is_local(cell: Cell, params: Params, carry: Carry, u: Any) -> bool:
    """Whether the cheap Jacobians are those of this cell: one trace, and one push through random numbers.

    A wrong yes costs iterations and no digit: what is returned is accepted by its residual alone.

    Args:
        cell: any cell of the contract.
        params: its parameters, or their shapes.
        carry: shapes of the carry of one row (...).
        u: shapes of the projection of one row and step (...).
    """
    widths = parts(carry, leading=0)
    if len(set(widths)) != 1 or any(is_key(leaf) for leaf in jax.tree.leaves((params, u))):
        return False
    try:
        v = jax.eval_shape(cell.recur, params, carry, u)
        fits = all(width % widths[0] == 0 for width in parts(v, leading=0))
        return fits and _is_affine(cell, params, carry, u) and _is_unit_local(cell, params, carry, u, v)
    except Exception:  # a cell that does not take a single row; its Jacobians are found without its cut
        return False


def _is_affine(cell: Cell, params: Params, carry: Carry, u: Any) -> bool:
    """Whether the derivative of v by the carry depends neither on the carry nor on u."""

    def pushed(params: Params, at: tuple[Carry, Any], tangent: Carry) -> Any:
        return jax.jvp(lambda carry: cell.recur(params, carry, at[1]), (at[0],), (tangent,))[1]

    traced = jaxprs.trace(pushed, params, (carry, u), carry)
    skipped, count = len(jax.tree.leaves(params)), len(jax.tree.leaves((carry, u)))
    depends = jaxprs.dependents(traced, traced.jaxpr.invars[skipped : skipped + count])
    return depends.isdisjoint(jaxprs.variables(traced.jaxpr.outvars))


def _is_unit_local(cell: Cell, params: Params, carry: Carry, u: Any, v: Any) -> bool:
    noise = np.random.default_rng(0)

    def drawn(leaf: Any) -> np.ndarray:
        scale = 1.0 if jnp.issubdtype(leaf.dtype, jnp.inexact) else 0.0
        return np.asarray(scale * noise.standard_normal(leaf.shape), leaf.dtype)

    def error(params: Params, carry: Carry, u: Any, v: Any) -> Array:
        push, width = _push(lambda carry, v: cell.pointwise(params, carry, u, v), carry, v, leading=0)
        units = parts(carry, leading=0)[0]
        tangent = jnp.asarray(noise.standard_normal(width), jnp.float32)
        found = _of_units(push, (), width, units)  # (P + G, P, H)
        expected = (found * tangent.reshape(-1, 1, units)).sum(axis=0).reshape(-1)
        return jnp.max(jnp.abs(push(tangent) - expected)) / jnp.max(jnp.abs(expected))

    with jax.ensure_compile_time_eval():
        return bool(jax.jit(error)(*jax.tree.map(drawn, (params, carry, u, v))) < _ROUNDING)


def _push(
    pointwise: Callable[[Carry, Any], Carry], carry: Carry, v: Any, leading: int
) -> tuple[Callable[[Array], Array], int]:
    """The derivative of the next carry by carry and v side by side, as a map of columns, and how many those are."""
    _, push = jax.linearize(pointwise, carry, v)
    both = (carry, v)

    def of_columns(tangent: Array) -> Array:
        return as_columns(push(*from_columns(tangent, both, leading)), leading)

    return of_columns, sum(parts(both, leading))


def _of_units(push: Callable[[Array], Array], rows: tuple[int, ...], width: int, units: int) -> Array:
    """(P + G, *rows, P, H): the derivatives of a unit's P numbers by its P of the carry and its G of v."""

    def by_part(part: Array) -> Array:
        ones = (jnp.arange(width) // units == part).astype(jnp.float32)
        pushed = push(jnp.broadcast_to(ones.reshape((1,) * len(rows) + (width,)), (*rows, width)))
        return pushed.reshape(*rows, pushed.shape[-1] // units, units)

    return jax.vmap(by_part)(jnp.arange(width // units))


def jacobians(cell: Cell, params: Params, before: Carry, u: Any, leading: int, size: int) -> Array:
    """The diagonal blocks (T, *batch, N/P, P, P) of the Jacobians of all steps.

    Args:
        cell: a cell that `is_local`.
        params: its parameters.
        before: the carry before each step, leaves (T, *batch, ...).
        u: the projection of each step, leaves (T, *batch, ...).
        leading: how many axes (T, *batch) are.
        size: P of the blocks: all N, as many as the carry has parts, or 1.
    """
    v = jax.vmap(cell.recur, in_axes=(None, 0, 0))(params, before, u)
    pointwise = jax.vmap(cell.pointwise, in_axes=(None, 0, 0, 0))
    push, width = _push(lambda before, v: pointwise(params, before, u, v), before, v, leading)
    counts = parts(before, leading)
    rows, units = jax.tree.leaves(before)[0].shape[:leading], counts[0]
    local = _of_units(push, rows, width, units)
    of_carry = jnp.moveaxis(local[: len(counts)], 0, -1)  # (T, *batch, P, H, P)
    of_v = local[len(counts) :]  # (G, T, *batch, P, H)
    recurrent = _recurrent(cell, params, before, u, leading).reshape(-1, units, len(counts), units)  # U (G, H, P, H)
    if size == sum(counts):
        own = jnp.einsum("...phq,hk->...phqk", of_carry, jnp.eye(units, dtype=of_carry.dtype))
        whole = own + jnp.einsum("g...ph,ghqk->...phqk", of_v, recurrent, precision="highest")
        return whole.reshape(*rows, 1, size, size)
    own = jnp.diagonal(recurrent, axis1=1, axis2=3)  # (G, P, H)
    blocks = of_carry + jnp.einsum("g...ph,gqh->...phq", of_v, own, precision="highest")
    if size == 1:
        return jnp.diagonal(blocks, axis1=-3, axis2=-1).swapaxes(-1, -2).reshape(*rows, sum(counts), 1, 1)
    return jnp.swapaxes(blocks, -2, -3)


def _recurrent(cell: Cell, params: Params, before: Carry, u: Any, leading: int) -> Array:
    """∂v/∂s (G H, N) of one row; of no step or row in particular, as `recur` is affine."""
    carry, u = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape[leading:], leaf.dtype), (before, u))

    def recur(state: Array) -> Array:
        v = cell.recur(params, from_columns(state, carry, leading=0), u)
        return as_columns(v, leading=0) if jax.tree.leaves(v) else state[:0]

    return jax.jacfwd(recur)(as_columns(carry, leading=0))
