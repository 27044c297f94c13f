"""The figure of a sweep: its key number, with intervals, against what was set."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from recurrax import extras
from recurrax.files import write_whole
from recurrax.report import findings, style
from recurrax.report.findings import Reading

Lines: TypeAlias = dict[str, list[tuple[str, Reading]]]
"""What a panel draws: by a line's label, values of the flag with the key number there."""
Panels: TypeAlias = dict[str, Lines]
"""The panels of a figure by their titles."""
MOST_PANELS, MOST_LINES = 4, 8
"""How many panels and lines are drawn, the first ones."""
_WIDE = 20
"""Where the largest value is this many times the smallest, the flag's axis is a log scale."""


def natural(value: str) -> tuple[Any, ...]:
    """A key that sorts values as people count.

    >>> sorted(["10", "64", "2", "1e-3", "h16", "h2"], key=natural)
    ['1e-3', '2', '10', '64', 'h2', 'h16']
    """
    try:
        return (0, float(value), "")
    except ValueError:
        parts = re.split(r"(\d+)", value)
        return (1, 0.0, *((part.isdecimal(), int(part) if part.isdecimal() else part) for part in parts))


def draw_sweep(folder: Path, axis: str, panels: Panels) -> Path:
    """Draws the panels against the values of the flag `axis` into sweep.png and sweep.svg; the latter's path."""
    matplotlib = extras.require("matplotlib", "experiments")
    figure = extras.require("matplotlib.figure", "experiments")
    places = _places({value for lines in panels.values() for points in lines.values() for value, _ in points})
    shown = list(panels.items())[:MOST_PANELS]
    columns = min(2, len(shown))
    rows = math.ceil(len(shown) / columns)
    with matplotlib.rc_context(style.SETTINGS):
        canvas = figure.Figure(figsize=(5 * columns, 3.2 * rows), layout="constrained")
        for number, (heading, lines) in enumerate(shown, start=1):
            axes = canvas.add_subplot(rows, columns, number)
            axes.set_title(heading)
            axes.set_xlabel(axis)
            if min(places.values()) > 0 and max(places.values()) >= _WIDE * min(places.values()):
                axes.set_xscale("log")
            axes.set_xticks(list(places.values()), list(places))
            axes.minorticks_off()
            for slot, (label, points) in enumerate(list(lines.items())[:MOST_LINES]):
                _draw_line(axes, label, [(places[value], reading) for value, reading in points], style.colour(slot))
            if len(axes.get_legend_handles_labels()[1]) > 1:
                axes.legend(fontsize=7.5)
        save = canvas.savefig
        write_whole(folder / "sweep.png", lambda file: save(file, format="png", metadata={"Software": None}))
        write_whole(
            folder / "sweep.svg", lambda file: save(file, format="svg", metadata={"Date": None, "Creator": None})
        )
    return folder / "sweep.svg"


def _places(values: set[str]) -> dict[str, float]:
    """Where values stand on the axis: at themselves, or one after the other where one of them is no number."""
    order = sorted(values, key=natural)
    numeric = all(natural(value)[0] == 0 for value in order)
    return {value: float(value) if numeric else float(index) for index, value in enumerate(order)}


def _draw_line(axes: Any, label: str, points: Sequence[tuple[float, Reading]], colour: str) -> None:
    """Estimates with their intervals; a triangle at the limit where the estimate lies beyond it."""
    x, y = [place for place, _ in points], [reading.estimate for _, reading in points]
    spans = [
        [max(reading.estimate - reading.low, 0.0) for _, reading in points],
        [max(reading.high - reading.estimate, 0.0) for _, reading in points],
    ]
    finite = [[0.0 if math.isnan(span) else span for span in side] for side in spans]
    axes.errorbar(x, y, yerr=finite, color=colour, label=label or None, marker="o", markersize=4, capsize=2.5)
    beyond = [(place, limit) for place, reading in points if (limit := findings.limit(reading)) is not None]
    if beyond:
        axes.plot(*zip(*beyond, strict=True), linestyle="", marker="^", color=colour, markerfacecolor="none")
