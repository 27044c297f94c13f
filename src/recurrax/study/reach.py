"""How far gradients reach before and after training: one arrow per cell, and the finding in a sentence."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recurrax import report
from recurrax.study import standard
from recurrax.study.quantities import power, steps

if TYPE_CHECKING:
    from recurrax.study.results import Results

_SAME = 0.1
"""The share by which the spread of reaches has to change to be called a change."""


@dataclass(frozen=True)
class Reaches:
    """A figure of the reaches K of networks before and after training, a panel per task and an arrow per cell.

    `of` names the array of curves (S, P, T) at the probe steps, of which the first and the last count.
    """

    name: str
    title: str
    of: str = "during"

    def figure(self, results: "Results", drawn: dict[str, np.ndarray]) -> report.Figure | None:
        """The figure, what it draws put among `drawn`; None if nothing of it was measured."""
        limit, panels = results.settings.lags, []
        slots = {cell.label: look.slot for cell, look in results.looks().items()}
        for task, of_cells in self.reaches(results).items():
            rows = []
            for label, (before, after) in of_cells.items():
                names = [f"{self.name}.{when}.{task}.{label}" for when in ("before", "after")]
                drawn |= dict(zip(names, (before, after), strict=True))
                rows.append(report.Row(label, names[0], slots[label], names[1]))
            x_label = f"K: first lag with a norm below {standard.EPSILON:.0e}"
            panels.append(report.Dots(task, x_label, tuple(rows), beyond=limit))
        if not panels:
            return None
        caption = (
            "Ring: median before training; tip: after it; a full dot where it hardly moved. Small: the networks, "
            "before training above the arrow, after it below."
        )
        return report.Figure(self.name, self.title, caption, tuple(panels), len(panels), self.finding(results))

    def finding(self, results: "Results") -> str:
        """What training did to the reaches of all cells, a line per task; nothing of a smoke run."""
        limit = results.settings.lags
        found = self.reaches(results).items() if not results.settings.smoke else ()
        return "\n".join(
            f"Training on {task} {change(of_cells, limit)}" for task, of_cells in found if len(of_cells) > 1
        )

    def kept(self, results: "Results") -> str:
        """What the median cell keeps of the gradient at the longest lag trained on, a line per task; see `finding`."""
        said: dict[str, list[np.ndarray]] = {}
        at = results.settings.window[1]
        for (task, _), array in results.measured(self.of).items() if not results.settings.smoke else ():
            said.setdefault(task.label if task else "", []).append(np.median(array[:, [0, -1], at], axis=0))
        ends = {task: [power(end) for end in np.median(medians, axis=0)] for task, medians in said.items()}
        return "\n".join(
            f"Training on {task}: {at} steps back the median cell keeps {before} → {after} of its gradient"
            for task, (before, after) in ends.items()
        )

    def reaches(self, results: "Results") -> dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]:
        """K (S,) before and after training by task and cell; inf beyond the last lag."""
        ends = [standard.vanish_lag(self.of, pick=lambda array, at=at: array[:, at]) for at in (0, -1)]
        found: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
        for (task, cell), array in results.measured(self.of).items():
            values = [np.asarray(end.value(array, results.settings, task), float) for end in ends]
            found.setdefault(task.label if task else "", {})[cell.label] = (values[0], values[1])
        return found


def change(of_cells: Mapping[str, tuple[np.ndarray, np.ndarray]], limit: float) -> str:
    """What happened to the median reaches of cells, from pairs of K (S,) before and after.

    The verb goes by the standard deviation over cells of log2 K, what lies beyond `limit` counted as `limit`.

    >>> near, far = np.array([20.0]), np.array([np.inf])
    >>> change({"a": (near, near), "b": (near, far)}, limit=200)
    'parts the cells: 0 → 1 of 2 beyond 200 steps, the others 20 → 20'
    """
    before, after = (np.array([np.median(pair[when]) for pair in of_cells.values()]) for when in (0, 1))
    spread = [np.log2(np.minimum(medians, limit)).std() for medians in (before, after)]
    verb = "parts the cells" if spread[1] > (1 + _SAME) * spread[0] else "leaves the cells as far apart as they were"
    if spread[1] < (1 - _SAME) * spread[0]:
        verb = "draws the cells together"
    beyond = [int(np.isinf(medians).sum()) for medians in (before, after)]
    said = f"{verb}: {beyond[0]} → {beyond[1]} of {len(before)} beyond {limit:g} steps"
    inside = [medians[np.isfinite(medians)] for medians in (before, after)]
    return said + (f", the others {_range(inside[0])} → {_range(inside[1])}" if all(map(len, inside)) else "")


def _range(values: np.ndarray) -> str:
    ends = steps(float(values.min())), steps(float(values.max()))
    return ends[0] if ends[0] == ends[1] else "–".join(ends)
