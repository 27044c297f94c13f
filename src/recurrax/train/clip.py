"""Clipping by global norm, right from 1e-37 to 1e37, with a monitor that says what it saw."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from recurrax.norms import safe_norm
from recurrax.typing import Array


class ClipState(NamedTuple):
    """What the last update was before it was clipped.

    log_norm (), ln ‖g‖ of the finite entries; clipped (), whether that was above the limit; nonfinite (), how many
    entries were inf or NaN.
    """

    log_norm: Array
    clipped: Array
    nonfinite: Array


def clip_by_global_norm(max_norm: float | Array = math.inf) -> optax.GradientTransformation:
    """Scales an update down to a global norm of at most `max_norm`, keeping its direction.

    g ← g min(1, max_norm / ‖g‖),  ‖g‖ = m ‖g/m‖,  m = max |g|

    `optax.clip_by_global_norm` squares first, so in float32 it takes 1e-20 for 0 and 1e20 for inf, and one inf makes
    that entry NaN and all others 0. Here infs and NaNs are replaced by zeros and counted in the state, and the finite
    entries keep their direction. An update within the limit passes bit for bit; with the limit at inf, the default,
    only the monitor remains.

    Args:
        max_norm: the limit, positive; inf never clips. An array () may be traced, and is not checked.

    Returns:
        A transformation whose state is a `ClipState`.

    Raises:
        ValueError: `max_norm` is not a positive number.

    References: Pascanu, Mikolov & Bengio (2013), algorithm 1.

    >>> clip = clip_by_global_norm(1.0)
    >>> update, state = clip.update({"w": jnp.array([3e30, 4e30])}, clip.init({"w": jnp.zeros(2)}))
    >>> [round(float(x), 6) for x in update["w"]], bool(state.clipped)
    ([0.6, 0.8], True)
    """
    if isinstance(max_norm, jax.Array):
        scale = jnp.where(jnp.isfinite(max_norm), max_norm, 1)
    elif isinstance(max_norm, bool) or not isinstance(max_norm, int | float) or not max_norm > 0:
        raise ValueError(f"max_norm: expected a positive number, got {max_norm!r}")
    else:
        scale = max_norm if math.isfinite(max_norm) else 1.0

    def init(params: Any) -> ClipState:
        return ClipState(jnp.array(-jnp.inf, _dtype(params)), jnp.array(False), jnp.zeros((), jnp.int32))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, ClipState]:
        del state, params
        # One vector of all tensors: the same work tensor by tensor takes ten times as long to compile.
        g, unravel = ravel_pytree(updates)
        finite = jnp.isfinite(g)
        g = jnp.where(finite, g, 0)
        wide = g.astype(_dtype(updates))
        largest = jnp.max(jnp.abs(wide), initial=0)
        m = jnp.where(largest > 0, largest, 1)
        relative = safe_norm(wide / m)
        # ‖g‖ itself may overflow to inf, which is above any limit but inf: the comparison stays right.
        clipped = relative * m > max_norm
        limit = scale / jnp.where(clipped, relative, 1)
        state = ClipState(
            log_norm=jnp.log(relative) + jnp.log(m),
            clipped=clipped,
            nonfinite=jnp.sum(~finite, dtype=jnp.int32),
        )
        return unravel(jnp.where(clipped, (wide / m * limit).astype(g.dtype), g)), state

    return optax.GradientTransformation(init, update)


def _dtype(tree: Any) -> Any:
    """The precision norms are taken in: that of the widest tensor, at least float32."""
    return jnp.result_type(jnp.float32, *(leaf.dtype for leaf in jax.tree.leaves(tree)))
