"""Norms of gradients that are outer products, without the products: ‖a bᵀ‖_F = ‖a‖ ‖b‖ (Goodfellow 2015).

What one step of one row adds to the gradient of a dense kernel is a vector times an adjoint. As many values as the
kernel has would be written and read for one norm; the two factors are enough.
"""

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp

from recurrax import norms
from recurrax.kernels import jaxprs
from recurrax.kernels.jaxprs import Literal
from recurrax.typing import Array

_MOVES = {"reshape", "transpose", "squeeze", "broadcast_in_dim", "rev", "neg", "copy", "convert_element_type"}
"""Primitives that leave a norm as it is, if they leave the number of elements."""


class Products(NamedTuple):
    """An array of outer products side by side and zeros elsewhere.

    eqns: the equations of the products.
    box: where they lie, from and to along every axis; None if that is not known.
    """

    eqns: tuple[Any, ...]
    box: tuple[tuple[int, int], ...] | None


def log_norms(f: Callable[..., Any], *args: Any) -> Any:
    """Ln ‖·‖₂ of each leaf of f(*args), which is computed only where it is no outer product."""
    traced = jaxprs.trace(f, *args)
    makers = {var: eqn for eqn in traced.jaxpr.eqns for var in eqn.outvars}
    leaves = traced.jaxpr.outvars
    products = [_products(makers, leaf) for leaf in leaves]
    # The equations whose results nobody wants are left out.
    wanted = jaxprs.variables(
        atom
        for leaf, found in zip(leaves, products, strict=True)
        for atom in ([leaf] if found is None else [of for eqn in found.eqns for of in eqn.invars])
    )
    args_of = jax.tree.leaves(args)
    values = dict(zip(wanted, jaxprs.part(traced, traced.jaxpr.invars, wanted)(*args_of), strict=True))

    def read(atom: Any) -> Array:
        return jnp.asarray(atom.val if isinstance(atom, Literal) else values[atom])

    def log_norm(leaf: Any, found: Products | None) -> Array:
        if found is None:
            return norms.log_norm(read(leaf))
        dtype = leaf.aval.dtype
        logs = [_log_norm(eqn, *map(read, eqn.invars)) for eqn in found.eqns] or [jnp.array(-jnp.inf)]
        return norms.log_joint(jnp.stack(logs)).astype(jnp.finfo(dtype).dtype)

    structure = jax.tree.structure(jax.eval_shape(f, *args))
    return jax.tree.unflatten(structure, map(log_norm, leaves, products))


def _products(makers: dict[Any, Any], atom: Any) -> Products | None:
    """How an array is made of outer products; None if it is not."""
    eqn, whole = None if isinstance(atom, Literal) else makers.get(atom), cast(Any, atom.aval)
    if eqn is None or not jnp.issubdtype(whole.dtype, jnp.inexact):
        return None
    name, first = eqn.primitive.name, eqn.invars[0]
    if name == "dot_general":
        return Products((eqn,), None) if _is_outer(eqn) else None
    if name == "broadcast_in_dim" and isinstance(first, Literal):
        return Products((), None) if first.val == 0 else None
    if name in _MOVES and whole.size == first.aval.size:
        found = _products(makers, first)
        return found and found._replace(box=None)
    if name == "pad":
        found, config = _products(makers, first), eqn.params["padding_config"]
        if not isinstance(eqn.invars[1], Literal) or eqn.invars[1].val != 0 or any(min(of) < 0 for of in config):
            return None
        sizes = [size - high for size, (_, high, _) in zip(whole.shape, config, strict=True)]
        return found and found._replace(box=tuple((low, to) for (low, _, _), to in zip(config, sizes, strict=True)))
    if name in ("add", "add_any"):
        left, right = (_products(makers, of) for of in eqn.invars)
        if left is None or right is None:
            return None
        if not (left.eqns and right.eqns):
            return left if left.eqns else right
        return Products(left.eqns + right.eqns, _around(left.box, right.box)) if _apart(left.box, right.box) else None
    return None


def _is_outer(eqn: Any) -> bool:
    """Whether a product sums over nothing, or over axes of one element, and is larger than its factors."""
    (axes, _), _ = eqn.params["dimension_numbers"]
    left, right = (atom.aval for atom in eqn.invars)
    is_sum = prod(left.shape[axis] for axis in axes) != 1
    return not is_sum and eqn.outvars[0].aval.size > max(left.size, right.size)


def _log_norm(eqn: Any, left: Array, right: Array) -> Array:
    """Ln of the norm of an outer product; along batch axes there are so many products."""
    sides = []
    for of, batch in zip((left, right), eqn.params["dimension_numbers"][1], strict=True):
        of = jnp.moveaxis(of, batch, range(len(batch)))
        sides.append(norms.log_norm(of, tuple(range(len(batch), of.ndim))))
    return norms.log_joint(sides[0] + sides[1])


def _apart(left: Any, right: Any) -> bool:
    """Whether two boxes share no element."""
    pairs = () if left is None or right is None else zip(left, right, strict=True)
    return any(one[1] <= other[0] or other[1] <= one[0] for one, other in pairs)


def _around(left: Any, right: Any) -> Any:
    """The least box around both."""
    return tuple((min(one[0], other[0]), max(one[1], other[1])) for one, other in zip(left, right, strict=True))
