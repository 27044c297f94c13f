"""Figures of numbers against each other, cell by cell: points with a fitted line, and arrows from task to task."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recurrax import report
from recurrax.study import named, statistics
from recurrax.study.quantities import Number, said

if TYPE_CHECKING:
    from recurrax.study.results import Results


@dataclass(frozen=True)
class Scatter:
    """A figure of one number against another: a panel per task, a point per cell, colours for classes of cells.

    Fields: `name` of its files; `title`; `x` and `y`, numbers whose `beyond` is one setting; `finding` says in a
    sentence, which stands in the picture, what the results show.
    """

    name: str
    title: str
    x: Number
    y: Number
    finding: Callable[["Results"], str] = lambda results: ""

    def figure(self, results: "Results", drawn: dict[str, np.ndarray]) -> report.Figure | None:
        """The figure, what it draws put among `drawn`; None if nothing of it was measured."""
        limit = getattr(results.settings, str(self.y.beyond))
        slots = {cell: look.slot for cell, look in results.looks().items()}
        panels = []
        for task in filter(None, results.tasks):
            x, y = results.column(self.x, task.label), results.column(self.y, task.label)
            if x is None or y is None:
                continue
            groups = []
            for slot in dict.fromkeys(slots.values()):
                who = [place for place, cell in enumerate(results.drawn) if slots[cell] == slot]
                kinds = dict.fromkeys(results.drawn[place].kind.__name__ for place in who)
                at_x, at_y = (f"{self.name}.{axis}.{slot}.{task.label}" for axis in "xy")
                drawn |= {at_x: x[who], at_y: y[who]}
                groups.append(report.Group(", ".join(kinds), at_x, at_y, slot))
            slope, intercept = line(x, y)
            note = f"Spearman {correlation(results, self.x, self.y, task.label)}, {len(x)} cells"
            note += "" if slope is None else f"; slope {slope:.2f}"
            of_x, of_y = (number.heading(results.settings) for number in (self.x, self.y))
            panels.append(report.Scatter(task.label, of_x, of_y, tuple(groups), limit, slope, intercept, note))
        if not panels:
            return None
        caption = (
            f"A point per cell, the median of its {results.experiment.over}; the line is fitted by least squares in "
            f"octaves to the cells that lie within {limit:g} steps on both axes."
        )
        shown = "" if results.settings.smoke else self.finding(results)
        return report.Figure(self.name, self.title, caption, tuple(panels), len(panels), shown)


def line(x: np.ndarray, y: np.ndarray) -> tuple[float | None, float]:
    """Slope and intercept of log2 y over log2 x where both are finite; no slope where that is no line.

    >>> [round(part, 6) for part in line(np.array([1.0, 2.0, 4.0, np.inf]), np.array([3.0, 6.0, 12.0, 9.0]))]
    [1.0, 1.584963]
    """
    seen = np.isfinite(x) & np.isfinite(y)
    if seen.sum() < 3 or np.ptp(x[seen]) == 0:
        return None, 0.0
    slope, intercept = np.polyfit(np.log2(x[seen]), np.log2(y[seen]), 1)
    return float(slope), float(intercept)


def correlation(results: "Results", x: Number, y: Number, task: str) -> str:
    """Spearman's correlation of two numbers over the cells drawn, in words; "unknown" of too few or constant ones."""
    columns = results.column(x, task), results.column(y, task)
    if any(column is None or len(column) < 4 or len(np.unique(column)) < 2 for column in columns):
        return "unknown"
    return said(statistics.spearman(*columns), "{:+.2f}".format)  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True)
class Arrows:
    """A figure of one number on two tasks: an arrow per cell from its median on the first to that on the second."""

    name: str
    title: str
    number: Number

    def figure(self, results: "Results", drawn: dict[str, np.ndarray]) -> report.Figure | None:
        """The figure, what it draws put among `drawn`; None where fewer than two tasks were measured."""
        tasks: list[named.Name] = [task for task in results.tasks if task][:2]
        if len(tasks) < 2:
            return None
        found, rows = results.summaries[self.number], []
        for cell, look in results.looks().items():
            ends = [found[place].values for task in tasks if (place := (task, cell)) in found]
            names = [f"{self.name}.{task.label}.{cell.label}" for task in tasks]
            if len(ends) == 2:
                drawn |= dict(zip(names, ends, strict=True))
                rows.append(report.Row(cell.label, names[0], look.slot, names[1]))
        title = f"{tasks[0].label} → {tasks[1].label}"
        limit = getattr(results.settings, str(self.number.beyond))
        panel = report.Dots(title, self.number.heading(results.settings), tuple(rows), beyond=limit)
        caption = f"Ring: median on {tasks[0].label}; tip: on {tasks[1].label}; a full dot where they hardly differ."
        return report.Figure(self.name, self.title, caption, (panel,), 1) if rows else None
