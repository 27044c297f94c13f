"""Cells of Flax and Equinox, unchanged: `from_nnx`, `from_linen` and `from_equinox`."""

from dataclasses import dataclass
from functools import partial
from inspect import isfunction
from typing import Any

import jax
import jax.numpy as jnp

from recurrax.convert.foreign import FixedTree, Foreign
from recurrax.typing import Array, Carry, Key, Params


@dataclass(frozen=True)
class NnxStep:
    """The step of an nnx cell, its state a `flax.nnx.State`."""

    graph: Any  # what `nnx.split` gives beside the state

    def __call__(self, params: Params, carry: Carry, x: Array) -> tuple[Carry, Array]:
        """The cell's own step."""
        from flax import nnx

        return nnx.merge(self.graph, params)(carry, x)


@dataclass(frozen=True)
class LinenStep:
    """The step of a linen cell, its parameters the variables."""

    cell: Any

    def __call__(self, params: Params, carry: Carry, x: Array) -> tuple[Carry, Array]:
        """The cell's own step."""
        return self.cell.apply(params, carry, x)


@dataclass(frozen=True)
class EquinoxStep:
    """The step of an Equinox cell, its parameters the arrays of the module."""

    tree: Any  # the structure of the module
    static: tuple[Any, ...]  # its leaves, None where there is an array

    def __call__(self, params: Params, carry: Carry, x: Array) -> tuple[Carry, Array]:
        """The cell's own step, which gives a carry alone: y is h, that carry or the first of its parts."""
        arrays = iter(jax.tree.leaves(params))
        cell = self.tree.unflatten([next(arrays) if leaf is None else leaf for leaf in self.static])
        carry = cell(x, carry)
        return carry, carry[0] if isinstance(carry, tuple | list) else carry


def from_nnx(cell: Any, *, carry: Any = None, input_size: int | None = None) -> Foreign:
    """A cell of `flax.nnx`, unchanged: for `recurrax.scan`, its gradient and every instrument.

    Args:
        cell: an instance of `flax.nnx.nn.recurrent.RNNCellBase` or of any module with `cell(carry, x) -> (carry, y)`;
            or a function of `nnx.Rngs` that makes one, which `init` then calls.
        carry: one row's carry before the first step; if None, what `initialize_carry` gives.
        input_size: the features it takes; if None, its `in_features`.

    Returns:
        A cell whose parameters are `nnx.State`: `cell.params`, or `nnx.state(module)` of one that has been trained.

    Raises:
        ValueError: `cell` is no nnx module, or holds random state, such as dropout's.

    >>> import recurrax
    >>> from flax import nnx
    >>> cell = recurrax.from_nnx(nnx.LSTMCell(3, 8, rngs=nnx.Rngs(0)))
    >>> profile = recurrax.lag.adjoint_profile(cell, cell.params, jnp.ones((20, 3)))
    >>> profile.log_norm_joint.shape
    (20,)
    """
    from flax import nnx

    made = cell
    if isfunction(cell) or isinstance(cell, partial | type):
        made = nnx.eval_shape(lambda: cell(nnx.Rngs(0)))
    if not isinstance(made, nnx.Module):
        raise ValueError(f"cell: expected a module of flax.nnx, got a {type(made).__name__}")
    if jax.tree.leaves(nnx.state(made, nnx.RngState)):
        raise ValueError(f"cell: expected a module without random state, got a {type(made).__name__} with some")
    graph, state = nnx.split(made)
    draw = FixedTree.of("cell", state) if made is cell else lambda key, _: nnx.state(cell(nnx.Rngs(params=key)))
    input_size = getattr(made, "in_features", None) if input_size is None else input_size
    if carry is None:
        # A module of shapes alone makes a carry as well.
        carry = made.initialize_carry((input_size or 1,), nnx.Rngs(0))  # pyright: ignore[reportAttributeAccessIssue]
    return Foreign(
        f"from_nnx({type(made).__name__})", NnxStep(graph), draw, FixedTree.of("carry", carry), None, input_size
    )


def from_linen(cell: Any, *, carry: Any = None) -> Foreign:
    """A cell of `flax.linen`, unchanged: for `recurrax.scan`, its gradient and every instrument.

    Args:
        cell: an instance of `flax.linen.RNNCellBase` or of any module with `cell(carry, x) -> (carry, y)`.
        carry: one row's carry before the first step; if None, what `initialize_carry` gives.

    Returns:
        A cell whose parameters are the variables, {"params": ...}: `cell.init` draws them as the module's own `init`.

    Raises:
        ValueError: `cell` is no linen module.

    >>> import recurrax
    >>> from flax import linen
    >>> cell = recurrax.from_linen(linen.GRUCell(8))
    >>> variables = cell.init(jax.random.key(0), input_size=3)
    >>> recurrax.scan(cell, variables, jnp.ones((20, 2, 3))).outputs.shape
    (20, 2, 8)
    """
    from flax import linen

    if not isinstance(cell, linen.Module):
        raise ValueError(f"cell: expected a module of flax.linen, got a {type(cell).__name__}")
    if carry is None:
        carry = cell.initialize_carry(jax.random.key(0), (1,))  # pyright: ignore[reportAttributeAccessIssue]
    start = FixedTree.of("carry", carry)

    def draw(key: Key, input_size: int) -> Params:
        return cell.init(key, start.arrays(), jnp.zeros(input_size))

    return Foreign(f"from_linen({type(cell).__name__})", LinenStep(cell), draw, start)


def from_equinox(cell: Any, *, carry: Any = None, input_size: int | None = None) -> Foreign:
    """A cell of Equinox, unchanged: for `recurrax.scan`, its gradient and every instrument.

    Args:
        cell: a module with `cell(x, carry) -> carry`, such as `equinox.nn.LSTMCell`; or a function of a key that makes
            one, which `init` then calls.
        carry: one row's carry before the first step; if None, (h, c) or h of zeros, whichever the module takes.
        input_size: the features it takes; if None, its `input_size`.

    Returns:
        A cell whose parameters are the arrays of the module, `equinox.filter(cell, equinox.is_array)`. The output is
        the carry, or the first of its parts.

    Raises:
        ValueError: `cell` is no pytree that can be called, or takes neither carry.
    """
    made, arrays, seen = cell, _arrays(cell), []
    if isfunction(cell) or isinstance(cell, partial):
        arrays = jax.eval_shape(lambda key: _arrays(seen.append(cell(key)) or seen[0]), jax.random.key(0))
        made = seen[0]
    if not callable(made) or not jax.tree.leaves(arrays):
        raise ValueError(f"cell: expected a module of Equinox, got a {type(cell).__name__}")
    leaves, tree = jax.tree.flatten(made)
    step = EquinoxStep(tree, tuple(None if hasattr(leaf, "shape") else leaf for leaf in leaves))
    input_size = getattr(made, "input_size", None) if input_size is None else input_size
    if carry is None:
        carry = _carry_of_zeros(step, arrays, made.hidden_size, input_size)  # pyright: ignore
    draw = FixedTree.of("cell", arrays) if made is cell else lambda key, _: _arrays(cell(key))
    return Foreign(f"from_equinox({type(made).__name__})", step, draw, FixedTree.of("carry", carry), None, input_size)


def _arrays(module: Any) -> Any:
    """The module with None for each leaf that is no array."""
    return jax.tree.map(lambda leaf: leaf if hasattr(leaf, "shape") else None, module)


def _carry_of_zeros(step: EquinoxStep, params: Params, hidden_size: int, input_size: int | None) -> Carry:
    h, x = jnp.zeros(hidden_size), jnp.zeros(input_size or 1)
    for carry in ((h, jnp.zeros(hidden_size)), h):
        try:
            after, _ = jax.eval_shape(step, params, carry, x)
        except Exception:  # a carry that is not meant may fail anywhere in the module
            continue
        if jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, carry):
            return carry
    raise ValueError(f"carry: expected one row's carry, since (h, c) and h of size {hidden_size} both fail, got None")
