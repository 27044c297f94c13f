"""What a page says was found, computed from a run's summary: rankings of its key number, verdicts, one answer."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from recurrax.report.saved import Saved

SMOKE = "SMOKE: smallest sizes, to show that everything runs. The numbers mean nothing, so nothing is concluded."
_WIDE = 30
"""Where the largest number is this many times the smallest, a ranking is drawn on a log scale."""


class Reading(NamedTuple):
    """The key number of one cell: estimate and interval, NaN where beyond what was measured, and in words."""

    label: str
    estimate: float
    low: float
    high: float
    text: str


class Ranking(NamedTuple):
    """A number by its heading, and its readings, the largest first."""

    heading: str
    readings: tuple[Reading, ...]


class Bar(NamedTuple):
    """A reading on a scale from 0 to 100: its interval from `left` over `width`, its estimate at `dot` if there is one."""

    label: str
    text: str
    left: float
    width: float
    dot: float | None


def rankings(saved: Saved) -> list[Ranking]:
    """The first number of a summary, a ranking per task; none where its numbers have no intervals.

    A number with an interval is {"estimate", "low", "high", "text"}, null for what lies beyond all lags or steps, at
    [task,] cell, table, column.
    """
    leaves = list(_leaves(saved.summary.get("numbers", {})))
    found: dict[str, list[Reading]] = {}
    for path, leaf in leaves:
        if len(path) >= 3 and path[-2:] == leaves[0][0][-2:]:
            numbers = (_number(leaf.get(end)) for end in ("estimate", "low", "high"))
            reading = Reading(path[-3], *numbers, text=str(leaf.get("text", "")))
            found.setdefault(".".join(path[:-3]), []).append(reading)
    column = leaves[0][0][-1] if leaves else ""
    keys = [key.name for key in saved.report.key_figures]
    # Key figures are told task by task, as the numbers are; they know the unit too.
    headings = keys if len(keys) == len(found) else [f"{column} on {task}" if task else column for task in found]
    return [
        Ranking(heading, tuple(sorted(readings, key=_size, reverse=True)))
        for heading, readings in zip(headings, found.values(), strict=True)
    ]


def bars(ranking: Ranking) -> tuple[list[Bar], str]:
    """A ranking on one scale, and what is to be said of that scale."""
    ends = [end for reading in ranking.readings for end in reading[1:4] if math.isfinite(end)]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    log = low > 0 and high >= _WIDE * low
    start, stop = (math.log(low), math.log(high)) if log else (min(low, 0.0), max(high, 0.0))

    def place(value: float, beyond: float) -> float:
        if not math.isfinite(value) or stop == start:
            return beyond
        return round(100 * ((math.log(value) if log else value) - start) / (stop - start), 1)

    drawn = []
    for reading in ranking.readings:
        left, right = place(reading.low, 100.0), place(reading.high, 100.0)
        dot = place(reading.estimate, 100.0) if reading.text else None
        drawn.append(Bar(reading.label, reading.text, left, round(max(right - left, 0.0), 1), dot))
    return drawn, "log scale" if log else "scale from 0"


def answer(saved: Saved) -> str:
    """One sentence: the run's own, or how many claims came to what, or which cells came first and last."""
    if saved.smoke:
        return SMOKE
    told = {f"{key.name}: {key.value}." for key in saved.report.key_figures}  # drawn as rankings
    own = [line for line in saved.report.answer.splitlines() if line not in told]
    claims, ranked = saved.summary.get("claims") or [], rankings(saved)
    if claims and len(own) != 1:
        judged = [str(claim["verdict"]) for claim in claims]
        counts = (f"{judged.count(verdict)} {verdict}" for verdict in dict.fromkeys(judged))
        return f"{len(claims)} claims were judged: {', '.join(counts)}."
    if ranked and not own:
        return "; ".join(map(_ends, ranked)) + "."
    return saved.report.answer


def verdicts(saved: Saved) -> Sequence[Mapping[str, Any]]:
    """The claims of a run as its summary has them, θ in words added to every comparison; none of a --smoke run."""
    return [
        {**claim, "comparisons": [{**one, "said": _theta(one.get("theta", {}))} for one in claim["comparisons"]]}
        for claim in (() if saved.smoke else saved.summary.get("claims") or ())
    ]


def _leaves(numbers: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    if isinstance(numbers, Mapping):
        if "estimate" in numbers:
            yield path, numbers
        else:
            for name, inner in numbers.items():
                yield from _leaves(inner, (*path, str(name)))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _size(reading: Reading) -> float:
    """Its place in a ranking: what lies beyond all that was measured comes first."""
    return math.inf if math.isnan(reading.estimate) else reading.estimate


def _ends(ranking: Ranking) -> str:
    first, last = ranking.readings[0], ranking.readings[-1]
    if first == last:
        return f"{ranking.heading}: {first.label} {first.text}"
    return f"{ranking.heading}: from {last.text} ({last.label}) to {first.text} ({first.label})"


def _theta(theta: Mapping[str, Any]) -> str:
    estimate, low, high = (_number(theta.get(end)) for end in ("estimate", "low", "high"))
    estimate, low, high = ("unknown" if math.isnan(end) else f"{end:+.3g}" for end in (estimate, low, high))
    return f"{estimate} [{low}, {high}]"
