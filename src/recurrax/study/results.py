"""From an experiment's arrays to its tables, figures, verdicts and the report that says them; nothing here measures."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recurrax import report
from recurrax.report import style
from recurrax.study import association, claims, named, networks
from recurrax.study.command import Findings
from recurrax.study.dots import Dots
from recurrax.study.quantities import IN_BRACKETS, WAYS, Curve, Curves, Number, Numbers, Summary, listed
from recurrax.study.reach import Reaches
from recurrax.study.scatter import Arrows, Scatter

if TYPE_CHECKING:
    from recurrax.study.experiment import Experiment

_SETTING = re.compile(r"\{s\.(\w+)[^}]*\}")

Figures = Curves | Dots | Reaches | Scatter | Arrows
"""What an experiment draws."""
Row = tuple[named.Name | None, named.Name]
"""A task, None where there is none, and a cell."""


def key(kind: str, task: named.Name | None, cell: named.Name) -> str:
    """The name of a measured array in arrays.npz."""
    return ".".join(filter(None, [kind, task and task.label, cell.label]))


def looks(cells: Sequence[named.Name]) -> dict[named.Name, style.Look]:
    """Colour and dash of the line of each cell: cells of one class have one colour."""
    return dict(zip(cells, style.looks([cell.kind.__name__ for cell in cells]), strict=True))


class Results:
    """The arrays of an experiment and what is made of them."""

    def __init__(self, experiment: "Experiment", settings: Any, arrays: Mapping[str, np.ndarray]):
        self.experiment, self.settings, self.arrays = experiment, settings, arrays
        self.cells, self.drawn = experiment.cells(settings), named.cells(settings.cells)
        self.tasks = experiment.tasks(settings)
        self.numbers = experiment.numbers(settings) if callable(experiment.numbers) else experiment.numbers
        columns = [column for numbers in self.numbers for column in numbers.columns]
        self.summaries = {column: self._summaries(column) for column in columns}
        lacking = sorted({column.of for column in columns if not (self.summaries[column] or column.optional)})
        if lacking and all(part.when(settings) for part in experiment.parts):
            kinds = sorted({name.partition(".")[0] for name in arrays})
            raise ValueError(f"numbers: expected arrays {', '.join(lacking)} from measure, got {', '.join(kinds)}")

    def findings(self) -> Findings:
        """All that is saved of them."""
        drawn = dict(self.arrays)
        figures = [figure for curves in self.experiment.curves for figure in self._figures(curves, drawn) if figure]
        tables = [table for numbers in self.numbers if (table := self._table(numbers))]
        tables += [self.experiment.texts(self)] if self.experiment.texts else []
        judged = [verdict for claim in self.experiment.claims if (verdict := self._judge(claim))]
        first = self._first_number()
        said = report.Report(
            question=(self.experiment.settings.__doc__ or "").partition("\n")[0],
            answer="\n".join(
                [*(f"{what}: {values}." for what, values in first.items()), *(verdict.answer for verdict in judged)]
            ),
            findings=tuple(sentence for verdict in judged for sentence in verdict.sentences()),
            tables=tuple(tables),
            figures=tuple(figures),
            protocol=(*map(self._fill, self.experiment.protocol), *self._described()),
            key_figures=tuple(report.KeyFigure(what, values) for what, values in first.items()),
        )
        return Findings(drawn, self._saved(), said, [verdict.saved() for verdict in judged])

    def _fill(self, template: str, task: named.Name | None = None) -> str:
        return template.format(s=self.settings, task=self.tasks[task] if task else None, name=task and task.label)

    def _summaries(self, number: Number) -> dict[Row, Summary]:
        """What a number comes to, for every task and cell of which its array was measured."""
        return {
            (task, cell): number.summary(array, self.settings, self.tasks[task])
            for (task, cell), array in self.measured(number.of).items()
        }

    def _first_number(self) -> dict[str, str]:
        """The first number there is, by its heading and task: all cells, the smallest first."""
        measured = [number for number, summaries in self.summaries.items() if summaries]
        if not measured:
            return {}
        number, found = measured[0], {}
        for task in self.tasks:
            on_task = {cell.label: one for (place, cell), one in self.summaries[number].items() if place == task}
            ranked = sorted(on_task.items(), key=lambda item: item[1].interval.estimate)
            heading = number.heading(self.settings) + (f" on {task.label}" if task else "")
            found[heading] = "; ".join(f"{label} {one.text}" for label, one in ranked)
        return found

    def _table(self, numbers: Numbers) -> report.Table | None:
        columns = [column for column in numbers.columns if self.summaries[column]]
        if not columns:
            return None
        rows = []
        for task in self.tasks:
            for cell in self.cells:
                found = (self.summaries[column].get((task, cell)) for column in columns)
                shown = ["-" if one is None else one.text for one in found]
                if set(shown) != {"-"}:
                    rows.append((*([task.label] if task else []), cell.label, *shown))
        names = ["cell"] if None in self.tasks else ["task", "cell"]
        return report.Table(
            title=self._fill(numbers.title),
            caption=" ".join([*self._explained(columns), self._fill(numbers.caption)]).strip(),
            columns=(*names, *(column.heading(self.settings) for column in columns)),
            rows=tuple(rows),
        )

    def _explained(self, columns: Sequence[Number]) -> Iterator[str]:
        """What each column is, and how networks were summed up in it."""
        meanings: dict[str, list[str]] = {}
        middles: dict[str, list[str]] = {}
        for column in columns:
            name = self._fill(column.name)
            middles.setdefault(column.middle, []).append(name)
            if column.means:
                meanings.setdefault(self._fill(column.means), []).append(name)
        for means, names in meanings.items():
            yield f"{', '.join(names)}: {means}."
        several = len(middles) > 1
        ways = listed([WAYS[middle] + (f" of {listed(of)}" if several else "") for middle, of in middles.items()])
        yield f"{ways[0].upper()}{ways[1:]} over {self.experiment.over}, none left out; {IN_BRACKETS}."

    def measured(self, of: str) -> dict[Row, np.ndarray]:
        """The arrays of that name, for every task and cell of which it was measured."""
        places = {(task, cell): key(of, task, cell) for task in self.tasks for cell in self.cells}
        return {place: self.arrays[name] for place, name in places.items() if name in self.arrays}

    def looks(self) -> dict[named.Name, style.Look]:
        """Colour and dash of every cell where all are drawn."""
        return looks(self.drawn)

    def _figures(self, curves: Figures, drawn: dict[str, np.ndarray]) -> Iterator[report.Figure | None]:
        if not isinstance(curves, Curves):
            yield curves.figure(self, drawn)
            return
        for name, cells in self._groups(curves).items():
            yield self._figure(name, curves, cells, drawn)

    def _groups(self, curves: Curves) -> dict[str, tuple[named.Name, ...]]:
        """Names of figures and the cells in each: all, or those of one class."""
        if not curves.per_class:
            return {curves.name: self.drawn}
        kinds = dict.fromkeys(cell.kind for cell in self.drawn)
        return {
            f"{curves.name}_{kind.__name__.lower()}": tuple(cell for cell in self.drawn if cell.kind is kind)
            for kind in kinds
        }

    def _figure(
        self, name: str, curves: Curves, cells: Sequence[named.Name], drawn: dict[str, np.ndarray]
    ) -> report.Figure | None:
        panels = [
            panel
            for task in self.tasks
            for index, curve in enumerate(curves.panels)
            if (panel := self._panel(f"{name}.{index}", curve, cells, task, drawn))
        ]
        if not panels:
            return None
        over = f"Median over {self.experiment.over}, band from the 10th to the 90th percentile."
        caption = f"{self._fill(curves.caption)} {over}"
        title = self._fill(curves.title) + (f": {cells[0].kind.__name__}" if curves.per_class else "")
        finding = curves.finding(self) if curves.finding else ""
        return report.Figure(name, title, caption.strip(), tuple(panels), min(2, len(panels)), finding)

    def _panel(
        self,
        name: str,
        curve: Curve,
        cells: Sequence[named.Name],
        task: named.Name | None,
        drawn: dict[str, np.ndarray],
    ) -> report.Panel | None:
        """A panel, what it draws put among `drawn`; None if nothing of it was measured."""
        lines, built = [], self.tasks[task]
        for cell, look in looks(cells).items():
            if (measured := key(curve.of, task, cell)) in self.arrays:
                y = np.asarray(curve.value(self.arrays[measured], self.settings, built))
                x = np.asarray(curve.x(self.settings, y.shape[-1]))
                line = report.Line(cell.label, f"x.{name}.{y.shape[-1]}", key(f"y.{name}", task, cell), *look)
                drawn |= {line.x: x, line.y: y}
                lines.append(line)
        if not lines:
            return None
        return report.Panel(
            title=self._fill(curve.title, task),
            x_label=self._fill(curve.x_label, task),
            y_label=self._fill(curve.y_label, task),
            lines=tuple(lines),
            levels=tuple(curve.levels(self.settings, built)),
            marks=tuple(curve.marks(self.settings, built)),
            x_scale=curve.x_scale,
            y_scale=curve.y_scale,
            y_limits=curve.y_limits,
            markers=curve.markers,
        )

    def column(self, number: Number, task: str) -> np.ndarray | None:
        """The median of a number for every cell drawn (N,) on the task of that label, None where one lacks it."""
        summaries = self.summaries.get(number) or self._summaries(number)
        found = {cell: one for (at, cell), one in summaries.items() if at and at.label == task}
        return np.array([found[cell].interval.estimate for cell in self.drawn]) if {*self.drawn} <= {*found} else None

    def _judge(self, claim: claims.Claim | association.Association) -> claims.Verdict | None:
        """The verdict on a claim from the cells and tasks that were measured."""
        if isinstance(claim, association.Association):
            return association.judge(
                claim, self.column, [networks.step_text(cell.build(hidden_size=8)) for cell in self.drawn]
            )
        compared = []
        for pair, task in itertools.product(claim.pairs, self.tasks):
            number = pair.number or claim.number
            other = self._task(pair.against_task) if pair.against_task else task
            places = [(task, pair.of), *([(other, pair.against)] if pair.against else [])]
            samples = [self._sample(number, *place) for place in places]
            found = [sample for sample in samples if sample]
            if pair.against_task and len(found) == 2:
                found[1] = found[1]._replace(label=f"{found[1].label} on {pair.against_task}")
            if len(found) == len(samples) and pair.task in (None, task and task.label):
                compared.append(claims.Evidence(pair, task.label if task else "", *found))
        return claims.judge(claim, claim.number.heading(self.settings), compared)

    def _task(self, label: str) -> named.Name | None:
        """The task of that label; None, of which nothing was measured, where there is none."""
        return next((task for task in self.tasks if task and task.label == label), None)

    def _sample(self, number: Number, task: named.Name | None, text: str) -> claims.Sample | None:
        """What was measured of a cell on a task, None if nothing was."""
        cell, summaries = self._measured(text), self._summaries(number)
        if cell is None or (task, cell) not in summaries:
            return None
        seeds = self.arrays[key(f"seeds.{number.of}", task, cell)]
        return claims.Sample(cell.label, seeds, summaries[task, cell].bounds)

    def _measured(self, text: str) -> named.Name | None:
        """The cell measured that is the one a text names, however that was written."""
        wanted = named.cell(text).build(hidden_size=8)
        return next((cell for cell in self.cells if cell.build(hidden_size=8) == wanted), None)

    def _described(self) -> Iterator[str]:
        """Every task and cell in its own words."""
        for task, built in self.tasks.items():
            if task and built:
                source = getattr(built, "source", "")
                yield f"{task.label}: {built.describes}; its loss in {built.unit}{source and f'; {source}'}."
        for cell in self.cells:
            yield f"{cell.label}: {self.experiment.parts[0].build(cell, self.settings)}."

    def _saved(self) -> dict[str, Any]:
        """Every number by task, cell, table and column, named alike whatever the settings: a sweep compares them."""
        found: dict[str, Any] = {}
        for numbers in self.numbers:
            for column in numbers.columns:
                for (task, cell), one in self.summaries[column].items():
                    of_cell = (found.setdefault(task.label, {}) if task else found).setdefault(cell.label, {})
                    of_cell.setdefault(_unfilled(numbers.title), {})[_unfilled(column.name)] = one.saved()
        return found


def _unfilled(template: str) -> str:
    """A template with the names of settings in place of their values."""
    return _SETTING.sub(r"\1", template)
