"""The forward memory curve: what the state still says about inputs k steps ago, which no gradient measures."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from recurrax.lag import walk
from recurrax.typing import Array, Carry, Cell, Params


class MemoryCurve(NamedTuple):
    """How well inputs are decoded from the state by a linear decoder, on steps it was not fitted to.

    lag: (K,) ints.
    r2: (K,), 1 - Σ error² / Σ deviation² over all features; below 0 where the decoder is worse than the mean.
    r2_by_feature: (K, D); NaN for a feature that does not vary.
    capacity: Σ_k Σ_D max(R², 0), in features remembered; at most n for n state components and independent inputs.
    """

    lag: Array
    r2: Array
    r2_by_feature: Array
    capacity: Array


def memory_curve(
    cell: Cell,
    params: Params,
    xs: Array,
    carry: Carry | None = None,
    *,
    lags: Sequence[int],
    ridge: float = 1e-6,
    held_out: float = 0.5,
    burn_in: int = 0,
    field: str | None = None,
) -> MemoryCurve:
    """Measures R²(k) of x_{t-k} ≈ s_t A_k + a_k, with A fitted by ridge regression to the first steps.

    A = (SᵀS + ridge · tr(SᵀS)/n · I)⁻¹ SᵀX with S and X centred. The last `held_out` of the steps are decoded, after a
    gap of max(lags) so that no input is seen in both parts. One factorisation serves all lags.

    Args:
        cell: any cell of the contract.
        params: its parameters, finite.
        xs: (T, *batch, D) inputs without padding, independent over time for R² to mean memory; rows of the batch are
            pooled.
        carry: the carry before the first step; the cell's initial carry if None.
        lags: K ints >= 0, 0 being the input of the same step.
        ridge: >= 0, relative to the mean variance of a state component.
        held_out: in (0, 1), the share of steps decoded and not fitted.
        burn_in: steps left out at the start.
        field: the carry field to decode from; the whole carry if None.

    Raises:
        ValueError: an argument is out of range, the parts are too short, or the decoder is singular: `ridge` 0 and
            states that do not vary in every direction.

    References: Jaeger (2001), short term memory in echo state networks, for the curve and its bound.

    >>> import recurrax
    >>> cell = recurrax.Elman(8)
    >>> params = cell.init(jax.random.key(0), input_size=1)
    >>> curve = memory_curve(cell, params, jax.random.normal(jax.random.key(1), (600, 1)), lags=range(20))
    >>> bool(curve.r2[0] > 0.9), bool(curve.r2[19] < 0.5), bool(curve.capacity < 8)
    (True, True, True)
    """
    carry, _ = walk.check(cell, params, xs, carry)
    walk.check_field(carry, field)
    values = np.asarray(lags)
    if values.ndim != 1 or values.size == 0 or values.dtype.kind not in "iu" or values.min() < 0:
        raise ValueError(f"lags: expected a sequence of ints >= 0, got {lags!r}")
    if not ridge >= 0:
        raise ValueError(f"ridge: expected a number >= 0, got {ridge!r}")
    if not 0 < held_out < 1:
        raise ValueError(f"held_out: expected a number in (0, 1), got {held_out!r}")
    longest, steps = int(values.max()), xs.shape[0]
    start = max(int(burn_in), longest)
    usable = steps - start - longest
    fitted = usable - round(usable * held_out)
    if burn_in < 0 or fitted < 2 or usable - fitted < 2:
        raise ValueError(
            f"lags: expected 0 <= burn_in and two steps to fit and to decode, got T = {steps}, burn_in = {burn_in} and "
            f"a longest lag of {longest}"
        )
    parts = (start, start + fitted, start + fitted + longest)
    curve, singular = _curve(cell, field, parts, params, xs, carry, jnp.asarray(values), jnp.asarray(ridge))
    if not isinstance(singular, Tracer) and bool(singular):
        raise ValueError(
            "ridge: expected more than 0 for states that do not vary in every direction, got a singular fit"
        )
    return curve


@partial(jax.jit, static_argnums=(0, 1, 2))
def _curve(
    cell: Cell,
    field: str | None,
    parts: tuple[int, int, int],
    params: Params,
    xs: Array,
    carry: Carry,
    lags: Array,
    ridge: Array,
) -> tuple[MemoryCurve, Array]:
    start, end, held_out = parts
    with jax.default_matmul_precision("highest"):
        walked, last = walk.record(cell, params, xs, carry, None)
        states = jax.tree.map(lambda entering, last: jnp.concatenate([entering[1:], last[None]]), walked.entering, last)
        chosen = [getattr(states, field)] if field is not None else jax.tree.leaves(states)
        state = jnp.concatenate([leaf.reshape(*xs.shape[:-1], -1) for leaf in chosen], axis=-1)
        target = jax.vmap(lambda lag: jnp.roll(xs, lag, axis=0), out_axes=-2)(lags).astype(state.dtype)
        target = target.reshape(*xs.shape[:-1], -1)  # (T, *batch, K D); rolled-in inputs stand before `start`

        def rows(array: Array, steps: slice) -> Array:
            return array[steps].reshape(-1, array.shape[-1])

        seen, unseen = slice(start, end), slice(held_out, None)
        mean, target_mean = rows(state, seen).mean(axis=0), rows(target, seen).mean(axis=0)
        s, x = rows(state, seen) - mean[None], rows(target, seen) - target_mean[None]
        gram = s.T @ s
        factor = jnp.linalg.cholesky(gram + ridge.astype(s.dtype) * jnp.trace(gram) / len(gram) * jnp.eye(len(gram)))
        pivots = jnp.square(jnp.diagonal(factor))
        rounding = len(gram) * jnp.finfo(s.dtype).eps
        singular = ~(pivots.min() > rounding * pivots.max())
        decoder = jax.scipy.linalg.cho_solve((factor, True), s.T @ x)
        error = rows(target, unseen) - target_mean[None] - (rows(state, unseen) - mean[None]) @ decoder
        deviation = rows(target, unseen) - rows(target, unseen).mean(axis=0, keepdims=True)
    squares = [jnp.sum(jnp.square(part), axis=0).reshape(lags.size, -1) for part in (error, deviation)]
    r2 = 1 - squares[0].sum(axis=1) / squares[1].sum(axis=1)
    by_feature = jnp.where(squares[1] > 0, 1 - squares[0] / squares[1], jnp.nan)
    return MemoryCurve(lags, r2, by_feature, jnp.nansum(jnp.maximum(by_feature, 0))), singular
