"""A question about cells and tasks: what is measured, and which numbers, curves and claims come of it.

An experiment names no cell and no task but as defaults of its settings, so those of a user's own file get the same
training, resume, tables, figures and verdicts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import numpy as np

from recurrax import runs, train
from recurrax.report import Table
from recurrax.study import named
from recurrax.study.association import Association
from recurrax.study.claims import Claim
from recurrax.study.command import Command, Findings
from recurrax.study.jobs import Job, JobResult
from recurrax.study.quantities import Numbers
from recurrax.study.results import Figures, Results, key
from recurrax.tasks import Task
from recurrax.typing import Cell

Arrays = Mapping[str, Any]
"""Arrays by name."""


class Run(NamedTuple):
    """Where a measurement keeps its progress: the run's folder, and a name of its own in it.

    row_devices, how many parts the rows of its trainings are split into.
    """

    folder: runs.RunFolder
    name: str
    row_devices: int = 1

    def check(self) -> None:
        """Raises `runs.Stopped` if a signal has asked the run to stop."""
        self.folder.stop.check()

    def fit(self, training: train.Training) -> train.Fitted:
        """Trains to the end, from wherever an earlier run of the same command came to.

        With `row_devices` its rows are split over these, and its batches, where they were to be split, over the rest.
        """
        if self.row_devices == 1:
            return train.fit_saved(training, self.folder, self.name, progress=False)
        batch = 1 if training.mesh is None else training.mesh.size // self.row_devices
        split = replace(training, mesh=train.mesh(self.row_devices, batch))
        fitted = train.fit_saved(split, self.folder, self.name, progress=False)
        # Measurements follow: left on all devices, each of these would do the whole of them.
        return fitted._replace(state=jax.device_put(jax.device_get(fitted.state)))


Measure = Callable[[Any, Any, Any, Run], Arrays]
"""(settings, cell, task, run) to arrays by name, whose first axis is networks; each network's "seed" among them.

The task is None where the settings have no `tasks`."""


@dataclass(frozen=True)
class Part:
    """A measurement of an experiment that has several, each a job of its own.

    Fields: `measure`; `title`, what it is called while it runs; `hidden_size`, the setting that says how large a cell
    is whose text does not; `when`, whether the settings ask for this part; `also`, texts of further cells that it
    measures for the tables and claims, and that are not drawn.
    """

    measure: Measure
    title: str = ""
    hidden_size: str = "hidden_size"
    when: Callable[[Any], bool] = lambda settings: True
    also: Callable[[Any], tuple[str, ...]] = lambda settings: ()

    def cells(self, settings: Any) -> tuple[named.Name, ...]:
        """Whom it measures."""
        return named.cells((*settings.cells, *self.also(settings))) if self.when(settings) else ()

    def build(self, cell: named.Name, settings: Any) -> Cell:
        """The cell in the size that this part measures."""
        return cell.build(hidden_size=getattr(settings, self.hidden_size))

    def job(self, settings: Any, cell: named.Name, task: named.Name | None, data: Task | None) -> Job:
        """The measurement of one cell on one task, whose arrays are named after both."""
        built = self.build(cell, settings)
        name = "-".join(filter(None, [task and task.slug, cell.slug, self.title]))

        def measure(folder: runs.RunFolder) -> JobResult:
            run = Run(folder, name, settings.row_devices)
            measured = dict(self.measure(settings, built, data, run))
            if "seed" not in measured:
                kinds = ", ".join(measured)
                raise ValueError(f"measure: expected an array 'seed' (S,) among what it gives, got {kinds}")
            seeds = np.asarray(measured.pop("seed"))
            arrays = {key(kind, task, cell): np.asarray(values) for kind, values in measured.items()}
            arrays |= {key(f"seeds.{kind}", task, cell): seeds for kind in measured}
            # A training has its lines in a folder of its own, from which it can go on; when it is done the run has all.
            return JobResult(arrays, trained=replace(folder, path=folder.path / name).metrics())

        return measure


@dataclass(frozen=True)
class Experiment:
    """A question, asked of every cell in `settings.cells` on every task in `settings.tasks`, if they have that.

    Fields:
        name: of the experiment, as of its script.
        settings: a frozen dataclass that extends `study.Settings`; the first line of its docstring is the question.
        measure: one measurement, or several parts.
        numbers: tables, or the settings to tables. The first column of the first one is what the answer says, and the
            overview of all runs.
        curves: figures.
        claims: beliefs to be judged, where their cells are among those measured.
        texts: a table of words, made from the results.
        protocol: how it was measured, sentences filled in with the settings `s`.
        smoke, quick: what --smoke and --quick do, see `Command`.
        over: what the first axis of measured arrays is, in words.
    """

    name: str
    settings: type
    measure: Measure | tuple[Part, ...]
    numbers: tuple[Numbers, ...] | Callable[[Any], tuple[Numbers, ...]]
    curves: tuple[Figures, ...] = ()
    claims: tuple[Claim | Association, ...] = ()
    texts: Callable[[Results], Table] | None = None
    protocol: tuple[str, ...] = ()
    smoke: Mapping[str, Any] = field(default_factory=dict)
    quick: Mapping[str, Any] = field(default_factory=dict)
    over: str = "networks"

    @property
    def parts(self) -> tuple[Part, ...]:
        return self.measure if isinstance(self.measure, tuple) else (Part(self.measure),)

    @property
    def command(self) -> Command:
        """Its command line."""
        return Command(self.name, self.settings, self.plan, self.finish, self.smoke, self.program, self.quick)

    def tasks(self, settings: Any) -> dict[named.Name | None, Task | None]:
        """The tasks that the settings name, built; None alone where they have no `tasks`."""
        if not hasattr(settings, "tasks"):
            return {None: None}
        sizes = {"length": settings.train_length} if hasattr(settings, "train_length") else {}
        return {task: task.build(**sizes) for task in named.tasks(settings.tasks)}

    def cells(self, settings: Any) -> tuple[named.Name, ...]:
        """All cells that are measured, those that the settings name first."""
        return tuple(dict.fromkeys(cell for part in self.parts for cell in part.cells(settings)))

    def program(self, settings: Any) -> dict[str, Any]:
        """Cells, tasks and measurements by name, of which an edit makes another program of the same settings."""
        parts = [part for part in self.parts if part.when(settings)]
        return {
            **{f"cell {cell.label}": self.parts[0].build(cell, settings) for cell in self.cells(settings)},
            **{f"task {task.label}": built for task, built in self.tasks(settings).items() if task},
            **{" ".join(filter(None, ["measure", part.title])): part.measure for part in parts},
        }

    def plan(self, settings: Any) -> dict[str, Job]:
        """Every measurement by its title, cells of one class apart from each other: the first compiles for the rest.

        Raises:
            ValueError: a cell or a task is unknown or cannot be built.
        """
        jobs = {}
        for task, data in self.tasks(settings).items():
            for part in self.parts:
                for cell in interleaved(part.cells(settings)):
                    title = ", ".join(filter(None, [task and task.label, cell.label, part.title]))
                    jobs[title] = part.job(settings, cell, task, data)
        return jobs

    def finish(self, settings: Any, arrays: Arrays) -> Findings:
        """What the arrays measured come to: numbers, figures, verdicts, and the report that says them."""
        return Results(self, settings, arrays).findings()


def main(experiment: Experiment, arguments: Sequence[str] | None = None) -> int:
    """Runs an experiment from its command line; the exit status, see `Command.main`."""
    return experiment.command.main(arguments)


def interleaved(cells: Sequence[named.Name]) -> list[named.Name]:
    """The cells in an order that puts one of each class first.

    Cells that differ only in how they are drawn are the same program, so whoever comes later finds it compiled.
    """
    rank = [sum(before.kind is cell.kind for before in cells[:i]) for i, cell in enumerate(cells)]
    return [cells[i] for i in sorted(range(len(cells)), key=lambda i: rank[i])]
