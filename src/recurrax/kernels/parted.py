"""A function cut in what depends on shared arrays alone and the rest, its matrix products parted gate by gate.

A cell multiplies by the kernels of all its gates at once and cuts the result; the adjoint joins the gates' adjoints
and multiplies once more. A device on which no array may hold the gates side by side takes one product for each gate:

    split(a B)             becomes   a B_1, a B_2, ...              B_i the pieces of B
    join(a_1, a_2, ...) B  becomes   a_1 B_1 + a_2 B_2 + ...

The pieces of a parameter are made once, outside. So is a parameter in the dtype of what it is multiplied with, where
that is a wider one: the device multiplies numbers of one dtype.
"""

from collections.abc import Callable
from functools import partial, reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from recurrax.kernels import jaxprs, steps, sums
from recurrax.kernels.jaxprs import Leaves, Literal, Read, Replacement, Traced
from recurrax.typing import Array


class Parted(NamedTuple):
    """f(*shared, *others) as run(*prepare(*shared), *others).

    prepared: shapes of what `prepare` gives.
    traced: `run`.
    """

    prepare: Callable[..., Leaves]
    prepared: Leaves
    traced: Traced

    def run(self, *leaves: Any) -> Leaves:
        return jaxprs.evaluate(self.traced, leaves)


def parted(f: Callable[..., Any], shared: Leaves, others: Leaves) -> Parted:
    """f, of flat leaves, arrays or shapes, parted."""
    traced = jaxprs.trace(f, *shared, *others)
    while found := [*_cut_products(traced), *_products_of_joins(traced), *_mixed_products(traced)]:
        traced = jaxprs.again(traced, found)
    first, results = traced.jaxpr.invars[: len(shared)], traced.jaxpr.outvars
    rest = traced.jaxpr.invars[len(shared) :]
    constant = jaxprs.constants(traced, jaxprs.dependents(traced, rest), sunk=steps.MADE_AGAIN)
    prepared = jaxprs.reached(traced, results, constant)
    shapes = steps.shapes(prepared)
    run = jax.make_jaxpr(jaxprs.part(traced, [*prepared, *rest], results))(*shapes, *steps.shapes(rest))
    return Parted(jaxprs.part(traced, first, prepared), shapes, run)


def _cut_products(traced: Traced) -> list[Replacement]:
    """Of splits of a product's result, the pieces as products of their own."""
    products = _made_by(traced, "dot_general")
    cuts = [eqn for eqn in traced.jaxpr.eqns if eqn.primitive.name == "split" and eqn.invars[0] in products]
    return [Replacement(cut.outvars, partial(_pieces, products[cut.invars[0]], cut)) for cut in cuts]


def _pieces(product: Any, cut: Any, read: Read) -> Leaves:
    side, axis = next(
        (side, axis)
        for side in (0, 1)
        for axis in _free_axes(product, side)
        if sums.result_axis(product, side, axis) == cut.params["axis"]
    )
    factors = lax.split(read(product.invars[side]), cut.params["sizes"], axis=axis)
    return [_product(product, side, factor, read(product.invars[1 - side])) for factor in factors]


def _products_of_joins(traced: Traced) -> list[Replacement]:
    """Of products that sum over an axis along which a factor is joined, the sum of the pieces' products."""
    joins = _made_by(traced, "concatenate")
    found = {}
    for eqn in _made_by(traced, "dot_general").values():
        contracted, _ = eqn.params["dimension_numbers"]
        for side, factor in enumerate(eqn.invars):
            join = None if isinstance(factor, Literal) else joins.get(factor)
            if join is not None and join.params["dimension"] in contracted[side]:
                found[eqn.outvars[0]] = Replacement(eqn.outvars, partial(_sum_of_products, eqn, side, join))
    return list(found.values())


def _sum_of_products(product: Any, side: int, join: Any, read: Read) -> Leaves:
    contracted, _ = product.params["dimension_numbers"]
    axis = contracted[1 - side][contracted[side].index(join.params["dimension"])]
    sizes = [atom.aval.shape[join.params["dimension"]] for atom in join.invars]
    others = lax.split(read(product.invars[1 - side]), sizes, axis=axis)
    terms = [_product(product, side, read(atom), other) for atom, other in zip(join.invars, others, strict=True)]
    return [reduce(lax.add, terms)]


def _mixed_products(traced: Traced) -> list[Replacement]:
    """Of products of two dtypes, such as of a float32 adjoint and a bfloat16 kernel, that of the wider one."""
    products = [eqn for eqn in traced.jaxpr.eqns if eqn.primitive.name == "dot_general"]
    mixed = [eqn for eqn in products if len({atom.aval.dtype for atom in eqn.invars}) > 1]
    return [Replacement(eqn.outvars, partial(_of_one_dtype, eqn)) for eqn in mixed]


def _of_one_dtype(product: Any, read: Read) -> Leaves:
    dtype = jnp.result_type(*(atom.aval.dtype for atom in product.invars))
    return [product.primitive.bind(*(read(atom).astype(dtype) for atom in product.invars), **product.params)]


def _product(like: Any, side: int, factor: Array, other: Array) -> Array:
    """The product of a factor that stands on one side, 0 or 1, and another on the other."""
    return like.primitive.bind(*((other, factor) if side else (factor, other)), **like.params)


def _made_by(traced: Traced, name: str) -> dict[Any, Any]:
    """Results of a primitive, by the equation; of products those of matrices alone."""
    eqns = [eqn for eqn in traced.jaxpr.eqns if eqn.primitive.name == name]
    return {eqn.outvars[0]: eqn for eqn in eqns if name != "dot_general" or not eqn.params["dimension_numbers"][1][0]}


def _free_axes(product: Any, side: int) -> list[int]:
    contracted, _ = product.params["dimension_numbers"]
    return [axis for axis in range(product.invars[side].aval.ndim) if axis not in contracted[side]]
