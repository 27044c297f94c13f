"""What is made of measured arrays: numbers for tables, curves for figures, claims with verdicts, and their words.

Nothing here knows a particular cell or task. Texts marked as templates are filled in with `s`, the settings, and, where
there is one, `task`: "{s.hidden_size} units", "loss ({task.unit})".
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from recurrax.report import Level
from recurrax.report.description import Scale
from recurrax.study import statistics
from recurrax.study.statistics import Bounds, Interval

Value = Callable[[np.ndarray, Any, Any], Any]
"""(array measured, settings, task) to one value per network (S,), or for a curve to (S, N)."""

IN_BRACKETS = (
    "in brackets the 95 % interval, left out where it is narrower than the digits shown or all lie beyond what was "
    "measured; of medians and means by bootstrap, which is too narrow for fewer than six"
)


@dataclass(frozen=True)
class Number:
    """A column of a table: one value per network, their middle with its interval.

    Fields:
        name: its heading, a template.
        of: the measured array that it is made from.
        value: that array to one value per network; inf for one beyond what was measured, or for a failure.
        unit: of the values.
        means: what it is, for the caption; a template.
        middle: how networks are summed up, a key of `MIDDLES`.
        show: a value to a text.
        beyond: the name of a setting; inf is then shown as more than that.
        below: the name of a setting; of a smaller value no more is then known than that it is smaller.
        optional: whether some cells have no such array.
    """

    name: str
    of: str
    value: Value = lambda array, settings, task: array
    unit: str = ""
    means: str = ""
    middle: Literal["median", "interquartile mean", "fraction", "time"] = "median"
    show: Callable[[float], str] = "{:.3g}".format
    beyond: str | None = None
    optional: bool = False
    below: str | None = None

    def summary(self, array: np.ndarray, settings: Any, task: Any) -> "Summary":
        """What an array comes to."""
        values = np.asarray(self.value(array, settings, task), float)
        limit = math.inf if self.beyond is None else float(getattr(settings, self.beyond))
        least = -math.inf if self.below is None else float(getattr(settings, self.below))
        interval = MIDDLES[self.middle](values, limit)
        bounds = statistics.censored(values, limit, least)
        return Summary(values, interval, said(interval, self.show, limit, least), bounds)

    def heading(self, settings: Any) -> str:
        """Its name and unit."""
        name = self.name.format(s=settings)
        return f"{name}, {self.unit}" if self.unit else name


class Summary(NamedTuple):
    """Values (S,) of networks, their middle, that in words, and what is known of each value."""

    values: np.ndarray
    interval: Interval
    text: str
    bounds: Bounds

    def saved(self) -> dict[str, Any]:
        """What summary.json holds of it."""
        return {**self.interval._asdict(), "per_network": self.values.tolist(), "text": self.text}


def _time(values: np.ndarray, limit: float) -> Interval:
    reached = np.isfinite(values)
    if not reached.any():
        return Interval(math.inf, math.inf, math.inf)
    return statistics.median_time(statistics.TimeToThreshold(np.where(reached, values, limit), reached))


MIDDLES: Mapping[str, Callable[[np.ndarray, float], Interval]] = {
    "median": lambda values, limit: statistics.median(values),
    "interquartile mean": lambda values, limit: statistics.interquartile_mean(values),
    "fraction": lambda values, limit: statistics.success_rate(int(values.sum()), len(values)),
    "time": _time,
}
"""How networks are summed up: with a bootstrap interval, with Wilson's, or by Kaplan and Meier with theirs."""

WAYS = {
    "median": "medians",
    "interquartile mean": "interquartile means",
    "fraction": "fractions",
    "time": "median times",
}
"""Words for how networks are summed up."""


@dataclass(frozen=True)
class Numbers:
    """A table: a row per task and cell. `title` and `caption` are templates."""

    title: str
    columns: tuple[Number, ...]
    caption: str = ""


@dataclass(frozen=True)
class Curve:
    """A panel per task, a line per cell: the median over networks in a band from the 10th to the 90th percentile.

    Fields:
        title: a template.
        of: the measured array that it is made from.
        x: (settings, N) to positions (N,).
        x_label, y_label: templates.
        value: the array to (S, N).
        levels, marks: (settings, task) to lines across and along the panel.
        x_scale, y_scale, y_limits, markers: as of `report.Panel`.
    """

    title: str
    of: str
    x: Callable[[Any, int], np.ndarray]
    x_label: str
    y_label: str
    value: Value = lambda array, settings, task: array
    levels: Callable[[Any, Any], Sequence[Level]] = lambda settings, task: ()
    marks: Callable[[Any, Any], Sequence[Level]] = lambda settings, task: ()
    x_scale: Scale = "linear"
    y_scale: Scale = "linear"
    y_limits: tuple[float, float] | None = None
    markers: bool = False


@dataclass(frozen=True)
class Curves:
    """A figure: `name` of its files, `title` and `caption` (templates), and what is drawn for every task.

    With `per_class` there is one for every class of cells, for comparisons of more lines than a panel can hold.
    `finding` says in a sentence, which stands in the picture, what the results show.
    """

    name: str
    title: str
    panels: tuple[Curve, ...]
    caption: str = ""
    per_class: bool = False
    finding: Callable[[Any], str] | None = None


def said(
    interval: Interval,
    show: Callable[[float], str] = "{:.3g}".format,
    beyond: float = math.inf,
    below: float = -math.inf,
) -> str:
    """An interval in words; one without width is a single number, inf is more than `beyond`, and see `Number.below`.

    >>> said(Interval(63.0, 5.5, math.inf), beyond=200, below=8)
    '63 [<8, >200]'
    """

    def word(value: float) -> str:
        if value < below:
            return f"<{below:g}"
        return f">{beyond:g}" if value == math.inf and math.isfinite(beyond) else show(value)

    estimate, low, high = map(word, interval)
    return estimate if low == high == estimate else f"{estimate} [{low}, {high}]"


def signed(value: float) -> str:
    """A number that may have either sign.

    >>> signed(-0.25)
    '-0.250'
    """
    return f"{value:+.3f}"


def power(natural_log: float) -> str:
    """A norm given by its natural log, also where no float can hold it.

    >>> power(-230.2585), power(0.0), power(-np.inf)
    ('1e-100', '1', '0')
    """
    if not math.isfinite(natural_log):
        return "0" if natural_log < 0 else "inf"
    exponent = math.floor(natural_log / math.log(10) + 1e-9)
    leading = round(math.exp(natural_log - exponent * math.log(10)))
    if leading == 10:
        leading, exponent = 1, exponent + 1
    return f"{leading}" if exponent == 0 else f"{leading}e{exponent:+03d}"


def steps(value: float) -> str:
    """A number of steps, whole or with one decimal."""
    return f"{round(value, 1):g}"


def half_life(slope: float) -> str:
    """Steps in which a norm halves, from the slope of its logarithm.

    >>> half_life(-0.1), half_life(0.01)
    ('6.9', 'grows')
    """
    return f"{math.log(2) / -slope:.1f}" if slope < 0 else "grows"


def listed(parts: Sequence[str]) -> str:
    """Words joined by commas and a last "and".

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))
