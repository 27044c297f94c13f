"""What a curve of log norms says in one number: the lag where it vanishes, its half-life, its rate."""

import math
from typing import Any, NamedTuple

import numpy as np

from recurrax.lag.notebook import html, without_curve
from recurrax.lag.quantiles import curves_by_row, curves_of, quantiles


class DecayFit(NamedTuple):
    """ln A(k) ≈ intercept + rate · k for k_min <= k <= k_max.

    rate: nats per step, negative where gradients vanish.
    standard_error: of the rate, over independent samples; NaN with one sample.
    intercept: nats, at lag 0.
    window: (k_min, k_max), both included.
    samples: how many independent samples there were.
    collapsed: in how many of them a norm inside the window is exactly zero; one is enough to make the rate -inf.
    curve: T numbers, the mean of ln A(k) over the samples, which was fitted.
    """

    rate: float
    standard_error: float
    intercept: float
    window: tuple[int, int]
    samples: int
    collapsed: int
    curve: tuple[float, ...]
    __repr__ = without_curve
    _repr_html_ = html


def median_curve(log_norm: Any) -> np.ndarray:
    """The median over all batch axes of ln A(k) - ln A(0), float64 (T,); see `quantiles` for zeros and short rows.

    Raises:
        ValueError: there is no lag or no row, or a row's norm at lag 0 is zero or not finite.
    """
    _check_axes(log_norm)
    curves = curves_by_row(log_norm)
    if not np.isfinite(curves[0]).all():
        raise ValueError("log_norm: expected finite values at lag 0, got a row that starts at zero, inf or NaN")
    return quantiles(curves - curves[0], (0.5,))[0]


def _check_axes(log_norm: Any) -> None:
    """Refuses an array with as many axes as what a training's probes stack, (P, S, T, rows): P would pass for lags."""
    if np.ndim(getattr(log_norm, "log_norm_joint", 0)) == 0 and len(getattr(log_norm, "shape", ())) > 3:
        raise ValueError(
            "log_norm: expected a profile, or one array (T,), (T, rows) or (T, seeds, rows), the lag first, got shape "
            f"{log_norm.shape}; of a training's probes take one step and seed"
        )


def vanish_lag(log_norm: Any, epsilon: float = 1e-6) -> float:
    """K_ε: the first lag k at which the median over rows of A(k)/A(0) is below ε; inf if none is.

    Args:
        log_norm: a `LagProfile` or `ParameterProfile`, or one field of it, (T, *batch) natural logs.
        epsilon: in (0, 1].

    Returns:
        A whole number of steps, as a float.

    Raises:
        ValueError: epsilon is out of range, or `log_norm` has no lag, no row, or a row that starts at zero.

    >>> vanish_lag(-0.5 * np.arange(100.0))
    28.0
    """
    if not 0 < epsilon <= 1:
        raise ValueError(f"epsilon: expected a number in (0, 1], got {epsilon!r}")
    below = np.flatnonzero(median_curve(log_norm) < math.log(epsilon))
    return float(below[0]) if below.size else math.inf


def half_life(log_norm: Any) -> float:
    """Steps until the median over rows of A(k)/A(0) first falls to 1/2, interpolated in ln A; inf if it never does.

    Of A(k) = f^k it is -ln 2 / ln f.

    Args:
        log_norm: a `LagProfile` or `ParameterProfile`, or one field of it, (T, *batch) natural logs.

    Raises:
        ValueError: `log_norm` has no lag, no row, or a row that starts at zero.

    >>> round(half_life(np.log(0.9) * np.arange(100.0)), 3)
    6.579
    """
    curve = median_curve(log_norm)
    below = np.flatnonzero(curve <= -math.log(2))
    if not below.size:
        return math.inf
    k = int(below[0])
    # k >= 1, because a curve starts at ln 1 = 0.
    before, after = float(curve[k - 1]), float(curve[k])
    return float(k) if math.isinf(after) else k - 1 + (before + math.log(2)) / (before - after)


def fit_decay(log_norm: Any, window: tuple[int, int]) -> DecayFit:
    """Fits ln A(k) = intercept + rate · k by least squares inside a window of lags.

    Each sample gets its own line; the rate is their mean, and its standard error their standard deviation over √n.
    Lags of one sequence are correlated and say nothing about the error, samples do. The first batch axis holds the
    samples (sequences, or seeds where there is one more axis); log norms are averaged over any further axes first.

    Args:
        log_norm: a `LagProfile` or `ParameterProfile`, or one field of it, (T, *batch) natural logs.
        window: (k_min, k_max), both included; leave out the transient, and lags before burn-in from the first carry.

    Raises:
        ValueError: the window is not two ints 0 <= k_min < k_max < T, or a value inside it is NaN or +inf.

    >>> fit = fit_decay(np.array([-0.4, -0.5, -0.6]) * np.arange(50.0)[:, None], window=(5, 40))
    >>> round(fit.rate, 6), round(fit.standard_error, 4), fit.samples
    (-0.5, 0.0577, 3)
    """
    curves = samples_of(log_norm)
    k_min, k_max = check_window(window, curves.shape[0])
    inside = curves[k_min : k_max + 1]
    if np.isnan(inside).any() or np.isposinf(inside).any():
        raise ValueError(f"log_norm: expected numbers below inf at lags {k_min}..{k_max}, got NaN or inf")
    curve = tuple(curves.mean(axis=1).tolist())
    samples, collapsed = inside.shape[1], int(np.isneginf(inside).any(axis=0).sum())
    if collapsed:  # a mean over samples of which one is -inf
        return DecayFit(-math.inf, math.nan, math.nan, (k_min, k_max), samples, collapsed, curve)
    lag = np.arange(k_min, k_max + 1, dtype=np.float64)
    centred = lag - lag.mean()
    # (samples,), the least-squares slope of each
    rates = centred @ inside / (centred @ centred)
    error = float(rates.std(ddof=1) / math.sqrt(samples)) if samples > 1 else math.nan
    rate = float(rates.mean())
    intercept = float(inside.mean()) - rate * float(lag.mean())
    return DecayFit(rate, error, intercept, (k_min, k_max), samples, 0, curve)


def samples_of(log_norm: Any) -> np.ndarray:
    """(T, samples) in float64: the first batch axis, and the mean over any further ones."""
    _check_axes(log_norm)
    curves = curves_of(log_norm)
    # Averaged before anything is fitted: rows of one seed are no independent samples.
    return curves.reshape(*curves.shape[:2], -1).mean(axis=-1) if curves.ndim > 1 else curves[:, None]


def check_window(window: tuple[int, int], lags: int) -> tuple[int, int]:
    """(k_min, k_max) as ints, or a ValueError."""
    expected = f"window: expected (k_min, k_max), ints with 0 <= k_min < k_max < T = {lags}, got {window!r}"
    try:
        k_min, k_max = (int(k) for k in window)
    except (TypeError, ValueError):
        raise ValueError(expected) from None
    if (k_min, k_max) != tuple(window) or not 0 <= k_min < k_max < lags:
        raise ValueError(expected)
    return k_min, k_max
