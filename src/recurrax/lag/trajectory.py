"""The forward walk every instrument starts from, and one step of it differentiated with respect to the carry."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from recurrax.kernels import arguments
from recurrax.kernels.rows import leaving_carry
from recurrax.typing import Array, Carry, Cell, Params


class Trajectory(NamedTuple):
    """What a walk leaves, time first: u and v of every step and the carry that entered it, (T, *batch, ...).

    valid: bool (T, *batch), or None where every step is.
    """

    entering: Carry
    u: Any
    v: Any
    valid: Array | None


def check(
    cell: Cell, params: Params, xs: Array, carry: Carry | None, lengths: Array | None
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
        if not isinstance(leaf, Tracer) and not bool(jnp.isfinite(leaf).all()):
            count = int((~np.isfinite(np.asarray(leaf, np.float64))).sum())
            raise ValueError(f"{name}{jax.tree_util.keystr(path)}: expected finite values, got {count} inf or NaN")


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
    return Trajectory(entering, u, v, valid), last


def pull_back(cell: Cell, params: Params, at_t: Trajectory, adjoint: Carry) -> Carry:
    """Adjoint of s_tm1 from that of s_t: J_tᵀ δs_t, and δs_t itself in rows where step t is padding.

    The products of `recur` were recorded, so where it is linear in the carry only their transposes are computed here.
    """
    _, pull_pointwise = jax.vjp(
        lambda entering, v: leaving_carry(None, cell.pointwise(params, entering, at_t.u, v), entering),
        at_t.entering,
        at_t.v,
    )
    _, pull_recur = jax.vjp(lambda entering: cell.recur(params, entering, at_t.u), at_t.entering)
    direct, v = pull_pointwise(adjoint)
    (through_products,) = pull_recur(v)
    return leaving_carry(at_t.valid, jax.tree.map(jnp.add, direct, through_products), adjoint)
