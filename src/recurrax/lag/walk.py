"""The walk forwards every instrument starts from, what is differentiated, and the walk of the adjoint back over it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from recurrax.kernels import arguments, scan
from recurrax.kernels.padding import leaving_carry, leaving_output
from recurrax.lag import scaled
from recurrax.lag.scaled import Scaled
from recurrax.typing import Array, Carry, Cell, Params

Loss = Callable[[Array], Array]
"""A function of the outputs (T, *batch, H) to a scalar."""


class Trajectory(NamedTuple):
    """What a walk leaves, time first: x, the carry that entered, u and v of every step, (T, *batch, ...).

    valid: bool (T, *batch), or None where every step is.
    """

    x: Array
    entering: Carry
    u: Any
    v: Any
    valid: Array | None


def check(
    cell: Cell, params: Params, xs: Array, carry: Carry | None, lengths: Array | None = None
) -> tuple[Carry, Array | None]:
    """The carry to start from and which steps are valid, or a ValueError that names the argument at fault."""
    arguments.check_sequence(cell, params, xs)
    check_finite("params", params)
    initial = cell.initial_carry(params, xs.shape[1:-1], arguments.carry_dtype(params, xs))
    if carry is not None:
        arguments.check_carry(carry, initial)
        initial = jax.tree.map(lambda leaf, like: jnp.asarray(leaf, like.dtype), carry, initial)
    return initial, arguments.rows(xs, lengths, None, None).valid


def check_finite(name: str, tree: Any) -> None:
    """Raises a ValueError if a leaf holds an inf or a NaN; traced leaves have no values to look at."""
    for path, leaf in jax.tree.leaves_with_path(tree):
        if isinstance(leaf, Tracer):
            continue
        count = int((~np.isfinite(np.asarray(leaf))).sum())
        if count:
            raise ValueError(f"{name}{jax.tree_util.keystr(path)}: expected finite values, got {count} inf or NaN")


def check_field(carry: Carry, field: str | None) -> None:
    """Raises a ValueError unless `field` is None or names a field of the carry."""
    known = getattr(carry, "_fields", ())
    if field is not None and field not in known:
        raise ValueError(f"field: expected None or one of the carry's {', '.join(known)}, got {field!r}")


def record(cell: Cell, params: Params, xs: Array, carry: Carry, valid: Array | None) -> tuple[Trajectory, Carry]:
    """Walks a cell over xs (T, *batch, D): the trajectory and the last carry."""
    if valid is not None:
        xs = jnp.where(valid[..., None], xs, 0)

    def body(entering: Carry, at_t: tuple[Any, Array | None]) -> tuple[Carry, tuple[Carry, Any]]:
        u, valid_t = at_t
        v = cell.recur(params, entering, u)
        stepped = cell.pointwise(params, entering, u, v)
        return leaving_carry(valid_t, stepped, entering), (entering, v)

    u = cell.project(params, xs)
    last, (entering, v) = jax.lax.scan(body, carry, (u, valid))
    return Trajectory(xs, entering, u, v, valid), last


def stepped(cell: Cell, params: Params, at_t: Trajectory) -> Carry:
    """s_t, formed again from what step t left."""
    return leaving_carry(at_t.valid, cell.pointwise(params, at_t.entering, at_t.u, at_t.v), at_t.entering)


def pull_direct(cell: Cell, params: Params, at_t: Trajectory, adjoint: Carry) -> tuple[Carry, Any]:
    """(∂s_t/∂s_tm1)ᵀ δs_t with v_t held fixed, and δv_t = (∂s_t/∂v_t)ᵀ δs_t; padding is not looked at."""
    _, pull = jax.vjp(
        lambda entering, v: leaving_carry(None, cell.pointwise(params, entering, at_t.u, v), entering),
        at_t.entering,
        at_t.v,
    )
    return pull(adjoint)


def pull_back(cell: Cell, params: Params, at_t: Trajectory, adjoint: Carry) -> Carry:
    """Adjoint of s_tm1 from that of s_t: J_tᵀ δs_t, and δs_t itself in rows where step t is padding.

    The products of `recur` were recorded, so where it is linear in the carry only their transposes are computed here.
    """
    direct, v = pull_direct(cell, params, at_t, adjoint)
    _, pull_recur = jax.vjp(lambda entering: cell.recur(params, entering, at_t.u), at_t.entering)
    return leaving_carry(at_t.valid, jax.tree.map(jnp.add, direct, pull_recur(v)[0]), adjoint)


def seed(cell: Cell, params: Params, carry: Carry, u: Any, cotangent: Array) -> Scaled:
    """The adjoint that ⟨cotangent, output(θ, s_t, u_t)⟩ alone gives s_t."""
    _, pull = jax.vjp(lambda carry: cell.output(params, carry, u), carry)
    (adjoint,) = pull(cotangent)
    return scaled.rescale(adjoint, jnp.zeros(cotangent.shape[:-1], jnp.int32))


def walk_back(
    cell: Cell,
    params: Params,
    walked: Trajectory,
    last: Carry,
    cotangent: Array,
    see: Callable[[Any, Trajectory, Scaled], tuple[Any, Any]],
    seen: Any = None,
    pull: Callable[[Cell, Params, Trajectory, Carry], Carry] = pull_back,
) -> tuple[Scaled, Any, Any]:
    """Walks the adjoint δs_t from the last step to the first, calling `see(seen, step t, δs_t) -> (seen, result)`.

    Args:
        cell: any cell of the contract.
        params: its parameters.
        walked: what `record` left.
        last: the last carry.
        cotangent: (*batch, H) for a loss that reads the last output, (T, *batch, H) for one that reads every output.
        see: what to measure of each adjoint.
        seen: what `see` is given first.
        pull: δs_tm1 from δs_t; `pull_back` takes every path.

    Returns:
        The adjoint of the carry before the first step, the last `seen`, and the results stacked in order of time.
    """
    u_last = last_valid(walked.u, walked.valid)
    every = cotangent.ndim > jax.eval_shape(cell.output, params, last, u_last).ndim
    start = seed(cell, params, last, u_last, jnp.zeros_like(cotangent[0]) if every else cotangent)

    def body(carried: tuple[Scaled, Any], at_t: tuple[Trajectory, Array | None]) -> tuple[tuple[Scaled, Any], Any]:
        (adjoint, seen), (walked_t, cotangent_t) = carried, at_t
        if cotangent_t is not None:
            own_cotangent = leaving_output(walked_t.valid, cotangent_t)
            own = seed(cell, params, stepped(cell, params, walked_t), walked_t.u, own_cotangent)
            adjoint = scaled.add(adjoint, own)
        seen, result = see(seen, walked_t, adjoint)
        pulled = pull(cell, params, walked_t, adjoint.value)
        return (scaled.rescale(pulled, adjoint.exponent), seen), result

    (first, seen), results = jax.lax.scan(body, (start, seen), (walked, cotangent if every else None), reverse=True)
    return first, seen, results


def last_valid(sequence: Any, valid: Array | None) -> Any:
    """The value at each row's last valid step, of leaves (T, *batch, ...); step 0 where a row has none, 0 if T is 0."""
    if any(leaf.shape[0] == 0 for leaf in jax.tree.leaves(sequence)):
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape[1:], leaf.dtype), sequence)
    if valid is None:
        return jax.tree.map(lambda leaf: leaf[-1], sequence)
    steps = jnp.arange(valid.shape[0]).reshape((-1,) + (1,) * (valid.ndim - 1))
    index = jnp.max(jnp.where(valid, steps, 0), axis=0, keepdims=True)  # (1, *batch)

    def at_index(leaf: Array) -> Array:
        return jnp.take_along_axis(leaf, index.reshape(index.shape + (1,) * (leaf.ndim - index.ndim)), axis=0)[0]

    return jax.tree.map(at_index, sequence)


def by_lag(by_step: Array, lengths: Array | None) -> Array:
    """(T, *batch) in order of time to order of lag, counted from each row's last step; NaN where there is no step."""
    if lengths is None:
        return by_step[::-1]
    steps = by_step.shape[0]
    lag = jnp.arange(steps).reshape((-1,) + (1,) * (by_step.ndim - 1))
    step = jnp.clip(lengths, 0, steps)[None] - 1 - lag
    found = jnp.take_along_axis(by_step, jnp.clip(step, 0, max(steps - 1, 0)), axis=0)
    return jnp.where(step >= 0, found, jnp.nan)


def output_cotangent(
    cell: Cell,
    params: Params,
    xs: Array,
    carry: Carry,
    lengths: Array | None,
    cotangent: Array | None,
    loss: Loss | None,
) -> Array:
    """∂L/∂y: (*batch, H) where the loss reads the last output alone, (T, *batch, H) where it may read any.

    Args:
        cell: any cell of the contract.
        params: its parameters.
        xs: (T, *batch, D) inputs.
        carry: the carry before the first step.
        lengths: (*batch,) ints or None.
        cotangent: L = ⟨cotangent, y⟩ of either shape; ones (*batch, H) if this and `loss` are None.
        loss: L as a function of the outputs, instead of a cotangent.

    Raises:
        ValueError: both are given, or the cotangent has neither shape or no floating dtype.
    """
    _, like = jax.eval_shape(cell.step, params, carry, jax.ShapeDtypeStruct(xs.shape[1:], xs.dtype))
    if loss is not None:
        if cotangent is not None:
            raise ValueError("loss: expected either a loss or a cotangent, got both")
        outputs = scan(cell, params, xs, carry, lengths=lengths).outputs
        return jax.grad(loss)(outputs).astype(like.dtype)
    if cotangent is None:
        return jnp.asarray(np.ones(like.shape, like.dtype))
    shapes = like.shape, (xs.shape[0], *like.shape)
    if jnp.shape(cotangent) not in shapes or not jnp.issubdtype(jnp.result_type(cotangent), jnp.floating):
        raise ValueError(
            f"cotangent: expected floating (*batch, H) = {shapes[0]} or (T, *batch, H) = {shapes[1]}, "
            f"got {jnp.result_type(cotangent)} {jnp.shape(cotangent)}"
        )
    return jnp.asarray(cotangent, like.dtype)
