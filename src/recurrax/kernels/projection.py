"""What does not need the carry, for a whole sequence at once."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from recurrax.kernels import jaxprs
from recurrax.kernels.early import Project
from recurrax.kernels.jaxprs import Leaves, Literal, Read
from recurrax.kernels.steps import Step
from recurrax.typing import Array, Params


def of_sequence(project: Project, step: Step, params: Params, xs: Any) -> Callable[[Leaves, Leaves], Leaves]:
    """`project` as a function of the leaves of params and of xs, (T, *batch, ...), to what the step's loop takes.

    Trick: the bias as a row. Where a bias is added to a product, it becomes one more row of the kernel, met by a one
    beside every input. Added afterwards it costs a pass over the projection and a second copy of it (of an LSTM's
    training step 1.69 of 4 bytes x 6 T B H), and its gradient another pass.
    """
    traced = jaxprs.trace(project, params, xs)
    eqn_of = {var: eqn for eqn in traced.jaxpr.eqns for var in eqn.outvars}
    joined = [
        jaxprs.Replacement(add.outvars, how) for add in traced.jaxpr.eqns if (how := _biased_product(eqn_of, add))
    ]

    def of_leaves(theta: Leaves, inputs: Leaves) -> Leaves:
        return step.split(jaxprs.evaluate(traced, [*theta, *inputs], joined))

    return of_leaves


def order(project: Project, params: Params, xs: Any) -> list[int]:
    """The leaves of u in the order in which they are computed, which is that of gates cut from one product.

    That of a dict is alphabetical: its gates would be copied where they lie side by side, before the loop and after.
    """
    traced = jaxprs.trace(project, params, xs)
    places = {var: (i, j) for i, eqn in enumerate(traced.jaxpr.eqns) for j, var in enumerate(eqn.outvars)}
    leaves = [None if isinstance(atom, Literal) else atom for atom in traced.jaxpr.outvars]
    return sorted(range(len(leaves)), key=lambda i: places.get(leaves[i], (-1, i)))


def _biased_product(eqn_of: dict[Any, Any], add: Any) -> Callable[[Read], list[Array]] | None:
    """For the equation x W + b, how to compute it as one product from the values before it; None for another one."""
    if add.primitive.name != "add" or any(isinstance(atom, Literal) for atom in add.invars):
        return None
    for whole, shift in (add.invars, add.invars[::-1]):
        product = _product(eqn_of, whole)
        if product is None:
            continue
        x, kernel = product.invars
        (x_axes, kernel_axes), batch = product.params["dimension_numbers"]
        is_plain = len(x_axes) == 1 and not batch[0] and x_axes[0] == x.aval.ndim - 1
        is_plain &= kernel.aval.ndim == 2 or (kernel.aval.ndim == 3 and kernel_axes[0] == 0)
        width = tuple(size for axis, size in enumerate(kernel.aval.shape) if axis not in kernel_axes)  # (N,), (G, H)
        bias = _bias(eqn_of, shift, width)
        if is_plain and bias is not None and len({x.aval.dtype, kernel.aval.dtype, bias.aval.dtype}) == 1:
            return partial(_joined, add, product, bias)
    return None


def _joined(add: Any, product: Any, bias: Any, read: Read) -> list[Array]:
    x, kernel = map(read, product.invars)
    axis = product.params["dimension_numbers"][0][1][0]
    kernel = kernel if kernel.ndim == 2 else kernel.reshape(kernel.shape[0], -1)  # (D, G*H)
    # Two axes only: with more, XLA's CPU back end transposes copies of whole arrays for the kernel's gradient.
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])  # (T*B, D)
    rows = jnp.concatenate([rows, jnp.ones((rows.shape[0], 1), rows.dtype)], axis=1)  # (T*B, D+1)
    kernel = jnp.concatenate([kernel if axis == 0 else kernel.T, read(bias).reshape(1, -1)])  # (D+1, N)
    how = {name: product.params[name] for name in ("precision", "preferred_element_type")}
    # With the transpose, so that the kernel's gradient is x^T times the adjoint and not the other way round: the latter
    # takes a training step 1.04 to 1.1 times as long.
    y = jax.lax.dot_general(rows, kernel.T, (((1,), (1,)), ((), ())), **how)
    return [y.reshape(add.outvars[0].aval.shape).astype(add.outvars[0].aval.dtype)]


def _product(eqn_of: dict[Any, Any], var: Any) -> Any:
    """The product that a value is, but for how its rows are numbered; None if it is none."""
    eqn = eqn_of.get(var)
    while eqn is not None and eqn.primitive.name == "reshape" and eqn.invars[0].aval.shape[-1:] == var.aval.shape[-1:]:
        eqn = eqn_of.get(eqn.invars[0])
    return eqn if eqn is not None and eqn.primitive.name == "dot_general" else None


def _bias(eqn_of: dict[Any, Any], var: Any, width: tuple[int, ...]) -> Any:
    """The array of that shape that a value (..., *width) repeats; None if it is not that."""
    eqn, axes = eqn_of.get(var), len(width)
    while eqn is not None and eqn.primitive.name in ("broadcast_in_dim", "reshape", "convert_element_type"):
        before, repeated = eqn.invars[0], eqn.outvars[0].aval.shape
        if isinstance(before, Literal) or not before.aval.shape[-axes:] == repeated[-axes:] == width:
            return None
        if before.aval.size == math.prod(width) and eqn.primitive.name != "convert_element_type":
            return before
        eqn = eqn_of.get(before)
    return None
