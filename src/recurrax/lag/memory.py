"""The forward memory curve: what the state still says about inputs k steps ago, which no gradient measures."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from recurrax import code
from recurrax.kernels import columns
from recurrax.lag import arguments, walk
from recurrax.lag.layers import takes_layers
from recurrax.lag.notebook import html
from recurrax.lag.stack import at
from recurrax.typing import Array, Carry, Cell, Params

_STEPS_PER_COMPONENT = 5
"""Fewer steps fitted than that for each component of the state, and the noise floor of R² falls below -1/4."""
_DECODED = 20
"""Fewer steps decoded than that, and chance moves R² by more than the whole scale from 0 to 1."""


class MemoryCurve(NamedTuple):
    """How well inputs are decoded from the state by a linear decoder, on steps it was not fitted to.

    lag: (K,) ints.
    r2: (K,), 1 - Σ error² / Σ deviation² over all features; below 0 where the decoder is worse than the mean.
    r2_by_feature: (K, D); NaN for a feature that does not vary.
    capacity: Σ_k Σ_D max(R², 0), in features remembered; at most n for n state components and independent inputs.
    noise_floor: -n/(N - n) with N steps fitted, the R² of a feature that the state does not hold; it scatters by some
        2 √n/N, and more where few steps are decoded.
    """

    lag: Array
    r2: Array
    r2_by_feature: Array
    capacity: Array
    noise_floor: Array | None = None
    at = at
    _repr_html_ = html


@takes_layers
def memory_curve(
    cell: Cell,
    params: Params,
    xs: Any,
    carry: Carry | None = None,
    *,
    lags: Sequence[int],
    targets: Array | None = None,
    ridge: float = 1e-6,
    held_out: float = 0.5,
    burn_in: int = 0,
    field: str | None = None,
) -> MemoryCurve:
    """Measures R²(k) of x_{t-k} ≈ s_t A_k + a_k, with A fitted by ridge regression to the first steps.

    A = (SᵀS + ridge · tr(SᵀS)/n · I)⁻¹ SᵀX with S and X centred. The last `held_out` of the steps are decoded, after a
    gap of max(lags) so that no input is seen in both parts. One factorisation serves all lags.

    Args:
        cell: any cell of the contract, or a layer of Flax, see `recurrax.lag`.
        params: its parameters, finite.
        xs: (T, *batch, D) inputs without padding, or any tree of arrays (T, *batch, ...) that the cell reads;
            independent over time for R² to mean memory. Rows of the batch are pooled.
        carry: the carry before the first step; the cell's initial carry if None.
        lags: K ints >= 0, 0 being the input of the same step.
        targets: (T, *batch, D), what is decoded in place of x: `jax.nn.one_hot(xs, size)` for tokens. If None, the
            floating leaves of xs.
        ridge: >= 0, relative to the mean variance of a state component.
        held_out: in (0, 1), the share of steps decoded and not fitted.
        burn_in: steps left out at the start.
        field: the carry field to decode from; the whole carry if None.

    Raises:
        ValueError: an argument is out of range, fewer than 5 steps are fitted for each of the n state components or
            fewer than 20 decoded, or the decoder is singular: `ridge` 0 and states that do not vary in every direction.

    References: Jaeger (2001), short term memory in echo state networks, for the curve and its bound.

    >>> import recurrax
    >>> cell = recurrax.Elman(8)
    >>> params = cell.init(jax.random.key(0), input_size=1)
    >>> curve = memory_curve(cell, params, jax.random.normal(jax.random.key(1), (600, 1)), lags=range(20))
    >>> bool(curve.r2[0] > 0.9), bool(curve.r2[19] < 0.5), bool(curve.capacity < 8)
    (True, True, True)
    """
    carry, _ = arguments.check(cell, params, xs, carry)
    arguments.check_field(carry, field)
    steps, batch_shape = arguments.sequence_shape(cell, params, xs)
    targets = _targets(xs, targets, (steps, *batch_shape))
    values = np.asarray(lags)
    if values.ndim != 1 or values.size == 0 or values.dtype.kind not in "iu" or values.min() < 0:
        raise ValueError(f"lags: expected a sequence of ints >= 0, got {lags!r}")
    if not ridge >= 0:
        raise ValueError(f"ridge: expected a number >= 0, got {ridge!r}")
    if not 0 < held_out < 1:
        raise ValueError(f"held_out: expected a number in (0, 1), got {held_out!r}")
    longest = int(values.max())
    start = max(int(burn_in), longest)
    # A gap of the longest lag between the parts: no input is a target in both.
    usable = steps - start - longest
    fitted = usable - round(usable * held_out)
    if burn_in < 0 or fitted < 2 or usable - fitted < 2:
        raise ValueError(
            f"lags: expected 0 <= burn_in and two steps to fit and to decode, got T = {steps}, burn_in = {burn_in} and "
            f"a longest lag of {longest}"
        )
    state = walk.differentiable(arguments.part(carry, field))
    size = sum(columns.column_counts(state, leading=len(batch_shape)))
    fits, decodes = (count * math.prod(batch_shape) for count in (fitted, usable - fitted))
    if fits < _STEPS_PER_COMPONENT * size:
        raise ValueError(
            f"xs: expected at least {_STEPS_PER_COMPONENT * size} steps to fit {size} state components to, "
            f"{_STEPS_PER_COMPONENT} for each, got {fits} of T = {steps}, all rows together: "
            f"with so few, R² is far below 0 where nothing is remembered (-1/4 with {_STEPS_PER_COMPONENT} for each)"
        )
    if decodes < _DECODED:
        raise ValueError(
            f"held_out: expected at least {_DECODED} steps to decode, got {decodes} of T = {steps}, all rows together: "
            "with so few, R² is chance"
        )
    parts = (start, start + fitted, start + fitted + longest)
    curve, singular = _curve(cell, field, parts, params, xs, targets, carry, jnp.asarray(values), jnp.asarray(ridge))
    if not isinstance(singular, Tracer) and bool(singular):
        raise ValueError(
            "ridge: expected more than 0 for states that do not vary in every direction, got a singular fit"
        )
    return curve


def _targets(xs: Any, targets: Array | None, leading: tuple[int, ...]) -> Array:
    """What is decoded, (T, *batch, D): the floating leaves of xs side by side where nothing else is given."""
    if targets is None:
        floating = [leaf for leaf in jax.tree.leaves(xs) if jnp.issubdtype(leaf.dtype, jnp.floating)]
        if not floating:
            raise ValueError("targets: expected what to decode, one_hot(xs, size) say, for xs without floats; got None")
        return columns.as_columns(floating, leading=len(leading))
    shape, dtype = jnp.shape(targets), jnp.result_type(targets)
    if shape[:-1] != leading or not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"targets: expected floating (T, *batch, D) = {(*leading, 'D')}, got {dtype} {shape}")
    return jnp.asarray(targets)


@partial(code.jit, static_argnums=(0, 1, 2))
def _curve(
    cell: Cell,
    field: str | None,
    parts: tuple[int, int, int],
    params: Params,
    xs: Any,
    targets: Array,
    carry: Carry,
    lags: Array,
    ridge: Array,
) -> tuple[MemoryCurve, Array]:
    with jax.default_matmul_precision("highest"):
        trajectory, last = walk.record(cell, params, xs, carry, None)
        chosen = arguments.part(walk.carries_after(trajectory, last), field)
        state = columns.as_columns(walk.differentiable(chosen), leading=targets.ndim - 1)  # (T, *batch, n)
        # (T, *batch, K, D)
        lagged = jax.vmap(lambda lag: jnp.roll(targets, lag, axis=0), out_axes=-2)(lags).astype(state.dtype)
        # (T, *batch, K D); what was rolled in from the end stands before the steps fitted.
        lagged = lagged.reshape(*targets.shape[:-1], lags.size * targets.shape[-1])
        error, deviation, singular = _decode(state, lagged, parts, ridge)
    squares = [jnp.sum(jnp.square(part), axis=0).reshape(lags.size, -1) for part in (error, deviation)]  # (K, D)
    r2 = 1 - squares[0].sum(axis=1) / squares[1].sum(axis=1)
    by_feature = jnp.where(squares[1] > 0, 1 - squares[0] / squares[1], jnp.nan)
    size, fitted = state.shape[-1], (parts[1] - parts[0]) * math.prod(targets.shape[1:-1])
    capacity, floor = jnp.nansum(jnp.maximum(by_feature, 0)), jnp.asarray(-size / (fitted - size), r2.dtype)
    return MemoryCurve(lags, r2, by_feature, capacity, floor), singular


def _decode(state: Array, lagged: Array, parts: tuple[int, int, int], ridge: Array) -> tuple[Array, Array, Array]:
    """Errors of the decoder and deviations from the mean, both (N, K D) on held-out steps, and whether it is singular.

    Args:
        state: (T, *batch, n).
        lagged: (T, *batch, K D), the targets of every lag.
        parts: the first step fitted, the step after the last one fitted, the first step decoded.
        ridge: relative to the mean variance of a state component.
    """
    start, end, held_out = parts

    def pooled(array: Array, steps: slice) -> Array:
        return array[steps].reshape(-1, array.shape[-1])  # (N, ...)

    fitted, decoded = slice(start, end), slice(held_out, None)
    mean, lagged_mean = pooled(state, fitted).mean(axis=0), pooled(lagged, fitted).mean(axis=0)
    s, x = pooled(state, fitted) - mean[None], pooled(lagged, fitted) - lagged_mean[None]
    gram = s.T @ s
    factor = jnp.linalg.cholesky(gram + ridge.astype(s.dtype) * jnp.trace(gram) / len(gram) * jnp.eye(len(gram)))
    # Pivots of a singular gram differ from zero by rounding alone.
    pivots = jnp.square(jnp.diagonal(factor))
    rounding = len(gram) * jnp.finfo(s.dtype).eps
    decoder = jax.scipy.linalg.cho_solve((factor, True), s.T @ x)  # (n, K D), all lags by one factorisation
    error = pooled(lagged, decoded) - lagged_mean[None] - (pooled(state, decoded) - mean[None]) @ decoder
    deviation = pooled(lagged, decoded) - pooled(lagged, decoded).mean(axis=0, keepdims=True)
    return error, deviation, ~(pivots.min() > rounding * pivots.max())
