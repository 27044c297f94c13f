"""All steps of a trajectory at once: each from the state before it, its derivative, and the Jacobians of all."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from recurrax.kernels import blocks, locality
from recurrax.kernels.columns import as_columns, from_columns
from recurrax.kernels.padding import Rows, entering_carry, leaving_carry, where_rows
from recurrax.typing import Array, Carry, Cell, Params


class Problem(NamedTuple):
    """What is static: axes, how many (T, *batch) are; size, P of the blocks of J; is_local, see `locality`."""

    cell: Cell
    axes: int
    size: int
    limit: int
    is_local: bool
    unroll: int


class Operands(NamedTuple):
    """carry, initial: leaves (*batch, ...); u: leaves (T, *batch, ...) and rows, in the order in which steps run."""

    params: Params
    carry: Carry
    initial: Carry
    u: Any
    rows: Rows


def start(given: Operands) -> Carry:
    """The entering carry at every step, leaves (T, *batch, ...)."""
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[None], (length(given), *leaf.shape)), given.carry)


def length(given: Operands) -> int:
    """T."""
    return jax.tree.leaves(given.u)[0].shape[0]


def step(problem: Problem, given: Operands, carry: Carry, u: Any, rows: Rows) -> Carry:
    """F_t(s_tm1) of one step, its padding and resets included."""
    entering, params = entering_carry(rows.reset, given.initial, carry), given.params
    v = problem.cell.recur(params, entering, u)
    return leaving_carry(rows.valid, problem.cell.pointwise(params, entering, u, v), entering)


def one_by_one(problem: Problem, given: Operands) -> Carry:
    """The states after each step, each from the one before."""

    def body(carry: Carry, at_t: tuple[Any, Rows]) -> tuple[Carry, Carry]:
        carry = step(problem, given, carry, *at_t)
        return carry, carry

    return jax.lax.scan(body, given.carry, (given.u, given.rows), unroll=problem.unroll)[1]


def stepped(problem: Problem, given: Operands, states: Carry) -> Carry:
    """F_t(s_tm1) of all steps at once, from any states s_t."""
    return _from(problem, given, before(given, states))


def derivative(problem: Problem, given: Operands, states: Carry) -> Callable[[Array], Array]:
    """The map of columns d_tm1 (T, *batch, N) to J_t d_tm1, all steps at once."""
    entering = before(given, states)
    _, push = jax.linearize(partial(_from, problem, given), entering)
    return lambda d: as_columns(push(from_columns(d, entering, problem.axes)), problem.axes)


def before(given: Operands, states: Carry) -> Carry:
    """s_tm1 of every step."""
    return jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest])[:-1], given.carry, states)


def _from(problem: Problem, given: Operands, entering: Carry) -> Carry:
    return jax.vmap(partial(step, problem, given))(entering, given.u, given.rows)


def jacobians(problem: Problem, given: Operands, states: Carry) -> Array:
    """The diagonal blocks of J_t of all steps, (T, *batch, N/P, P, P)."""
    if not problem.is_local:
        return blocks.of_map(derivative(problem, given, states), as_columns(states, problem.axes), problem.size)
    valid, reset = given.rows
    initial = jax.tree.map(lambda leaf: leaf[None], given.initial)
    entering = entering_carry(reset, initial, before(given, states))
    found = locality.jacobians(problem.cell, given.params, entering, given.u, problem.axes, problem.size)
    if valid is not None:  # the carry passes through padding
        eye = jnp.eye(problem.size, dtype=found.dtype)
        eye = eye.reshape((1,) * (found.ndim - 2) + eye.shape)
        found = where_rows(valid, found, jnp.broadcast_to(eye, found.shape))
    return found if reset is None else where_rows(reset, jnp.zeros_like(found), found)
