"""What a few networks say together: a middle, a rate or a time with its interval, as numbers to save and as words.

Every interval is at 95 % and over networks. A value beyond what was measured is inf, saved as null and said as ">200".
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import _profiles as profiles
import numpy as np

from recurrax import lag
from recurrax.report import Table
from recurrax.study import statistics
from recurrax.study.statistics import Interval

IN_BRACKETS = (
    "in brackets the 95 % bootstrap interval over networks, left out where it is narrower than the digits shown"
)


class Decay(NamedTuple):
    """What curves of ln A(k) - ln A(0) come to, one per network.

    vanish_lag: median of K, in steps; inf where it is beyond the lags measured. log_norm: median at the reference lag.
    rate: interquartile mean of the slopes fitted in a window of lags, nats per step. The lists have one entry per
    network.
    """

    vanish_lag: Interval
    log_norm: Interval
    rate: Interval
    vanish_lags: list[float]
    log_norms: list[float]
    rates: list[float]


class Learned(NamedTuple):
    """What the losses of trained networks come to.

    loss: interquartile mean of the loss at the end, inf for one that is not finite. successes of `networks` got at
    least as low as the threshold; rate: the fraction with Wilson's interval. steps: median time to it, networks that
    never got there counted as later; inf throughout where none did.
    """

    loss: Interval
    successes: int
    networks: int
    rate: Interval
    steps: Interval


def decay(curves: np.ndarray, window: tuple[int, int], reference_lag: int) -> Decay:
    """What curves (S, T) come to."""
    lags = [lag.vanish_lag(curve, profiles.EPSILON) for curve in curves]
    levels = [float(curve[reference_lag]) for curve in curves]
    rates = [lag.fit_decay(curve, window).rate for curve in curves]
    middles = statistics.median(np.array(lags)), statistics.median(np.array(levels))
    return Decay(*middles, statistics.interquartile_mean(np.array(rates)), lags, levels, rates)


def learned(losses: np.ndarray, threshold: float, window: int) -> Learned:
    """What losses (S, steps) come to; the loss at the end, and any other held against the threshold, is a mean."""
    times = statistics.time_to_threshold(losses.T, threshold, window)
    time = statistics.median_time(times) if times.reached.any() else Interval(math.inf, math.inf, math.inf)
    last = losses[:, -window:].mean(axis=1)
    last = np.where(np.isfinite(last), last, np.inf)
    successes = int((last <= threshold).sum())
    return Learned(
        statistics.interquartile_mean(last),
        successes,
        len(last),
        statistics.success_rate(successes, len(last)),
        time,
    )


def saved(value: Any) -> Any:
    """What summary.json holds of numbers: named tuples as objects, what is not finite as null."""
    if isinstance(value, Interval | Decay | Learned):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {name: saved(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [saved(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def said(interval: Interval, show: Callable[[float], str]) -> str:
    """An interval in words: "63 [51, 71]"; one without width is a single number."""
    estimate, low, high = map(show, interval)
    return estimate if low == high == estimate else f"{estimate} [{low}, {high}]"


def steps(interval: Interval, beyond: int) -> str:
    """Numbers of steps, some of them beyond those measured.

    >>> steps(Interval(63.0, 50.5, math.inf), beyond=200)
    '63 [50.5, >200]'
    """
    return said(interval, lambda value: f">{beyond}" if math.isinf(value) else f"{round(value, 1):g}")


def power(interval: Interval) -> str:
    """Norms given by their natural logs.

    >>> power(Interval(*np.log([1e-20, 1e-30, 1e-10])))
    '1e-20 [1e-30, 1e-10]'
    """
    return said(interval, profiles.power)


def signed(interval: Interval, digits: int = 3) -> str:
    """Numbers that may have either sign."""
    return said(interval, lambda value: f"{value:+.{digits}f}")


def half_life(rate: Interval) -> str:
    """Steps in which a norm halves, from the slope of its logarithm.

    >>> half_life(Interval(-0.1, -0.2, 0.01))
    '6.9 [3.5, grows]'
    """
    return said(rate, lambda slope: f"{math.log(2) / -slope:.1f}" if slope < 0 else "grows")


def learning_table(
    title: str, rows: Mapping[tuple[str, str, str], Learned], window: int, thresholds: str, steps_taken: int
) -> Table:
    """What networks learned, one row per inputs, cell and initialisation.

    Args:
        title: of the table.
        rows: by inputs, cell and initialisation.
        window: training steps whose mean counts as the loss.
        thresholds: what the loss was to reach, in words.
        steps_taken: by every training.
    """
    return Table(
        title=title,
        caption=f"Loss: mean over the last {window} steps, squared error (adding) or nats per character (characters); "
        f"the interquartile mean, {IN_BRACKETS}. Reached: networks whose loss was then at most {thresholds}; the rate "
        f"has Wilson's 95 % interval. Steps to it: training steps until a mean over {window} was that low; the median "
        "by Kaplan and Meier with its 95 % interval, networks that never got there counted as later.",
        columns=("inputs", "cell", "initialisation", "loss", "reached", "rate of reaching", "steps to it"),
        rows=tuple(
            (
                *names,
                said(of.loss, lambda value: f"{value:.3f}"),
                f"{of.successes} of {of.networks}",
                said(of.rate, lambda value: f"{value:.2f}"),
                steps(of.steps, steps_taken),
            )
            for names, of in rows.items()
        ),
    )
