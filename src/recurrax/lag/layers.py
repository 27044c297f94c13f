"""Instruments given a Flax layer: its cell, its parameters and its order of axes. Knows no Flax."""

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from recurrax.kernels import arguments
from recurrax.typing import Array, Params

Instrument = TypeVar("Instrument", bound=Callable[..., Any])


def takes_layers(instrument: Instrument) -> Instrument:
    """An instrument that takes a layer where it takes a cell and its parameters.

    `recurrax.nnx.RNN` holds its parameters and stands for both, `instrument(layer, xs, ...)`; after
    `recurrax.linen.RNN` come its variables, `instrument(layer, variables, xs, ...)`.
    """
    named = signature(instrument)

    @wraps(instrument)
    def door(cell: Any, *args: Any, **kwargs: Any) -> Any:
        if not is_layer(cell):
            return instrument(cell, *args, **kwargs)
        arguments.check_is_cell(cell.cell)  # Flax's own layers hold cells of Flax's
        order = order_of(cell)
        held = cell if hasattr(cell, "params") else kwargs.pop("params", None)
        if held is None and args:
            held, args = args[0], args[1:]
        given = named.bind(cell.wrapped_cell, params_of(cell, held), *args, **kwargs).arguments
        return instrument(**order.arguments(given))

    return door  # pyright: ignore[reportReturnType]


class Order(NamedTuple):
    """How a layer reads: whether time comes first, and the dtype that it casts to, None for none."""

    time_major: bool
    dtype: Any

    def arguments(self, given: dict[str, Any]) -> dict[str, Any]:
        """An instrument's arguments by name, as the instrument takes them, from those that the layer would take."""
        if "x" in given:  # one input of one sequence, which has no axis of time
            given = {**given, "x": self._cast(given["x"]), "params": self._cast(given["params"])}
        leaves = jax.tree.leaves(given.get("xs"))
        if not leaves or not all(hasattr(leaf, "ndim") and hasattr(leaf, "dtype") for leaf in leaves):
            return given  # the instrument says what is wrong
        shared = arguments.shared_axes(leaves)  # (*batch, T)
        batch_ndim = max(len(shared) - 1, 0)

        def time_first(leaf: Array) -> Array:
            return leaf if self.time_major else jnp.moveaxis(leaf, batch_ndim, 0)

        def in_layers_order(outputs: Array) -> Array:
            return outputs if self.time_major else jnp.moveaxis(outputs, 0, batch_ndim)

        cotangent, targets, loss = (given.get(name) for name in ("cotangent", "targets", "loss"))
        changed = {"params": self._cast(given["params"]), "xs": jax.tree.map(time_first, self._cast(given["xs"]))}
        # With respect to every output it has an axis of time, with respect to the last one none.
        if cotangent is not None and jnp.ndim(cotangent) > batch_ndim + 1:
            changed["cotangent"] = time_first(cotangent)
        if targets is not None:
            changed["targets"] = time_first(targets)
        if loss is not None:
            changed["loss"] = lambda outputs: loss(in_layers_order(outputs))
        return {**given, **changed}

    def _cast(self, tree: Any) -> Any:
        if self.dtype is None:
            return tree
        return jax.tree.map(
            lambda leaf: jnp.asarray(leaf, self.dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, tree
        )


def is_layer(thing: Any) -> bool:
    """Whether something is a layer around a cell rather than a cell."""
    return not isinstance(thing, type) and hasattr(thing, "cell") and hasattr(thing, "time_major")


def order_of(layer: Any) -> Order:
    """How a layer reads.

    Raises:
        ValueError: it walks from the last step to the first.
    """
    if layer.reverse:
        raise ValueError("cell: expected a layer that walks forwards, got reverse=True; turn the inputs round instead")
    return Order(layer.time_major, layer.dtype)


def params_of(layer: Any, held: Any) -> Params:
    """The cell's parameters, from a layer of nnx that holds them or from variables of linen.

    Raises:
        ValueError: there are no variables.
    """
    if is_layer(held):
        return held.params
    if held is None:
        raise ValueError(f"params: expected the variables of the layer {type(layer).__name__}, got None")
    return layer.cell_params(held) if hasattr(layer, "cell_params") else held
