"""Values of a traced function that need not be stored, because they follow from others that are."""

from collections.abc import Callable
from typing import Any

from jax.extend import core

from recurrax.typing import Array


def without_following(jaxpr: Any, stored: list[Any], wanted: list[Any]) -> list[Any]:
    """The variables among `wanted` that have to be stored, in the order in which they are computed.

    One that follows from `stored` and from those chosen before is computed again: on CPU, the only device measured, a
    time-sized array costs at least as much to write and read as the elementwise arithmetic, tanh included, that gives
    it. Matrix products are never computed again.

    Args:
        jaxpr: where the variables come from.
        stored: variables that are at hand anyway.
        wanted: variables whose values will be needed.
    """
    known, chosen = {id(var) for var in stored}, []
    missing = {id(var): var for var in wanted if id(var) not in known}
    for var in [var for var in jaxpr.invars if id(var) in missing]:
        chosen.append(var)
        known.add(id(var))
    for eqn in jaxpr.eqns:
        follows = "dot_general" not in str(eqn) and all(  # as text, so that nested functions are seen too
            isinstance(var, core.Literal) or id(var) in known for var in eqn.invars
        )
        for var in eqn.outvars:
            if not follows and id(var) in missing:
                chosen.append(var)
            if follows or id(var) in missing:
                known.add(id(var))
    return chosen


def function_of(traced: Any, given: list[Any], wanted: list[Any]) -> Callable[..., list[Array]]:
    """The part of a traced function that leads from the values of `given` to those of `wanted`."""
    jaxpr, reached, steps = traced.jaxpr, {id(var) for var in given}, []
    needed = {id(var) for var in wanted} - reached
    for eqn in reversed(jaxpr.eqns):
        if any(id(var) in needed for var in eqn.outvars):
            steps.insert(0, eqn)
            needed |= {id(var) for var in eqn.invars if not isinstance(var, core.Literal)} - reached
    part = core.Jaxpr(jaxpr.constvars, given, wanted, steps, debug_info=jaxpr.debug_info.with_unknown_names())
    return core.jaxpr_as_fun(core.ClosedJaxpr(part, traced.consts))
