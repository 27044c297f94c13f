"""What instruments are given, checked: one sentence that names the argument, what came and what was expected."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from recurrax.kernels import arguments, scan
from recurrax.lag import walk
from recurrax.lag.walk import Loss
from recurrax.typing import Array, Carry, Cell, Params


def sequence_shape(cell: Cell, params: Params, xs: Any) -> tuple[int, tuple[int, ...]]:
    """T and *batch of inputs, leaves (T, *batch, ...)."""
    return arguments.check_sequence(cell, params, xs)[1:]


def check(
    cell: Cell, params: Params, xs: Any, carry: Carry | None, lengths: Array | None = None
) -> tuple[Carry, Array | None]:
    """The carry to start from and which steps are valid, bool (T, *batch) or None for all.

    Raises:
        ValueError: an argument is not what it should be.
    """
    xs, steps, batch_shape = arguments.check_sequence(cell, params, xs)
    arguments.check_params(cell, params, xs)
    check_finite("params", params)
    carry, _ = arguments.carries(cell, params, xs, batch_shape, carry)
    if not jax.tree.leaves(walk.differentiable(carry)):
        kind = type(carry).__name__
        raise ValueError(f"carry: expected a floating or complex leaf to differentiate, got a {kind} without one")
    return carry, arguments.rows(steps, batch_shape, lengths, None, None).valid


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
        outputs = scan(cell, params, xs, carry, mask=valid).outputs
        return jax.grad(loss)(outputs).astype(like.dtype)
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
    return jax.eval_shape(cell.step, params, carry, arguments.first_step(xs))[1]
