"""Products that a step makes of its input with parameters, made before the loop, whichever method they stand in.

A cell of the library says by `project` what does not need the carry. One written as a single function of a row, or
taken over from another library, has x W within its step; the trace tells, and `project` then ends where the carry is
first needed.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax

from recurrax.kernels import jaxprs, steps
from recurrax.kernels.jaxprs import Leaves
from recurrax.kernels.stepping import one_step
from recurrax.typing import Array, Carry, Cell, Params

Project = Callable[[Params, Any], Any]
"""(params, xs) to u, of a sequence (T, *batch, ...) or of one step."""
Advance = Callable[[Params, Carry, Any], tuple[Carry, Array]]
"""(params, s_tm1, u_t) to (s_t, y_t)."""
_PRODUCTS = {"dot_general", "conv_general_dilated"}


def hoisted(cell: Cell, params: Params, carry: Carry, xs: Any) -> tuple[Project, Advance]:
    """The two parts of a cell's step, what needs no carry and the rest; arguments are arrays or shapes."""
    advance = partial(steps.one_step, cell)
    u = one_step(jax.eval_shape(cell.project, params, xs))
    traced = jaxprs.split_early(jaxprs.trace(advance, params, carry, u))
    theta, s, us = steps.dealt(traced.jaxpr.invars, params, carry, u)
    if not _of_products(traced, s, us):
        return cell.project, advance
    if biased := _biases(traced, s, us):
        traced = jaxprs.split_early(jaxprs.again(traced, biased))
        theta, s, us = steps.dealt(traced.jaxpr.invars, params, carry, u)
    moved = _of_products(traced, s, us)
    results = jaxprs.variables(traced.jaxpr.outvars)
    rest = [eqn for eqn in traced.jaxpr.eqns if moved.isdisjoint(eqn.outvars)]
    read = dict.fromkeys([*results, *jaxprs.variables([atom for eqn in rest for atom in eqn.invars])])
    # In the order in which they are computed, which is that of gates cut from one product.
    found = [var for eqn in traced.jaxpr.eqns for var in eqn.outvars if var in moved and var in read]
    needed = [*found, *(var for var in us if var in read)]
    early = jaxprs.part(traced, [*theta, *us], needed)
    late = jaxprs.part(traced, [*theta, *s, *needed], traced.jaxpr.outvars)
    carry_structure = jax.tree.structure(carry)

    def project(params: Params, xs: Any) -> Leaves:
        theta, leaves = jax.tree.leaves(params), jax.tree.leaves(cell.project(params, xs))
        if leaves[0].ndim == us[0].aval.ndim:
            return early(*theta, *leaves)
        return jax.vmap(early, in_axes=(*[None] * len(theta), *[0] * len(leaves)))(*theta, *leaves)

    def advance_late(params: Params, carry: Carry, u: Leaves) -> tuple[Carry, Array]:
        *stepped, y = late(*jax.tree.leaves(params), *jax.tree.leaves(carry), *u)
        return jax.tree.unflatten(carry_structure, stepped), y

    return project, advance_late


def _of_products(traced: jaxprs.Traced, s: Leaves, us: Leaves) -> set[Any]:
    """What the step computes of its input alone: products with parameters, and what follows from them and is no larger.

    Larger would be the outer product of two of them, whose factors are stored instead.
    """
    of_input = jaxprs.dependents(traced, us) - jaxprs.dependents(traced, s)
    found: set[Any] = set()
    for eqn in traced.jaxpr.eqns:
        reads = [var for var in jaxprs.variables(eqn.invars) if var in of_input]
        if not of_input.issuperset(eqn.outvars):
            continue
        is_product = eqn.primitive.name in _PRODUCTS and len(reads) == 1 and len(eqn.invars) == 2
        follows = not found.isdisjoint(reads) and _size(eqn.outvars) <= _size(reads)
        if is_product or (follows and found.issuperset(reads)):
            found.update(eqn.outvars)
    return found


def _biases(traced: jaxprs.Traced, s: Leaves, us: Leaves) -> list[jaxprs.Replacement]:
    """For sums (x W + h U) + b: (x W + b) + h U, where b is a row of the kernel of x over a whole sequence."""
    of_input, of_carry = jaxprs.dependents(traced, us), jaxprs.dependents(traced, s)
    made, readers = {eqn.outvars[0]: eqn for eqn in traced.jaxpr.eqns}, jaxprs.readers_of(traced)
    found = []
    for outer in traced.jaxpr.eqns:
        for total, bias in (outer.invars, outer.invars[::-1]) if outer.primitive.name == "add" else ():
            inner = None if isinstance(total, jaxprs.Literal) else made.get(total)
            is_constant = not isinstance(bias, jaxprs.Literal) and bias not in of_input | of_carry
            if is_constant and inner is not None and inner.primitive.name == "add" and readers[total] == [outer]:
                for term, other in (inner.invars, inner.invars[::-1]):
                    if term in of_input - of_carry and other in of_carry:
                        found.append(jaxprs.Replacement(outer.outvars, partial(_reordered, term, bias, other)))
    return found


def _reordered(term: Any, bias: Any, other: Any, read: jaxprs.Read) -> list[Array]:
    return [jax.lax.add(jax.lax.add(read(term), read(bias)), read(other))]


def _size(variables: Leaves) -> int:
    return sum(var.aval.size for var in variables)
