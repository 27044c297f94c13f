"""Gradients of what every step shares: Σ_t of what each step's derivative gives, as far as possible after the loop.

A matrix product whose factors both change with time, a_tᵀ b_t, is one product over all steps at once, Σ_t a_tᵀ b_t, if
what follows it is linear: the sum can be taken first. Its factors are then stacked by the backward loop, unless they
follow from what is stored anyway; where one is a row of pieces (the adjoints of an LSTM's gates, say), the pieces are.
Sums over rows of what is stacked anyway (the gradient of a bias) wait as well. All other terms are summed step by step.
"""

import math
from typing import Any, NamedTuple

import jax

from recurrax.kernels import jaxprs
from recurrax.kernels.jaxprs import Leaves, Literal, Traced, Var
from recurrax.typing import Array

_LINEAR = {
    *("add_any", "concatenate", "transpose", "reshape", "squeeze", "expand_dims", "split", "slice", "neg", "copy"),
    *("convert_element_type", "reduce_sum", "broadcast_in_dim", "real", "imag", "rev", "pad"),
}
"""Primitives that are linear in all of their operands together."""
_BILINEAR = {"mul", "dot_general"}
"""Primitives that are linear in each operand alone."""


class Plan(NamedTuple):
    """Which equations wait for the end of the loop, and what they wait for.

    products: `dot_general` equations; sums: `reduce_sum` equations.
    stacked: variables of one step that the loop stacks for them.
    summed: variables of one step that the loop sums.
    """

    products: list[Any]
    sums: list[Any]
    stacked: list[Var]
    summed: list[Var]


def plan(
    traced: Traced,
    gradients: Leaves,
    flowing: list[Var],
    taken: set[Var],
    varying: set[Var],
    adjoints: set[Var],
    stored: set[Var],
) -> Plan:
    """Finds what can wait.

    Args:
        traced: a step and its derivative.
        gradients: of the shared values; variables or None.
        flowing: the adjoints that the loop computes in any case.
        taken: those of them that it stacks in any case.
        varying: all variables that change with time.
        adjoints: those that depend on cotangents.
        stored: those of the forward loop that are at hand after the loops, or follow from such without heavy work.
    """
    alone = jaxprs.contributors(traced, [atom for atom in gradients if atom is not None]) & adjoints
    alone -= jaxprs.contributors(traced, flowing)
    own = [eqn for eqn in traced.jaxpr.eqns if not alone.isdisjoint(eqn.outvars)]
    linear = _summed_later(own, varying)
    products = [
        eqn
        for eqn in own
        if eqn.primitive.name == "dot_general" and linear[eqn.outvars[0]] and varying.issuperset(eqn.invars)
    ]
    stacked = dict.fromkeys(
        piece
        for eqn in products
        for side in (0, 1)
        for piece in factor(traced, eqn, side, taken).pieces
        if piece not in stored
    )
    taken = taken | set(stacked)
    sums = [
        eqn for eqn in own if eqn.primitive.name == "reduce_sum" and linear[eqn.outvars[0]] and eqn.invars[0] in taken
    ]
    late = {eqn.outvars[0] for eqn in (*products, *sums)}
    for eqn in own:
        if eqn.outvars[0] not in late and not late.isdisjoint(jaxprs.variables(eqn.invars)):
            late.update(eqn.outvars)
    beside = [
        atom
        for eqn in own
        if eqn not in products and eqn not in sums and not late.isdisjoint(eqn.outvars)
        for atom in eqn.invars
    ]
    wanted = [*beside, *(atom for atom in gradients if atom is not None)]
    summed = [var for var in jaxprs.variables(wanted) if var in varying and var not in late]
    return Plan(products, sums, list(stacked), summed)


class Factor(NamedTuple):
    """A factor of a product: its pieces, variables of one step, and the axis that joins them; None for a single one."""

    pieces: list[Var]
    axis: int | None


def factor(traced: Traced, product: Any, side: int, taken: set[Var]) -> Factor:
    """A product's factor, in pieces where it is joined along a free axis from adjoints that are stacked anyway."""
    whole = product.invars[side]
    for eqn in traced.jaxpr.eqns:
        if eqn.primitive.name == "concatenate" and whole in eqn.outvars:
            axis, parts = eqn.params["dimension"], eqn.invars
            is_free = all(axis not in axes[side] for axes in product.params["dimension_numbers"])
            if is_free and not any(isinstance(atom, Literal) for atom in parts) and not taken.isdisjoint(parts):
                return Factor(list(parts), axis)
    return Factor([whole], None)


def result_axis(product: Any, side: int, axis: int) -> int:
    """Where a free axis of a factor stands in the product: batch axes first, then the left's free ones, the right's."""
    contracted, batch = product.params["dimension_numbers"]
    free = [
        [a for a in range(atom.aval.ndim) if a not in contracted[i] and a not in batch[i]]
        for i, atom in enumerate(product.invars)
    ]
    return len(batch[0]) + (len(free[0]) if side else 0) + free[side].index(axis)


def sum_of_products(product: Any, left: Array, right: Array) -> Array:
    """Σ_t of a step's product, from its factors (T, ...)."""
    contracted, batch = product.params["dimension_numbers"]
    factors, over = [left, right], [(0, *(axis + 1 for axis in axes)) for axes in contracted]
    first = len(over[0])
    if all(axes == tuple(range(first)) for axes in over):
        # (T, B, N) as (T*B, N): with two axes to sum over, XLA's CPU back end transposes copies of whole arrays.
        factors = [leaf.reshape(math.prod(leaf.shape[:first]), *leaf.shape[first:]) for leaf in factors]
        over = [(0,), (0,)]
        beside = [tuple(axis + 2 - first for axis in axes) for axes in batch]
    else:
        beside = [tuple(axis + 1 for axis in axes) for axes in batch]
    how = {name: product.params[name] for name in ("precision", "preferred_element_type")}
    return jax.lax.dot_general(factors[0], factors[1], ((over[0], over[1]), (beside[0], beside[1])), **how)


def _summed_later(own: list[Any], varying: set[Var]) -> dict[Var, bool]:
    """For every variable of the equations `own`, whether all that they make of it is linear, so that sums go first."""
    linear = {var: True for eqn in own for var in eqn.outvars}
    for eqn in reversed(own):
        results = all(linear[var] for var in eqn.outvars)
        moved = [atom for atom in eqn.invars if not isinstance(atom, Literal) and atom in varying]
        name = eqn.primitive.name
        fits = name in _LINEAR or (name in _BILINEAR and len(moved) == 1) or (name == "div" and moved == eqn.invars[:1])
        for var in moved:
            if var in linear and not (results and fits):
                linear[var] = False
    return linear
