"""Statistics of a few seeds: middles, paired effects, success rates, times to a threshold, and values partly unseen.

Intervals are at 95 % unless `confidence` says otherwise. SciPy does the work and is loaded when something is computed.
"""

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


class Bounds(NamedTuple):
    """Values known to lie in low..high, each (S,): equal where seen, high = inf beyond what was measured."""

    low: np.ndarray
    high: np.ndarray


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

    _check_counts(successes, trials)
    low, high = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return Interval(successes / trials, float(low), float(high))


def censored(values: np.ndarray, beyond: float = math.inf, below: float = -math.inf) -> Bounds:
    """Values of which inf stands for "more than `beyond`", and any less than `below` for "0 to `below`".

    >>> censored(np.array([5.0, 16.0, np.inf]), beyond=256, below=8)
    Bounds(low=array([  0.,  16., 256.]), high=array([ 8., 16., inf]))
    """
    values = np.asarray(values, float)
    low = np.where(values == math.inf, float(beyond), values)
    return Bounds(np.where(values < below, 0.0, low), np.where(values < below, float(below), values))


def differences(of: Bounds, against: Bounds) -> Bounds:
    """The least and the most that each difference `of - against` on paired seeds can be."""
    with np.errstate(invalid="ignore"):
        low, high = of.low - against.high, of.high - against.low
    # inf - inf: both lie beyond what was measured, and nothing is known of their difference.
    return Bounds(np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high))


def median_of_censored(values: Bounds) -> tuple[float, float]:
    """The least and the most that the median can be; (256, inf) where more than half lie beyond 256.

    A value between two finite bounds counts as their geometric middle, as a failing lag between the last length
    solved and the first one failed does.

    >>> median_of_censored(Bounds(np.array([16.0, 64.0, 256.0]), np.array([16.0, 256.0, np.inf])))
    (128.0, 128.0)
    """
    inside = np.isfinite(values.low) & np.isfinite(values.high) & (values.low < values.high)
    middle = np.sqrt(np.where(inside, values.low * values.high, 0.0))
    low, high = (np.where(inside, middle, bound) for bound in values)
    return float(np.median(low)), float(np.median(high))


def paired_median(difference: Bounds, confidence: float = CONFIDENCE) -> Interval:
    """The median of paired differences with its exact interval, the k-th smallest to the k-th largest of them.

    P(median outside) = 2 P(Bin(S, 1/2) < k), and k is the largest for which that is at most 1 - confidence: at 95 % the
    2nd and 9th of ten, the 1st and 6th of six. Fewer than six seeds cannot give 95 %, whatever they show: the interval
    is then the whole line. Of a censored difference the ends take the least and the most that it can be, and the
    estimate is the bound that is known, or NaN.

    Raises:
        ValueError: there is no difference, or a NaN among them.

    >>> paired_median(Bounds(np.arange(10.0), np.arange(10.0)))
    Interval(estimate=4.5, low=1.0, high=8.0)
    """
    from scipy.stats import binom

    low, high = (_checked(bound) for bound in difference)
    k = int(sum(2 * binom.cdf(below, len(low), 0.5) <= 1 - confidence for below in range(len(low) // 2)))
    least, most = float(np.median(low)), float(np.median(high))
    estimate = next((end for end in (least, most) if math.isfinite(end)), math.nan)
    if k == 0:
        return Interval(estimate, -math.inf, math.inf)
    return Interval(estimate, float(np.sort(low)[k - 1]), float(np.sort(high)[len(high) - k]))


def sign_test(difference: Bounds, hypothesis: float = 0.0) -> float:
    """Two-sided p value of "the median difference is `hypothesis`"; seeds on neither side of it for sure are left out.

    References: Arbuthnot (1710).

    >>> sign_test(censored(np.array([0.5, 1.0, 2.0, 0.1, 3.0, 0.2])))
    0.03125
    """
    from scipy.stats import binomtest

    above, below = int((difference.low > hypothesis).sum()), int((difference.high < hypothesis).sum())
    return 1.0 if above + below == 0 else float(binomtest(above, above + below).pvalue)


def fisher(successes: tuple[int, int], trials: tuple[int, int]) -> float:
    """Two-sided p value of "both arms succeed equally often", exact (Fisher 1922).

    >>> round(fisher(successes=(5, 0), trials=(5, 5)), 4)
    0.0079
    """
    from scipy.stats import fisher_exact

    for hits, of in zip(successes, trials, strict=True):
        _check_counts(hits, of)
    table = [[hits, of - hits] for hits, of in zip(successes, trials, strict=True)]
    return float(fisher_exact(table)[1])  # pyright: ignore[reportArgumentType]


def holm(p_values: np.ndarray) -> np.ndarray:
    """The p values (m,), adjusted for being m: the i-th smallest times m - i + 1, never below a smaller one's.

    References: Holm (1979).

    >>> holm(np.array([0.01, 0.04, 0.03])).tolist()
    [0.03, 0.06, 0.06]
    """
    p_values = np.asarray(p_values, float)
    order = np.argsort(p_values)
    steps = np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1))
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def spearman(x: np.ndarray, y: np.ndarray, *, resamples: int = 2000, confidence: float = CONFIDENCE) -> Interval:
    """Spearman's rank correlation of pairs (N,) with a percentile bootstrap interval over pairs; inf ranks last.

    Resamples in which one side is constant have no correlation and are left out.

    Raises:
        ValueError: fewer than three pairs, unequal numbers, a NaN, or a constant side.

    >>> spearman(np.arange(9.0), np.arange(9.0) ** 3)
    Interval(estimate=1.0, low=1.0, high=1.0)
    """
    from scipy.stats import rankdata

    x, y = _checked(x), _checked(y)
    if len(x) != len(y) or len(x) < 3 or np.ptp(rankdata(x)) == 0 or np.ptp(rankdata(y)) == 0:
        raise ValueError(
            f"x, y: expected at least three pairs, neither side constant, got {len(x)} and {len(y)} values"
        )

    def correlation(places: np.ndarray) -> np.ndarray:
        return rank_correlation(x[places], y[places])

    drawn = correlation(np.random.default_rng(0).integers(0, len(x), (resamples, len(x))))
    low, high = np.quantile(drawn[~np.isnan(drawn)], _tails(confidence))
    return Interval(float(correlation(np.arange(len(x)))), float(low), float(high))


def rank_correlation(x: np.ndarray, y: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
    """Spearman's correlation (...) of x and y (..., N), NaN where one side is constant.

    With `groups` (..., N), whole numbers, the ranks are taken less their mean in each group: how x and y go together
    among what is alike in that.

    >>> x, y = np.array([1.0, 2.0, 8.0, 9.0]), np.array([2.0, 1.0, 9.0, 8.0])
    >>> [round(float(rank_correlation(x, y, groups)), 2) for groups in (None, np.array([0, 0, 1, 1]))]
    [0.6, -1.0]
    """
    from scipy.stats import rankdata

    a, b = (rankdata(side, axis=-1) for side in (x, y))
    groups = np.zeros(a.shape, int) if groups is None else groups
    member = (groups[..., None] == np.arange(groups.max() + 1)).astype(float)  # (..., N, groups)

    def centred(ranks: np.ndarray) -> np.ndarray:
        means = np.einsum("...n,...ng->...g", ranks, member) / np.maximum(member.sum(axis=-2), 1)
        return ranks - np.einsum("...g,...ng->...n", means, member)

    a, b = centred(a), centred(b)
    with np.errstate(invalid="ignore"):
        return (a * b).sum(axis=-1) / np.sqrt((a * a).sum(axis=-1) * (b * b).sum(axis=-1))


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
    values = _checked(values)
    drawn = np.random.default_rng(0).integers(0, len(values), (resamples, len(values)))
    # Linear interpolation between infs is NaN; the nearest resample is always one of them.
    low, high = np.quantile(statistic(values[drawn]), _tails(confidence), method="closest_observation")
    return Interval(float(statistic(values)), float(low), float(high))


def _tails(confidence: float) -> list[float]:
    return [(1 - confidence) / 2, (1 + confidence) / 2]


def _checked(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, float)
    if values.ndim != 1 or not len(values) or np.isnan(values).any():
        raise ValueError(f"values: expected at least one number per seed and no NaN, got {values}")
    return values


def _check_counts(successes: int, trials: int) -> None:
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(f"successes: expected 0..trials of at least one trial, got {successes} of {trials}")
