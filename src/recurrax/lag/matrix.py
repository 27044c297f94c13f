"""The lag matrix: which step's loss feels which step's state."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from recurrax import code
from recurrax.lag import arguments, scaled, walk
from recurrax.lag.layers import takes_layers
from recurrax.lag.notebook import html
from recurrax.lag.scaled import ScaledVector
from recurrax.lag.stack import at
from recurrax.lag.walk import Trajectory
from recurrax.typing import Array, Carry, Cell, Params


class LagMatrix(NamedTuple):
    """Natural logs of ‖∂ℓ_s/∂s_t‖ for the losses of A anchor steps.

    anchor: (A,) ints, the steps s whose losses are differentiated.
    log_norm: (A, T, *batch), -inf where t > s: a loss does not feel the future; NaN where s or t is padding.
    lag: (T,) ints k.
    log_norm_by_lag: (T, *batch), the mean of log norms over the anchors that have lag k = s - t; NaN where none has.
    """

    anchor: Array
    log_norm: Array
    lag: Array
    log_norm_by_lag: Array
    at = at
    _repr_html_ = html


@takes_layers
def lag_matrix(
    cell: Cell,
    params: Params,
    xs: Any,
    cotangent: Array | None = None,
    carry: Carry | None = None,
    *,
    anchors: Sequence[int],
    lengths: Array | None = None,
    field: str | None = None,
) -> LagMatrix:
    """Measures M[s, t] = ln ‖∂ℓ_s/∂s_t‖₂ for ℓ_s = ⟨cotangent_s, y_s⟩, all anchors in one backward walk.

    Args:
        cell: any cell of the contract, or a layer of Flax, see `recurrax.lag`.
        params: its parameters, finite.
        xs: (T, *batch, D) inputs, or any tree of arrays (T, *batch, ...) that the cell reads.
        cotangent: ∂ℓ_s/∂y_s, (*batch, H) for the same at every anchor or (T, *batch, H) by step; ones if None.
        carry: the carry before the first step; the cell's initial carry if None.
        anchors: A ints in 0..T-1.
        lengths: (*batch,) ints in 0..T; a row has no anchors in its padding.
        field: the carry field to take norms of; all together if None.

    Raises:
        ValueError: an anchor outside the sequence, an unknown field, or what `adjoint_profile` refuses.

    >>> import recurrax
    >>> cell = recurrax.LSTM(4)
    >>> params = cell.init(jax.random.key(0), input_size=2)
    >>> matrix = recurrax.lag.lag_matrix(cell, params, jnp.ones((30, 2)), anchors=(9, 29))
    >>> matrix.log_norm.shape, bool(jnp.isneginf(matrix.log_norm[0, 10:]).all())
    ((2, 30), True)
    """
    carry, valid = arguments.check(cell, params, xs, carry, lengths)
    arguments.check_field(carry, field)
    steps, _ = arguments.sequence_shape(cell, params, xs)
    values = np.asarray(anchors)
    if values.ndim != 1 or values.size == 0 or values.dtype.kind not in "iu":
        raise ValueError(f"anchors: expected a sequence of ints, got {anchors!r}")
    if values.min() < 0 or values.max() >= steps:
        worst = values.max() if values.max() >= steps else values.min()
        raise ValueError(f"anchors: expected values in 0..T-1 = 0..{steps - 1}, got {worst}")
    cotangent = arguments.output_cotangent(cell, params, xs, carry, None, cotangent, None)
    if cotangent.ndim == arguments.output_like(cell, params, xs, carry).ndim:
        cotangent = jnp.broadcast_to(cotangent, (steps, *cotangent.shape))
    return _matrix(cell, field, params, xs, cotangent, carry, valid, jnp.asarray(values))


@partial(code.jit, static_argnums=(0, 1))
def _matrix(
    cell: Cell,
    field: str | None,
    params: Params,
    xs: Any,
    cotangent: Array,
    carry: Carry,
    valid: Array | None,
    anchors: Array,
) -> LagMatrix:
    steps, batch_shape = arguments.sequence_shape(cell, params, xs)

    def body(adjoints: ScaledVector, at_t: tuple[Trajectory, Array, Array]) -> tuple[ScaledVector, Array]:
        used, cotangent_t, t = at_t
        after = walk.carry_after(cell, params, used)
        cotangent_t = walk.zero_padding(used.valid, cotangent_t)
        own = walk.output_adjoint(cell, params, after, used.u, cotangent_t, len(batch_shape))

        def one_anchor(anchor: Array, adjoint: ScaledVector) -> tuple[ScaledVector, Array]:
            starts = anchor == t  # before its own loss an adjoint is zero
            adjoint = jax.tree.map(lambda new, old: jnp.where(starts, new, old), own, adjoint)
            log_norm = scaled.log_norm_joint(adjoint._replace(value=arguments.part(adjoint.value, field)))
            before = walk.adjoint_before(cell, params, used, adjoint.value)
            return scaled.rescale(before, adjoint.exponent), log_norm

        # All anchors walk together: one pass over the trajectory, A adjoints wide.
        return jax.vmap(one_anchor)(anchors, adjoints)

    with jax.default_matmul_precision("highest"):
        trajectory, last = walk.record(cell, params, xs, carry, valid)
        state = walk.differentiable(last)
        zeros = ScaledVector(jax.tree.map(jnp.zeros_like, state), jnp.zeros(batch_shape, jnp.int32))
        # (A, *batch, ...)
        start = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (anchors.size, *leaf.shape)), zeros)
        _, log_norm = jax.lax.scan(body, start, (trajectory, cotangent, jnp.arange(steps)), reverse=True)
    log_norm = jnp.moveaxis(log_norm, 1, 0)  # (A, T, *batch)
    if valid is not None:
        log_norm = jnp.where(valid[None] & valid[anchors][:, None], log_norm, jnp.nan)
    return LagMatrix(anchors, log_norm, jnp.arange(steps), _diagonal_means(log_norm, anchors))


def _diagonal_means(log_norm: Array, anchors: Array) -> Array:
    """Means along s - t = k over the anchors (A, T, *batch) that reach back that far, (T, *batch)."""
    steps = log_norm.shape[1]
    lag = jnp.arange(steps)
    diagonals = jax.vmap(lambda row, anchor: row[jnp.clip(anchor - lag, 0)])(log_norm, anchors)  # (A, K = T, *batch)
    reaches = (anchors[:, None] >= lag[None]).reshape(*diagonals.shape[:2], *(1,) * (diagonals.ndim - 2))
    reaches &= ~jnp.isnan(diagonals)
    total = jnp.sum(jnp.where(reaches, diagonals, 0), axis=0)
    count = jnp.sum(reaches, axis=0)
    return jnp.where(count > 0, total / jnp.maximum(count, 1), jnp.nan)
