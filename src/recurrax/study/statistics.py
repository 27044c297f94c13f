"""Statistics of a few seeds: middles with bootstrap intervals, success rates, times to a threshold."""

import math
import warnings
from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """An estimate and the ends of its confidence interval."""

    estimate: float
    low: float
    high: float


class TimeToThreshold(NamedTuple):
    """Per seed, each (S,): steps until the threshold, or all steps there were where it was never reached; reached."""

    steps: np.ndarray
    reached: np.ndarray


def interquartile_mean(values: np.ndarray, *, resamples: int = 2000, confidence: float = CONFIDENCE) -> Interval:
    """The mean of the middle half of the seeds, with a percentile bootstrap interval over seeds.

    ⌊S/4⌋ values are left out at either end; it is less swayed by outliers than the mean and less coarse than the
    median. Which seeds are drawn is fixed, so equal values give equal intervals.

    Args:
        values: (S,) one number per seed; inf may stand for a failure.
        resamples: of the bootstrap.
        confidence: of the interval.

    Raises:
        ValueError: there is no value, or a NaN among them.

    References: Agarwal et al. (2021), section 4.

    >>> interquartile_mean(np.array([1.0, 2.0, 3.0, 100.0])).estimate
    2.5
    """
    from scipy.stats import trim_mean

    return _bootstrap(values, lambda sample: trim_mean(sample, 0.25, axis=-1), resamples, confidence)


def median(values: np.ndarray, *, resamples: int = 2000, confidence: float = CONFIDENCE) -> Interval:
    """The median of the seeds, with a percentile bootstrap interval; arguments as of `interquartile_mean`.

    >>> median(np.array([1.0, 2.0, np.inf])).estimate
    2.0
    """
    return _bootstrap(values, lambda sample: np.median(sample, axis=-1), resamples, confidence)


def success_rate(successes: int, trials: int, confidence: float = CONFIDENCE) -> Interval:
    """The fraction of seeds that succeeded, with Wilson's score interval, which stays in [0, 1] and is wide for few.

    Raises:
        ValueError: the counts cannot be.

    References: Wilson (1927), eq. 8.

    >>> [round(x, 4) for x in success_rate(5, 5)]
    [1.0, 0.5655, 1.0]
    """
    from scipy.stats import binomtest

    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(f"successes: expected 0..trials of at least one trial, got {successes} of {trials}")
    low, high = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return Interval(successes / trials, float(low), float(high))


def time_to_threshold(curves: np.ndarray, threshold: float, window: int = 1) -> TimeToThreshold:
    """How many steps each seed takes until its curve is at most `threshold`.

    Args:
        curves: (steps, S), as `Fitted.metrics.loss`.
        threshold: what has to be reached.
        window: steps that are averaged, so that one lucky batch does not count.

    Raises:
        ValueError: the curves are not (steps, S), or shorter than the window.

    >>> time_to_threshold(np.array([[3.0, 3.0], [1.0, 2.0], [0.5, 2.0]]), threshold=1.0)
    TimeToThreshold(steps=array([2, 3]), reached=array([ True, False]))
    """
    curves = np.asarray(curves)
    if curves.ndim != 2 or not 1 <= window <= len(curves):
        raise ValueError(f"curves: expected shape (steps, S) with at least {window} steps, got {curves.shape}")
    means = np.lib.stride_tricks.sliding_window_view(curves, window, axis=0).mean(axis=-1)
    below = means <= threshold
    reached = below.any(axis=0)
    return TimeToThreshold(np.where(reached, below.argmax(axis=0) + window, len(curves)), reached)


def median_time(times: TimeToThreshold, confidence: float = CONFIDENCE) -> Interval:
    """The median time to the threshold by Kaplan and Meier: seeds that never got there count as later, not as never.

    The interval holds every time at which the survival curve's own interval contains one half; inf where the runs were
    too short to tell.

    References: Kaplan & Meier (1958); Brookmeyer & Crowley (1982) for the interval.

    >>> median_time(TimeToThreshold(np.array([10, 20, 30]), np.array([True, True, False]))).estimate
    20.0
    """
    from scipy.stats import CensoredData, ecdf

    steps, reached = np.asarray(times.steps, float), np.asarray(times.reached)
    if not reached.any():
        return Interval(math.inf, float(steps.min()), math.inf)
    survival = ecdf(CensoredData.right_censored(steps, ~reached)).sf
    with warnings.catch_warnings():
        # At its ends the interval is 0/0, and SciPy says so; a NaN there is no bound.
        warnings.simplefilter("ignore", RuntimeWarning)
        bounds = survival.confidence_interval(confidence, method="log-log")
    low = np.where(np.isnan(bounds.low.probabilities), survival.probabilities, bounds.low.probabilities)
    high = np.where(np.isnan(bounds.high.probabilities), survival.probabilities, bounds.high.probabilities)
    return Interval(*(_first_at_most_half(survival.quantiles, curve) for curve in (survival.probabilities, low, high)))


def _first_at_most_half(times: np.ndarray, survival: np.ndarray) -> float:
    # Products of fractions that make one half exactly on paper may miss it by a rounding.
    below = survival <= 0.5 + 1e-12
    return float(times[below.argmax()]) if below.any() else math.inf


def _bootstrap(values: np.ndarray, statistic, resamples: int, confidence: float) -> Interval:
    values = np.asarray(values, float)
    if values.ndim != 1 or not len(values) or np.isnan(values).any():
        raise ValueError(f"values: expected at least one number per seed and no NaN, got {values}")
    drawn = np.random.default_rng(0).integers(0, len(values), (resamples, len(values)))
    # Linear interpolation between infs is NaN; the nearest resample is always one of them.
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = np.quantile(statistic(values[drawn]), tails, method="closest_observation")
    return Interval(float(statistic(values)), float(low), float(high))
