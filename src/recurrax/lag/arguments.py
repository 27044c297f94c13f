"""What instruments are given, checked: one sentence that names the argument, what came and what was expected."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from recurrax.kernels.arguments import check_is_cell
from recurrax.lag import walk
from recurrax.lag.walk import Loss
from recurrax.typing import Array, Carry, Cell, DTypeLike, Params, Shape


def sequence_shape(cell: Cell, params: Params, xs: Any) -> tuple[int, tuple[int, ...]]:
    """T and *batch of inputs, leaves (T, *batch, ...): the axes that all leaves begin with.

    Where nothing but floating arrays of one shape came, their last axis holds features.
    """
    check_is_cell(cell)
    leaves = jax.tree.leaves(xs)
    if not leaves or not all(hasattr(leaf, "shape") and hasattr(leaf, "dtype") for leaf in leaves):
        raise ValueError(f"xs: expected an array (T, *batch, D) or a pytree of arrays, got {type(xs).__name__}")
    # The longest beginning that all shapes have: (T, *batch) where one leaf is nothing else, tokens say.
    shared = min((leaf.shape for leaf in leaves), key=len)
    while any(leaf.shape[: len(shared)] != shared for leaf in leaves):
        shared = shared[:-1]
    if all(leaf.shape == shared and jnp.issubdtype(leaf.dtype, jnp.inexact) for leaf in leaves):
        shared = shared[:-1]
    if not shared:
        shapes = " and ".join(str(leaf.shape) for leaf in leaves)
        raise ValueError(f"xs: expected leaves that share their first axis, time, got shapes {shapes}")
    return shared[0], tuple(shared[1:])


def carry_dtype(params: Params, xs: Any) -> DTypeLike:
    """The dtype in which all floating inputs and parameters can be said, real and at least float32."""
    leaves = jax.tree.leaves((params, xs))
    return jnp.result_type(jnp.float32, *(x.real.dtype for x in leaves if jnp.issubdtype(x.dtype, jnp.inexact)))


def check(
    cell: Cell, params: Params, xs: Any, carry: Carry | None, lengths: Array | None = None
) -> tuple[Carry, Array | None]:
    """The carry to start from and which steps are valid, bool (T, *batch) or None for all.

    Raises:
        ValueError: an argument is not what it should be.
    """
    steps, batch_shape = sequence_shape(cell, params, xs)
    check_finite("params", params)
    initial = cell.initial_carry(params, batch_shape, carry_dtype(params, xs))
    if not jax.tree.leaves(walk.differentiable(initial)):
        raise ValueError(f"carry: expected a floating or complex leaf to differentiate, got {_describe(initial)}")
    if carry is not None:
        initial = _check_carry(carry, initial)
    return initial, None if lengths is None else _valid_steps(lengths, steps, batch_shape)


def check_finite(name: str, tree: Any) -> None:
    """Raises a ValueError if a leaf holds an inf or a NaN; traced leaves have no values to look at."""
    for path, leaf in jax.tree.leaves_with_path(walk.differentiable(tree)):
        count = 0 if isinstance(leaf, Tracer) else int((~np.isfinite(np.asarray(leaf))).sum())
        if count:
            raise ValueError(f"{name}{jax.tree_util.keystr(path)}: expected finite values, got {count} inf or NaN")


def check_field(carry: Carry, field: str | None) -> None:
    """Raises a ValueError unless `field` is None or names a part of the carry that can be differentiated."""
    names = list(carry) if isinstance(carry, dict) else getattr(carry, "_fields", ())
    known = [name for name in names if jax.tree.leaves(walk.differentiable(part(carry, name)))]
    if field is not None and field not in known:
        raise ValueError(f"field: expected None or one of the carry's {', '.join(known)}, got {field!r}")


def part(carry: Carry, field: str | None) -> Any:
    """The field of that name of a NamedTuple, a dict or a tree like it; all of it for None."""
    if field is None:
        return carry
    return carry[field] if isinstance(carry, dict) else getattr(carry, field)


def output_cotangent(
    cell: Cell, params: Params, xs: Any, carry: Carry, valid: Array | None, cotangent: Array | None, loss: Loss | None
) -> Array:
    """∂L/∂y: (*batch, H) where the loss reads the last output alone, (T, *batch, H) where it may read any.

    Args:
        cell: any cell of the contract.
        params: its parameters.
        xs: inputs, leaves (T, *batch, ...).
        carry: the carry before the first step.
        valid: bool (T, *batch) or None.
        cotangent: L = ⟨cotangent, y⟩ of either shape; ones (*batch, H) if this and `loss` are None.
        loss: L as a function of the outputs, instead of a cotangent.

    Raises:
        ValueError: both are given, or the cotangent has neither shape or another kind of dtype than the output.
    """
    like = output_like(cell, params, xs, carry)
    if loss is not None:
        if cotangent is not None:
            raise ValueError("loss: expected either a loss or a cotangent, got both")
        return jax.grad(loss)(_outputs(cell, params, xs, carry, valid)).astype(like.dtype)
    if cotangent is None:
        # By NumPy: there is nothing to compile before the instrument itself.
        return jnp.asarray(np.ones(like.shape, like.dtype))
    shapes = like.shape, (sequence_shape(cell, params, xs)[0], *like.shape)
    kind = jnp.complexfloating if jnp.issubdtype(like.dtype, jnp.complexfloating) else jnp.floating
    if jnp.shape(cotangent) not in shapes or not jnp.issubdtype(jnp.result_type(cotangent), kind):
        raise ValueError(
            f"cotangent: expected {kind.__name__} (*batch, H) = {shapes[0]} or (T, *batch, H) = {shapes[1]}, "
            f"got {jnp.result_type(cotangent)} {jnp.shape(cotangent)}"
        )
    return jnp.asarray(cotangent, like.dtype)


def output_like(cell: Cell, params: Params, xs: Any, carry: Carry) -> jax.ShapeDtypeStruct:
    """Shape and dtype of one step's output (*batch, H)."""
    x = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), xs)
    return jax.eval_shape(cell.step, params, carry, x)[1]


@partial(jax.jit, static_argnums=0)
def _outputs(cell: Cell, params: Params, xs: Any, carry: Carry, valid: Array | None) -> Array:
    """All outputs (T, *batch, H), zeros where a step is padding."""
    trajectory, last = walk.record(cell, params, xs, carry, valid)
    return walk.zero_padding(valid, cell.output(params, walk.carries_after(trajectory, last), trajectory.u))


def _check_carry(carry: Carry, initial: Carry) -> Carry:
    """The carry given, in the dtypes of the cell's own."""
    if jax.tree.structure(carry) != jax.tree.structure(initial):
        raise ValueError(f"carry: expected a {_describe(initial)}, got {_describe(carry)}")
    for (path, got), like in zip(jax.tree.leaves_with_path(carry), jax.tree.leaves(initial), strict=True):
        name = "carry" + jax.tree_util.keystr(path)
        if jnp.shape(got) != like.shape:
            raise ValueError(f"{name}: expected shape {like.shape}, got {jnp.shape(got)}")
        if not jnp.can_cast(jnp.result_type(got), like.dtype, "same_kind"):
            kind = "a floating dtype" if jnp.issubdtype(like.dtype, jnp.floating) else f"dtype {like.dtype}"
            raise ValueError(f"{name}: expected {kind}, got {jnp.result_type(got)}")
    return jax.tree.map(lambda leaf, like: jnp.asarray(leaf, like.dtype), carry, initial)


def _valid_steps(lengths: Array, steps: int, batch_shape: Shape) -> Array:
    if not jnp.issubdtype(jnp.result_type(lengths), jnp.integer):
        raise ValueError(f"lengths: expected an integer dtype, got {jnp.result_type(lengths)}")
    if jnp.shape(lengths) != batch_shape:
        raise ValueError(f"lengths: expected shape (*batch,) = {batch_shape}, got {jnp.shape(lengths)}")
    # Under jit the values are unknown; a length beyond T then means T, and a negative one 0.
    if not isinstance(lengths, Tracer):
        values = np.asarray(lengths)
        if values.size and (values.min() < 0 or values.max() > steps):
            worst = values.max() if values.max() > steps else values.min()
            raise ValueError(f"lengths: expected values in 0..T = 0..{steps}, got {worst}")
    return jnp.arange(steps).reshape((-1,) + (1,) * len(batch_shape)) < jnp.asarray(lengths)[None]


def _describe(tree: Any) -> str:
    fields = getattr(tree, "_fields", None)
    return type(tree).__name__ + (f"({', '.join(fields)})" if fields else "")
