"""A kernel's body with substitutes for what Pallas does not lower for TPU.

A body is a step of a cell, or the derivative of one, traced: it holds whatever operations the cell is written in. Those
of `SUBSTITUTES` are computed by the function that stands there. The body is differentiated before, so no derivative is
taken of a substitute. Interpreted kernels have them too.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.extend import core

from recurrax.kernels import jaxprs, operations
from recurrax.kernels.jaxprs import Leaves, Read, Replacement, Traced
from recurrax.typing import Array

_UNROLLED = 32
"""A loop over arrays becomes so many iterations one after the other; Pallas lowers none."""


def evaluate(traced: Traced, args: Sequence[Any]) -> Leaves:
    """Evaluates a traced function with substitutes in the place of its operations."""
    eqns = [eqn for eqn in traced.jaxpr.eqns if eqn.primitive.name in SUBSTITUTES]
    return jaxprs.evaluate(traced, args, [Replacement(eqn.outvars, partial(_substitute, eqn)) for eqn in eqns])


def _substitute(eqn: Any, read: Read) -> Leaves:
    values = [read(atom) for atom in eqn.invars]
    found = SUBSTITUTES[eqn.primitive.name](*values, **eqn.params)
    if found is None:  # one that Pallas lowers as it is
        found = eqn.primitive.bind(*values, **eqn.params)
    found = found if isinstance(found, list | tuple) else [found]
    return [lax.convert_element_type(new, var.aval.dtype) for new, var in zip(found, eqn.outvars, strict=True)]


def _scan(*operands: Array, jaxpr: Any, length: int, reverse: bool, **how: Any) -> Leaves:
    """With substitutes in its body; over arrays, if it is short, one iteration after the other."""
    groups = how["ft_in"].unpack()[:2] if "ft_in" in how else None  # JAX 0.12's
    n_fixed, n_carry = map(len, groups) if groups else (how["num_consts"], how["num_carry"])
    fixed, carry, xs = operands[:n_fixed], [*operands[n_fixed:]][:n_carry], [*operands[n_fixed + n_carry :]]

    def step(carry: Leaves, x: Leaves) -> tuple[Leaves, Leaves]:
        found = _called(jaxpr, *fixed, *carry, *x)
        return found[:n_carry], found[n_carry:]

    is_over_arrays = xs or len(getattr(jaxpr, "jaxpr", jaxpr).outvars) > n_carry
    if not (is_over_arrays and 0 < length <= _UNROLLED):
        carry, ys = lax.scan(step, carry, xs, length, reverse=reverse)
        return [*carry, *ys]
    ys: list[Leaves] = [[]] * length
    for t in reversed(range(length)) if reverse else range(length):
        carry, ys[t] = step(carry, [lax.index_in_dim(x, t, keepdims=False) for x in xs])
    return [*carry, *(jnp.stack(y) for y in zip(*ys, strict=True))]


def _while(*operands: Array, cond_jaxpr: Any, cond_nconsts: int, body_jaxpr: Any, body_nconsts: int) -> Leaves:
    for_cond, for_body = operands[:cond_nconsts], operands[cond_nconsts : cond_nconsts + body_nconsts]
    return lax.while_loop(
        lambda carry: _called(cond_jaxpr, *for_cond, *carry)[0],
        lambda carry: _called(body_jaxpr, *for_body, *carry),
        list(operands[cond_nconsts + body_nconsts :]),
    )


def _cond(place: Array, *operands: Array, branches: Sequence[Any], **_: Any) -> Leaves:
    def called(branch: Any, *operands: Array) -> Leaves:
        found = _called(branch, *operands)  # bools as int32: no vector of them leaves a branch
        return [leaf.astype(jnp.int32) if leaf.dtype == jnp.bool_ else leaf for leaf in found]

    return lax.switch(place, [partial(called, branch) for branch in branches], *operands)


def _as_ints(primitive: Any) -> Callable[..., Array | None]:
    """Of bools, which are not moved about within an array."""
    return lambda x, **how: primitive.bind(x.astype(jnp.int32), **how) if jnp.result_type(x) == jnp.bool_ else None


def _called(jaxpr: Any, *operands: Array) -> Leaves:
    return evaluate(jaxpr if hasattr(jaxpr, "consts") else core.ClosedJaxpr(jaxpr, ()), operands)


SUBSTITUTES: dict[str, Callable[..., Any]] = {
    "expm1": operations.expm1,
    "erfc": operations.erfc,
    "sign": operations.sign,
    "cumsum": operations.cumsum,
    "rev": operations.rev,
    "sort": operations.sort,
    "top_k": operations.top_k,
    "gather": operations.gather,
    "scatter-add": operations.scatter_add,
    "dot_general": operations.dot_general,
    "broadcast_in_dim": _as_ints(lax.broadcast_in_dim_p),
    "reshape": _as_ints(lax.reshape_p),
    "empty2": lambda *, dtype, **_: jnp.zeros((), dtype),
    "scan": _scan,
    "while": _while,
    "cond": _cond,
    **dict.fromkeys(("jit", "pjit", "remat2"), lambda *operands, jaxpr, **_: _called(jaxpr, *operands)),
    **dict.fromkeys(
        ("custom_jvp_call", "custom_vjp_call"), lambda *operands, call_jaxpr, **_: _called(call_jaxpr, *operands)
    ),
}
"""By the primitive's name: its operands and parameters to its results, or to None if it is left as it is."""
