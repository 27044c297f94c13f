"""Where training fails on a task: the lag up to which networks of a cell solve it, and at which learning rate."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import optax

from recurrax import train
from recurrax.study import networks
from recurrax.study.quantities import Number, steps
from recurrax.study.settings import ConfirmingSettings
from recurrax.study.standard import threshold
from recurrax.tasks import Task
from recurrax.typing import Cell

WINDOW = 50
"""Training steps whose mean loss counts: one lucky batch does not solve a task."""
SOLVED = 0.2
"""The share of what the task's smallest landmark lies above its floor that a network which solves it may lose."""


@dataclass(frozen=True)
class FailingSettings(ConfirmingSettings):
    """Flags of a question about the lag at which training fails; networks are judged on `batch_size` held-out rows."""

    tasks: tuple[str, ...] = ("recall", "recall:ladder=true")
    """What is learned: names, or file.py:NAME, each with :field=value,... where wanted."""
    rates: tuple[float, ...] = (5e-4, 2e-3, 8e-3)
    """Adam's learning rates, of which each cell gets the one that fails last on each task, of equals the fastest."""
    shortest: int = 8
    """The first lag of a grid of ratio √2."""
    longest: int = 256
    """The lag that no lag of the grid exceeds."""
    steps: int = 800
    """Most Adam steps of a network."""

    LEAST: ClassVar = {"shortest": 1}

    def __post_init__(self):
        super().__post_init__()
        if not self.rates or not min(self.rates) > 0:
            raise ValueError(f"rates: expected positive numbers, at least one, got {self.rates}")
        train.lag_grid(self.shortest, self.longest)
        if self.row_devices != 1:
            raise ValueError(f"row_devices: expected 1, bisection trains one network at a time, got {self.row_devices}")


def solved_loss(task: Task) -> float:
    """The loss at which a task counts as solved: floor + 0.2 (smallest landmark - floor).

    >>> from recurrax.tasks import Recall
    >>> bool(np.isclose(solved_loss(Recall()), 0.1 * np.log(4)))
    True
    """
    floor = getattr(task, "floor", 0.0)
    return floor + SOLVED * (threshold(task) - floor)


def training(cell: Cell, task: Task, settings: ConfirmingSettings, seed: int, rate: float) -> train.Training:
    """One network on a task until its held-out loss, a mean over 50 steps, says that it is solved.

    Seed and rate are data, so cells that differ in how they are drawn, seeds and rates share one program per lag.
    """
    model = train.Readout(cell, task.input_size, task.output_size, task.every_step)
    held_out, loss = task.held_out(settings.batch_size), networks.loss(model, task)
    return train.Training(
        loss=loss,
        init=model.init,
        optimizer=optax.adam,
        batch=networks.batches(model, task, settings.batch_size),
        rows=(train.Row(seed, arguments={"learning_rate": rate}),),
        steps=settings.steps,
        max_norm=settings.max_norm,
        metrics=lambda params, batch: {"held out": loss(params, held_out)},
        stop=train.Target(solved_loss(task), min(WINDOW, settings.steps), "held out"),
    )


def failing_lags(
    cell: Cell, task: Task, settings: FailingSettings, before_each: Callable[[], object] = lambda: None
) -> dict[str, np.ndarray]:
    """Per network (S,): `solved` and `failed`, see `train.FailingLag`, and the learning `rate` chosen."""
    lags = train.lag_grid(settings.shortest, settings.longest)

    def find(rows: list[tuple[int, float]]) -> tuple[train.FailingLag, np.ndarray]:
        taken = np.full(len(rows), np.inf)  # steps to solve the longest lag solved

        def solves(lag: int, asked: np.ndarray) -> np.ndarray:
            longer, answers = task.with_lag(lag), []
            for row in asked:
                before_each()
                needed = _steps(training(cell, longer, settings, *rows[row]))
                answers.append(np.isfinite(needed))
                taken[row] = needed if answers[-1] else taken[row]
            return np.array(answers)

        return train.failing_lag(solves, len(rows), lags), taken

    rate = settings.rates[0]
    if len(settings.rates) > 1:
        tried, taken = find([(settings.first_seed - 1, each) for each in settings.rates])
        rate = settings.rates[np.lexsort((taken, -tried.solved))[0]]
    found, _ = find([(seed, rate) for seed in settings.network_seeds])
    return {"failing": np.stack(found, axis=1), "rate": np.full(settings.seeds, rate)}


def _steps(network: train.Training) -> float:
    """How many it takes to its target; inf where it does not come there, or meets an inf or a NaN."""
    try:
        (stopped,) = train.fit(network, progress=False).state.stopped_at
        return float(stopped) if stopped >= 0 else np.inf
    except train.NonFiniteError:
        return np.inf


def middles(bounds: np.ndarray, settings: FailingSettings, task: Any) -> np.ndarray:
    """√(solved failed) of bounds (S, 2); 1/√2 of the grid's first lag where not even that was solved, else inf."""
    solved, failed = bounds.T
    return np.where(solved == 0, settings.shortest / np.sqrt(2), np.sqrt(solved * failed))


FAILING_LAG = Number(
    "failing lag", "failing", middles, "steps",
    "√(last lag solved · first one failed), 1/√2 of the grid's first lag where that was not solved",
    show=steps, beyond="longest", below="shortest",
)  # fmt: skip
RATE = Number("learning rate", "rate", show="{:g}".format)
PROTOCOL = (
    "A network solves a task where its loss on {s.batch_size} held-out sequences, a mean over 50 of at most {s.steps} "
    "Adam steps, comes down to the task's floor and a fifth of what its smallest landmark lies above that.",
    "Lags are bisected from {s.shortest} to {s.longest} in ratios of √2; the learning rate is chosen among {s.rates} "
    "with a seed of its own, the one that fails last and of equals the fastest.",
)
