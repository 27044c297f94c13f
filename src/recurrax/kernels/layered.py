"""A stack in depth, layer by layer: every layer is scanned over the whole sequence before the one above it.

A stack's own step takes all layers through one step of time, so that only the first layer's projection stands before
the loop, and every layer's products stand in one loop. Layer by layer each has its projection in one product, and a
loop whose arrays are its own. Values and gradients are the same: no layer waits for the one above it.
"""

from typing import Any

import jax

from recurrax.kernels import fused, jaxprs
from recurrax.kernels.arguments import Arguments, first_step
from recurrax.typing import Array, Carry, Cell, Params


def supports(given: Arguments) -> str | None:
    """Why this implementation cannot run these arguments, or None."""
    name, layers = type(given.cell).__name__, getattr(given.cell, "layers", None)
    if layers is None:
        return f"{name} does not say by `layers` that it is a stack of cells"
    if not isinstance(layers, tuple) or not layers or not all(isinstance(layer, Cell) for layer in layers):
        return f"{name}.layers is no tuple of cells"
    for of_layers in (given.params, given.carry):
        if not isinstance(of_layers, tuple | list) or len(of_layers) != len(layers):
            return f"params and carry of {name} are not tuples with an entry for each of its {len(layers)} layers"
    if not _is_its_layers(given):
        return f"a step of {name} is not that of its layers, each reading the output of the one below"
    return fused.supports(given)


def _is_its_layers(given: Arguments) -> bool:
    """Whether a step of the cell computes what steps of its layers do, equation for equation."""

    def one_after_the_other(params: Params, carry: Carry, x: Any) -> tuple[list[Carry], Any]:
        stepped = []
        for layer, of_layer, entering in zip(given.cell.layers, params, carry, strict=True):  # pyright: ignore
            after, x = layer.step(of_layer, entering, x)
            stepped.append(after)
        return stepped, x

    step = (given.params, given.carry, first_step(given.xs))
    try:
        separate = jaxprs.trace(one_after_the_other, *step)
    except Exception:  # layers that do not fit each other may fail anywhere, and are then no stack
        return False
    return jaxprs.are_same(jaxprs.trace(given.cell.step, *step), separate)


def scan(given: Arguments) -> tuple[Array, Carry]:
    """Outputs (T, *batch, ...) of the last layer, and the last carry."""
    ys, last = given.xs, []
    layers = given.cell.layers  # pyright: ignore[reportAttributeAccessIssue]
    for cell, params, carry, initial in zip(layers, given.params, given.carry, given.initial, strict=True):
        of_layer = given._replace(cell=cell, params=params, xs=ys, carry=carry, initial=initial)
        ys, after = scan(of_layer) if supports(of_layer) is None else fused.scan(of_layer)
        last.append(after)
    return ys, jax.tree.unflatten(jax.tree.structure(given.carry), jax.tree.leaves(last))
