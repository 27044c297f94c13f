"""One step of a cell in three parts: before the loop over time, in it, and after it.

The step is traced once, and each of its equations goes where its inputs are:

- what depends on the parameters alone (a masked kernel, a matrix exponential) is prepared before the loop;
- a matrix product that only the output waits for (a projection of the state) is done after it, on all steps at once,
  with all that follows from it;
- the rest is the loop's.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from recurrax.kernels import jaxprs
from recurrax.kernels.jaxprs import Leaves
from recurrax.kernels.padding import leaving_carry
from recurrax.typing import Array, Carry, Cell, Params

_LEFT_TO_THE_LOOP = {"broadcast_in_dim", "iota", "transpose", "reshape", "squeeze"}
"""Primitives that only rearrange: a product reads its kernel transposed at no cost, but not a transposed copy."""


class Step(NamedTuple):
    """A cut step, as functions of flat leaves.

    prepare: θ to P, all that the other two need of the parameters.
    loop: (*P, *s_tm1, *u_t) to (*s_t, *z_t).
    head: (*P, *z_t) to y_t; None where z_t is y_t itself.
    prepared, carry, seen: shapes of P, s and z.
    """

    prepare: Callable[[Leaves], Leaves]
    loop: Callable[..., Leaves]
    head: Callable[..., Leaves] | None
    prepared: Leaves
    carry: Leaves
    seen: Leaves


def one_step(cell: Cell, params: Params, carry: Carry, u: Any) -> tuple[Carry, Array]:
    """(s_t, y_t) from s_tm1 and u_t; s_t in the dtypes of s_tm1."""
    stepped = leaving_carry(None, cell.pointwise(params, carry, u, cell.recur(params, carry, u)), carry)
    return stepped, cell.output(params, stepped, u)


def cut(f: Callable[..., tuple[Carry, Array]], params: Params, carry: Carry, u: Any) -> Step:
    """Cuts f(params, carry, u) -> (carry, y); arguments are arrays or shapes."""
    traced = jaxprs.trace(f, params, carry, u)
    theta, s, us = _groups(traced.jaxpr.invars, params, carry, u)
    *stepped, y = traced.jaxpr.outvars
    varying = jaxprs.dependents(traced, [*s, *us])
    after = _after_the_loop(traced, stepped, varying)
    is_head = not isinstance(y, jaxprs.Literal) and y in after
    seen = _read_from_outside(traced, after, varying) if is_head else [y]
    constant = jaxprs.constants(traced, varying, sunk=_LEFT_TO_THE_LOOP)
    prepared = jaxprs.reached(traced, traced.jaxpr.outvars, constant)
    return Step(
        prepare=jaxprs.part(traced, theta, prepared),
        loop=jaxprs.part(traced, [*prepared, *s, *us], [*stepped, *seen]),
        head=jaxprs.part(traced, [*prepared, *seen], [y]) if is_head else None,
        prepared=shapes(prepared),
        carry=shapes(s),
        seen=shapes(seen),
    )


def shapes(atoms: Leaves) -> Leaves:
    """Shapes and dtypes of traced values."""
    return [jax.ShapeDtypeStruct(atom.aval.shape, atom.aval.dtype) for atom in atoms]


def _groups(invars: Leaves, *args: Any) -> list[Leaves]:
    waiting = iter(invars)
    return [[next(waiting) for _ in jax.tree.leaves(arg)] for arg in args]


def _after_the_loop(traced: jaxprs.Traced, stepped: Leaves, varying: set[Any]) -> set[Any]:
    """What a heavy equation that no next state waits for computes, and all that follows from that."""
    awaited, found = jaxprs.contributors(traced, stepped), set()
    for eqn in traced.jaxpr.eqns:
        if awaited.isdisjoint(eqn.outvars) and not varying.isdisjoint(eqn.outvars):
            reads = jaxprs.variables(eqn.invars)
            if jaxprs.is_heavy(eqn) or not found.isdisjoint(reads):
                found.update(eqn.outvars)
    return found


def _read_from_outside(traced: jaxprs.Traced, inside: set[Any], varying: set[Any]) -> Leaves:
    reads = [atom for eqn in traced.jaxpr.eqns if not inside.isdisjoint(eqn.outvars) for atom in eqn.invars]
    return [var for var in jaxprs.variables(reads) if var in varying and var not in inside]
