"""One number drawn network by network: a row per cell, in a panel per task."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recurrax import report
from recurrax.study.quantities import Number

if TYPE_CHECKING:
    from recurrax.study.results import Results


@dataclass(frozen=True)
class Dots:
    """A figure of a number that is positive: a panel per task, a row per cell, a dot per network on a log axis.

    Fields: `name` of its files; `title` and `caption`, templates; `number`, a column of one of the tables; `finding`
    says in a sentence, which stands in the picture, what the results show.
    """

    name: str
    title: str
    number: Number
    caption: str = ""
    finding: Callable[["Results"], str] = lambda results: ""

    def figure(self, results: "Results", drawn: dict[str, np.ndarray]) -> report.Figure | None:
        """The figure, what it draws put among `drawn`; None if nothing of it was measured."""
        rows: dict[str, list[report.Row]] = {}
        for cell, look in results.looks().items():
            for task in results.tasks:
                if one := results.summaries[self.number].get((task, cell)):
                    place = ".".join(filter(None, [self.name, task and task.label, cell.label]))
                    drawn[place] = one.values
                    rows.setdefault(task.label if task else "", []).append(report.Row(cell.label, place, look.slot))
        if not rows:
            return None
        beyond = getattr(results.settings, self.number.beyond) if self.number.beyond else None
        heading = self.number.heading(results.settings)
        panels = tuple(report.Dots(task, heading, tuple(of_task), beyond=beyond) for task, of_task in rows.items())
        said = "" if results.settings.smoke else self.finding(results)
        caption = f"{self.caption} Small: the {results.experiment.over}; large: their median.".strip()
        return report.Figure(self.name, self.title, caption, panels, min(2, len(panels)), said)
