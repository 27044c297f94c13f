"""What a page says was found, computed from a run's summary: rankings of its key number, verdicts, one answer."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from recurrax.report.saved import Saved

SMOKE = "SMOKE: smallest sizes, to show that everything runs. The numbers mean nothing, so nothing is concluded."
_WIDE = 30
"""Where the largest number is this many times the smallest, a ranking is drawn on a log scale."""


_LIMIT = re.compile(r">([\d.]*\d)")
_INTERVAL = re.compile(r"\S+ \[\S+, \S+\]")


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
    """A reading in per cent of a scale: its interval from `left` over `width`, its estimate at `dot` or `beyond`."""

    label: str
    text: str
    left: float
    width: float
    dot: float
    beyond: bool


def rankings(summary: Mapping[str, Any]) -> list[Ranking]:
    """The first number of a run's summary.json, a ranking per task; none where its numbers have no intervals.

    A number with an interval is {"estimate", "low", "high", "text"}, null for what lies beyond all lags or steps, at
    [task,] cell, table, column.
    """
    leaves = list(_leaves(summary.get("numbers", {})))
    found: dict[str, list[Reading]] = {}
    for path, leaf in leaves:
        if len(path) >= 3 and path[-2:] == leaves[0][0][-2:]:
            numbers = (_number(leaf.get(end)) for end in ("estimate", "low", "high"))
            reading = Reading(path[-3], *numbers, text=str(leaf.get("text", "")))
            found.setdefault(".".join(path[:-3]), []).append(reading)
    column = leaves[0][0][-1] if leaves else ""
    keys = [key["name"] for key in summary.get("report", {}).get("key_figures", ())]
    # Key figures are told task by task, as the numbers are; they know the unit too.
    headings = keys if len(keys) == len(found) else [f"{column} on {task}" if task else column for task in found]
    return [ranked(heading, readings) for heading, readings in zip(headings, found.values(), strict=True)]


def ranked(heading: str, readings: Iterable[Reading]) -> Ranking:
    """Readings with the largest first; what lies beyond all that was measured before any other."""
    order = sorted(readings, key=lambda one: math.inf if math.isnan(one.estimate) else one.estimate, reverse=True)
    return Ranking(heading, tuple(order))


def limit(reading: Reading) -> float | None:
    """The longest lag or last step beyond which an estimate lies, None where it does not."""
    told = _LIMIT.match(reading.text)
    return float(told[1]) if told and math.isnan(reading.estimate) else None


def bars(ranking: Ranking) -> tuple[list[Bar], str]:
    """A ranking on one scale, and what is to be said of that scale."""
    told = [end for reading in ranking.readings for end in reading[1:4] if math.isfinite(end)]
    # What lies beyond the longest lag or the last step is said to be more than that.
    told += [float(limit) for reading in ranking.readings for limit in _LIMIT.findall(reading.text)]
    low, high = min(told, default=0.0), max(told, default=1.0)
    log = low > 0 and high >= _WIDE * low
    start, stop = (math.log(low), math.log(high)) if log else (min(low, 0.0), max(high, 0.0))

    def place(value: float) -> float:
        if not math.isfinite(value) or stop == start:
            return 100.0
        return round(100 * ((math.log(value) if log else value) - start) / (stop - start), 1)

    drawn = []
    for label, estimate, least, most, text in ranking.readings:
        left, width = place(least), round(max(place(most) - place(least), 0.0), 1)
        drawn.append(Bar(label, text, left, width, place(estimate), not math.isfinite(estimate)))
    said = f"log scale from {low:.3g} to {high:.3g}" if log else f"scale from {start:.3g} to {stop:.3g}"
    return drawn, said + ("; hollow where the estimate lies beyond" if any(bar.beyond for bar in drawn) else "")


def answer(saved: Saved) -> str:
    """One sentence: the run's own, or how many claims came to what, or which cells came first and last."""
    if saved.smoke:
        return SMOKE
    told = {f"{key.name}: {key.value}." for key in saved.report.key_figures}  # drawn as rankings
    own = [line for line in saved.report.answer.splitlines() if line not in told]
    claims, found = saved.summary.get("claims") or [], rankings(saved.summary)
    if claims and len(own) != 1:
        judged = [str(claim["verdict"]) for claim in claims]
        counts = (f"{judged.count(verdict)} {verdict}" for verdict in dict.fromkeys(judged))
        return f"{len(claims)} claims were judged: {', '.join(counts)}."
    if found and not own:
        return "; ".join(map(ends, found)) + "."
    return " ".join(own) or saved.report.answer


def ends(ranking: Ranking) -> str:
    """Which readings are the smallest and the largest."""
    first, last = ranking.readings[0], ranking.readings[-1]
    if first.text == last.text:
        return f"{ranking.heading}: {first.text} for {first.label if first == last else 'all'}"
    return f"{ranking.heading}: from {last.text} ({last.label}) to {first.text} ({first.label})"


def verdicts(saved: Saved) -> list[dict[str, Any]]:
    """The claims of a run as its summary has them; each comparison with its verdict and θ in words. None of --smoke."""
    claims = () if saved.smoke else saved.summary.get("claims") or ()
    return [{**claim, "comparisons": list(_compared(claim))} for claim in claims]


def _compared(claim: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Comparisons in words: a file has no infinities, so those of an interval are read from its sentence."""
    for one, sentence in zip(claim["comparisons"], claim["sentences"], strict=True):
        yield {**one, "word": sentence.partition(":")[0], "said": theta_of(sentence)}


def theta_of(sentence: str) -> str:
    """The effect and its interval in the sentence of a comparison."""
    theta = _INTERVAL.search(sentence)
    return theta[0].replace("inf", "∞") if theta else ""


def _leaves(numbers: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    if isinstance(numbers, Mapping):
        if "estimate" in numbers:
            yield path, numbers
        else:
            for name, inner in numbers.items():
                yield from _leaves(inner, (*path, str(name)))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
