"""The walk forwards every instrument starts from, what is differentiated, and the walk of the adjoint back over it.

The state s_t is what can be differentiated of the carry, its floating and complex leaves. Integer, bool and key leaves
go along, have no gradient and no entry in any result: None stands in their place.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from recurrax.kernels.padding import in_dtype_of, where_rows
from recurrax.lag import scaled
from recurrax.lag.scaled import ScaledVector
from recurrax.typing import Array, Carry, Cell, Params

Tree = TypeVar("Tree")
Loss = Callable[[Array], Array]
"""A function of the outputs (T, *batch, H) to a scalar."""
Read = Callable[[Any, "Trajectory", ScaledVector, Any], tuple[Any, Any]]
"""(memo, what step t used, δs_t, ∂L/∂y_t or None) to (memo, reading)."""


class Trajectory(NamedTuple):
    """What the steps of a walk used, time first: trees of leaves (T, *batch, ...).

    x: the inputs, zeros where they are padding.
    before: the carry before the step.
    u, v: the step's projection and its products.
    valid: bool (T, *batch), or None where every step is.
    """

    x: Any
    before: Carry
    u: Any
    v: Any
    valid: Array | None


def record(cell: Cell, params: Params, xs: Any, carry: Carry, valid: Array | None) -> tuple[Trajectory, Carry]:
    """Walks a cell over xs, leaves (T, *batch, ...): the trajectory and the carry after the last step."""
    # Before anything is computed with it: a `where` on a result lets NaN in padding through into the gradient.
    xs = zero_padding(valid, xs)

    def body(before: Carry, at_t: tuple[Any, Array | None]) -> tuple[Carry, tuple[Carry, Any]]:
        u, valid_t = at_t
        v = cell.recur(params, before, u)
        return where_valid(valid_t, cell.pointwise(params, before, u, v), before), (before, v)

    u = cell.project(params, xs)  # (T, *batch, ...), one product for the whole sequence
    last, (before, v) = jax.lax.scan(body, carry, (u, valid))
    return Trajectory(xs, before, u, v, valid), last


def carries_after(trajectory: Trajectory, last: Carry) -> Carry:
    """The carry after every step, (T, *batch, ...): the one before the next step."""
    return jax.tree.map(lambda before, last: jnp.concatenate([before[1:], last[None]]), trajectory.before, last)


def carry_after(cell: Cell, params: Params, at_t: Trajectory) -> Carry:
    """The carry after step t, computed again from what the step used."""
    return where_valid(at_t.valid, cell.pointwise(params, at_t.before, at_t.u, at_t.v), at_t.before)


def where_valid(valid: Array | None, new: Tree, old: Tree) -> Tree:
    """`new` in the rows (*batch,) that are valid, `old` in the others, leaf by leaf in the dtype of `old`."""
    if valid is None:
        return jax.tree.map(lambda new, old: in_dtype_of(old, new), new, old)
    return where_rows(valid, new, old)


def zero_padding(valid: Array | None, tree: Tree) -> Tree:
    """Zeros where a row is padding; keys stay."""

    def zeros(leaf: Array) -> Array:
        return leaf if jnp.issubdtype(leaf.dtype, jax.dtypes.extended) else jnp.zeros_like(leaf)

    return tree if valid is None else where_valid(valid, tree, jax.tree.map(zeros, tree))


def differentiable(tree: Any) -> Any:
    """The floating and complex leaves of a tree, None in place of every other."""
    return jax.tree.map(lambda leaf: leaf if jnp.issubdtype(leaf.dtype, jnp.inexact) else None, tree)


def merge(part: Any, whole: Any) -> Any:
    """`whole` with the leaves of `part`, which is `differentiable` of a tree like it."""
    return jax.tree.map(lambda leaf, old: old if leaf is None else leaf, part, whole, is_leaf=lambda leaf: leaf is None)


def vjp(f: Callable[..., Any], *arguments: Any) -> Callable[[Any], tuple[Any, ...]]:
    """The pull of `jax.vjp` for f between trees of any dtypes: cotangents are `differentiable` trees."""

    # JAX itself would want float0 cotangents of integer leaves, which no arithmetic takes.
    def of_parts(*parts: Any) -> Any:
        return differentiable(f(*map(merge, parts, arguments)))

    return jax.vjp(of_parts, *map(differentiable, arguments))[1]


def pointwise_adjoints(cell: Cell, params: Params, at_t: Trajectory, adjoint: Carry) -> tuple[Carry, Any]:
    """(∂s_t/∂s_tm1)ᵀ δs_t with v_t held fixed, and δv_t = (∂s_t/∂v_t)ᵀ δs_t, as if every row were valid."""
    pull = vjp(
        lambda before, v: where_valid(None, cell.pointwise(params, before, at_t.u, v), before), at_t.before, at_t.v
    )
    return pull(adjoint)


def adjoint_before(cell: Cell, params: Params, at_t: Trajectory, adjoint: Carry) -> Carry:
    """δs_tm1 = J_tᵀ δs_t, and δs_t itself in rows where step t is padding.

    The products of `recur` were recorded, so where it is linear in the carry only their transposes are computed here.
    """
    direct, v = pointwise_adjoints(cell, params, at_t, adjoint)
    (through_v,) = vjp(lambda before: cell.recur(params, before, at_t.u), at_t.before)(v)
    return where_valid(at_t.valid, jax.tree.map(jnp.add, direct, through_v), adjoint)


def direct_adjoint_before(cell: Cell, params: Params, at_t: Trajectory, adjoint: Carry) -> Carry:
    """The same without the paths through v_t, the products with the carry."""
    return where_valid(at_t.valid, pointwise_adjoints(cell, params, at_t, adjoint)[0], adjoint)


def output_adjoint(cell: Cell, params: Params, carry: Carry, u: Any, cotangent: Array, batch_ndim: int) -> ScaledVector:
    """The adjoint that ⟨cotangent, output(θ, s_t, u_t)⟩ alone gives s_t."""
    # With u_t held fixed: what the output reads of the input says nothing about the state.
    (adjoint,) = vjp(lambda carry: cell.output(params, carry, u), carry)(cotangent)
    return scaled.rescale(adjoint, jnp.zeros(cotangent.shape[:batch_ndim], jnp.int32))


def walk_back(
    cell: Cell,
    params: Params,
    trajectory: Trajectory,
    last: Carry,
    cotangent: Array,
    batch_ndim: int,
    read: Read,
    memo: Any = None,
    before: Callable[[Cell, Params, Trajectory, Carry], Carry] = adjoint_before,
) -> tuple[ScaledVector, Any, Any]:
    """Walks the adjoint δs_t from the last step to the first and reads it at every step.

    Args:
        cell: any cell of the contract.
        params: its parameters.
        trajectory: what `record` left.
        last: the last carry.
        cotangent: (*batch, H) for a loss that reads the last output, (T, *batch, H) for one that reads every output.
        batch_ndim: how many axes *batch is.
        read: what to measure of each adjoint, and what to hand on to the step before it.
        memo: what `read` is given first.
        before: δs_tm1 from δs_t; `adjoint_before` takes every path.

    Returns:
        The adjoint of the carry before the first step, the last memo, and the readings stacked in order of time.
    """
    u_last = last_valid(trajectory.u, trajectory.valid)
    # A loss of the last output needs the output's adjoint once, before the loop.
    every = cotangent.ndim > jax.eval_shape(cell.output, params, last, u_last).ndim
    own = jnp.zeros_like(cotangent[0]) if every else cotangent
    start = output_adjoint(cell, params, last, u_last, own, batch_ndim)

    def body(carried: tuple[ScaledVector, Any], at_t: tuple[Trajectory, Array | None]) -> tuple[Any, Any]:
        (adjoint, memo), (used, cotangent_t) = carried, at_t
        if cotangent_t is not None:
            cotangent_t = zero_padding(used.valid, cotangent_t)
            after = carry_after(cell, params, used)
            adjoint = scaled.add(adjoint, output_adjoint(cell, params, after, used.u, cotangent_t, batch_ndim))
        memo, reading = read(memo, used, adjoint, cotangent_t)
        # The exponent is an integer beside the loop's floats: no lag underflows, and none of them is rounded for it.
        return (scaled.rescale(before(cell, params, used, adjoint.value), adjoint.exponent), memo), reading

    carried, readings = jax.lax.scan(body, (start, memo), (trajectory, cotangent if every else None), reverse=True)
    return *carried, readings


def last_valid(sequence: Any, valid: Array | None) -> Any:
    """The value at each row's last valid step, of leaves (T, *batch, ...); step 0 where a row has none, 0 if T is 0."""
    if any(leaf.shape[0] == 0 for leaf in jax.tree.leaves(sequence)):
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape[1:], leaf.dtype), sequence)
    if valid is None:
        return jax.tree.map(lambda leaf: leaf[-1], sequence)
    index = _last_step(valid)[None]  # (1, *batch)

    def at_index(leaf: Array) -> Array:
        return jnp.take_along_axis(leaf, index.reshape(index.shape + (1,) * (leaf.ndim - index.ndim)), axis=0)[0]

    return jax.tree.map(at_index, sequence)


def at_every_step(cotangent: Array, steps: int, valid: Array | None) -> Array:
    """(T, *batch, H) from a cotangent (*batch, H) of the last output: zeros but at each row's last valid step."""
    step = jnp.arange(steps).reshape((-1,) + (1,) * (0 if valid is None else valid.ndim - 1))
    is_last = step == (steps - 1 if valid is None else _last_step(valid)[None])  # (T, *batch) or (T,)
    return jnp.where(is_last.reshape(is_last.shape + (1,) * (cotangent.ndim + 1 - is_last.ndim)), cotangent[None], 0)


def _last_step(valid: Array) -> Array:
    """Each row's last valid step (*batch), 0 where it has none."""
    steps = jnp.arange(valid.shape[0]).reshape((-1,) + (1,) * (valid.ndim - 1))
    return jnp.max(jnp.where(valid, steps, 0), axis=0)


def by_lag(by_step: Array, lengths: Array | None) -> Array:
    """(T, *batch) in order of time to order of lag, counted from each row's last step; NaN where there is no step."""
    if lengths is None:
        return by_step[::-1]
    steps = by_step.shape[0]
    lag = jnp.arange(steps).reshape((-1,) + (1,) * (by_step.ndim - 1))
    step = jnp.clip(lengths, 0, steps)[None] - 1 - lag  # (T, *batch)
    # Steps before the first are clipped to it and made NaN below.
    found = jnp.take_along_axis(by_step, jnp.clip(step, 0, max(steps - 1, 0)), axis=0)
    return jnp.where(step >= 0, found, jnp.nan)
