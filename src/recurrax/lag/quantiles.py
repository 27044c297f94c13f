"""Quantiles over the batch of log norms, in which a norm of zero counts."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recurrax.lag.stack import check_single
from recurrax.typing import Array


def quantiles(log_norm: Any, levels: Sequence[float] = (0.1, 0.5, 0.9)) -> np.ndarray:
    """Quantiles over all batch axes at each lag.

    A norm of zero (-inf) counts as the smallest there is: leaving such rows out would flatten the curve. Rows too short
    for a lag (NaN) do not count there. Between two order statistics the quantile is interpolated.

    Args:
        log_norm: (T, *batch) natural logs, a field of any profile; of a whole profile, its `log_norm_joint`.
        levels: Q numbers in [0, 1].

    Returns:
        float64 (Q, T), NaN at lags that no row has.

    Raises:
        ValueError: a level is out of range, or `log_norm` is no array or profile, or has no lag or no row.

    >>> quantiles(np.array([[0.0, 1.0, 2.0], [-np.inf, 3.0, 5.0]]), levels=(0.0, 0.5)).tolist()
    [[0.0, -inf], [1.0, 3.0]]
    """
    level = check_levels(levels)[:, None]
    ordered = np.sort(curves_by_row(log_norm), axis=1)  # NaN last
    present = (~np.isnan(ordered)).sum(axis=1)
    place = level * np.maximum(present - 1, 0)  # (Q, T), between which order statistics
    below = np.floor(place).astype(int)
    above = np.minimum(below + 1, np.maximum(present - 1, 0))
    lag = np.arange(ordered.shape[0])
    low, high = ordered[lag, below], ordered[lag, above]
    with np.errstate(invalid="ignore"):  # -inf less -inf, where neither is chosen
        between = low + (place - below) * (high - low)
    return np.where((place == below) | (low == high), low, between)


def quantiles_over_rows(log_norm: Array, levels: Sequence[float]) -> Array:
    """The same under `jit` and `vmap`, over the last axis alone: (..., rows) to (..., Q)."""
    level = jnp.asarray(check_levels(levels), log_norm.dtype)
    ordered = jnp.sort(log_norm, axis=-1)  # NaN last
    last = jnp.maximum(jnp.sum(~jnp.isnan(ordered), axis=-1, keepdims=True) - 1, 0)
    place = level.reshape((1,) * (last.ndim - 1) + level.shape) * last.astype(level.dtype)
    below = jnp.floor(place).astype(jnp.int32)
    low, high = (jnp.take_along_axis(ordered, at, axis=-1) for at in (below, jnp.minimum(below + 1, last)))
    share = place - below.astype(place.dtype)
    return jnp.where((share == 0) | (low == high), low, low + share * (high - low))


def check_levels(levels: Sequence[float]) -> np.ndarray:
    """Levels as float64 (Q,), or a ValueError."""
    level = np.asarray(levels, np.float64).reshape(-1)
    if not ((level >= 0) & (level <= 1)).all():
        raise ValueError(f"levels: expected numbers in [0, 1], got {level.tolist()}")
    return level


def curves_by_row(log_norm: Any) -> np.ndarray:
    """`curves_of` with all batch axes as one, float64 (T, rows)."""
    curves = curves_of(log_norm)
    return curves.reshape(curves.shape[0], -1)


def curves_of(log_norm: Any) -> np.ndarray:
    """One array (T, *batch), or the `log_norm_joint` of a profile, as float64.

    Raises:
        ValueError: it is something else, has no lag or no row, or is stacked over a training's probe steps and seeds.
    """
    check_single("log_norm", log_norm)
    log_norm = getattr(log_norm, "log_norm_joint", log_norm)
    if not isinstance(log_norm, np.ndarray | jax.Array):
        kind = type(log_norm).__name__
        raise ValueError(f"log_norm: expected one array (T, *batch) or a profile with log_norm_joint, got {kind}")
    if log_norm.ndim == 0 or log_norm.size == 0:
        raise ValueError(
            f"log_norm: expected (T, *batch) with at least one lag and one row, got shape {log_norm.shape}"
        )
    return np.asarray(log_norm, np.float64)
