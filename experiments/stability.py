"""Does an LSTM train more stably: over a wider range of learning rates than a simple recurrent network?

Command: `python experiments/stability.py`, some fifteen minutes on two CPU cores; `--steps 500` is a smaller one.

Measured: every network is trained at every rate of a grid from 1e-4 to 10, with gradients clipped and not, on a recall
that all cells can learn. Its window is the longest run of rates at which the mean loss of its last 50 steps says that
the task is solved: what is unlearned again does not count. The claim compares windows network by network; the table
also has the run of rates at which 5 of 6 networks solve it, and what happens at 0.3 times the upper end of a window:
how often the loss jumps up after the task was solved, and how much the gradient's norm varies.

Expected: a window wider by half a decade with forget bias 1, and not with forget bias 0.
"""

import sys
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import optax

from recurrax import study, train
from recurrax.report import Level
from recurrax.study import failing, standard

IRNN = "elman:activation=relu,recurrent_init=identity"
HOW = ("clipped", "not clipped")


@dataclass(frozen=True)
class Settings(study.ConfirmingSettings):
    """Does an LSTM train more stably: over a wider range of learning rates than a simple recurrent network?"""

    cells: tuple[str, ...] = ("elman", IRNN, "gru", "lstm:forget_bias=0", "lstm:forget_bias=1")
    tasks: tuple[str, ...] = ("recall:length=11",)
    """What is learned: names, or file.py:NAME, each with :field=value,... where wanted."""
    seeds: int = 8
    steps: int = 1500
    slowest: float = 1e-4
    """The lowest of Adam's learning rates."""
    decades: int = 5
    """Decades of rates from there."""
    per_decade: int = 4
    """Rates per decade."""

    LEAST: ClassVar = {"slowest": 1e-12, "decades": 1, "per_decade": 1}

    @property
    def rates(self) -> np.ndarray:
        return self.slowest * 10 ** (np.arange(self.decades * self.per_decade + 1) / self.per_decade)


def measure(settings: Settings, cell: Any, task: Any, run: study.Run) -> study.Arrays:
    """Per network, clipped or not, and rate: loss, jumps and variation, (S, 3, 2, R)."""
    model = train.Readout(cell, task.input_size, task.output_size, task.every_step)
    rows = [
        train.Row(seed, arguments={"learning_rate": float(rate)}, max_norm=limit)
        for seed in settings.network_seeds
        for limit in (settings.max_norm, np.inf)
        for rate in settings.rates
    ]
    training = train.Training(
        loss=study.networks.loss(model, task),
        init=model.init,
        optimizer=optax.adam,
        batch=study.networks.batches(model, task, settings.batch_size),
        rows=rows,
        steps=settings.steps,
        continue_others=True,
    )
    fitted = run.fit(training)
    losses, last = (
        np.asarray(fitted.metrics.loss, float),
        min(failing.WINDOW, settings.steps),
    )  # of float32 a mean overflows
    ends = np.where(np.asarray(fitted.state.failed_at) < 0, losses[-last:].mean(axis=0), np.inf)
    solved = study.statistics.time_to_threshold(losses, failing.solved_loss(task), last).steps
    after = np.arange(settings.steps)[:, None] >= solved
    jumps = (after & (losses > standard.threshold(task))).sum(axis=0) / np.maximum(after.sum(axis=0), 1)
    norms = fitted.metrics.log_gradient_norm[-last:].astype(float)
    variation = np.where(np.isfinite(norms).all(axis=0), np.nan_to_num(norms).std(axis=0), np.inf)
    of_each = [values.reshape(settings.seeds, 2, -1) for values in (ends, jumps, variation)]
    return {"trained": np.stack(of_each, axis=1), "seed": settings.network_seeds}


def windows(trained: np.ndarray, task: Any, how: int = 0, share: float | None = None) -> list[tuple[int, int]]:
    """Per network, start and end of the longest run of rates at which it, or a share of all, solves the task."""
    solved = trained[:, 0, how] <= failing.solved_loss(task)  # (S, R)
    if share is not None:
        solved = np.broadcast_to(solved.mean(axis=0) >= share, solved.shape)
    edges = [np.flatnonzero(np.diff([0, *row.astype(int), 0])).tolist() for row in solved]
    runs = [zip(of[::2], of[1::2], strict=True) for of in edges]
    return [max(of, key=lambda run: run[1] - run[0], default=(0, 0)) for of in runs]


def width(name: str, how: int, means: str, share: float | None = None) -> study.Number:
    """Of the windows, in decades; every rate of the grid stands for the distance to the next."""

    def decades(trained: np.ndarray, settings: Settings, task: Any) -> list[float]:
        return [(end - start) / settings.per_decade for start, end in windows(trained, task, how, share)]

    return study.Number(f"{name}, {HOW[how]}", "trained", decades, "decades", means)


def below_the_edge(name: str, place: int, means: str) -> study.Number:
    """What the clipped training was like at 0.3 times the upper end of each window; inf where there is none."""

    def values(trained: np.ndarray, settings: Settings, task: Any) -> list[float]:
        back = round(-settings.per_decade * np.log10(0.3))
        runs = zip(trained, windows(trained, task), strict=True)
        return [of[place, 0, max(end - 1 - back, start)] if end else np.inf for of, (start, end) in runs]

    return study.Number(name, "trained", values, means=f"{means}, clipped, at 0.3 times the window's upper end")


def finding(results: Any) -> str:
    """The common windows of all cells."""
    widths = [f"{cell.label} {one.text}" for (_, cell), one in results.summaries[COMMON].items()]
    return "" if results.settings.smoke else "\n".join(["Decades of rates that solve it, of 5 in 6 networks", *widths])


WINDOWS = [width("window", how, "longest run of learning rates that solve the task at the end") for how in (0, 1)]
COMMON = width("common window", 0, "that of the rates at which 5 of 6 networks do", 5 / 6)
COLUMNS = (
    *WINDOWS,
    COMMON,
    below_the_edge("jumps", 1, "share of steps with a loss above the smallest landmark once the task was solved"),
    below_the_edge("variation", 2, "standard deviation of the gradient's log norm, inf where it is 0 at times"),
)
ENDS = study.Curve(
    "{name}, clipped",
    "trained",
    x=lambda settings, size: np.log10(settings.rates),
    x_label="log10 of the learning rate",
    y_label="loss at the end ({task.unit})",
    value=lambda trained, settings, task: np.minimum(trained[:, 0, 0], max(task.landmarks.values(), default=np.inf)),
    levels=lambda settings, task: [Level(failing.solved_loss(task), "solved")],
    markers=True,
)
STABLE = study.Claim(
    "An LSTM trains more stably than a simple recurrent network: its window of learning rates is half a decade wider.",
    WINDOWS[0],
    (
        study.Pair("lstm:forget_bias=1", "elman", "forget bias 1"),
        study.Pair("lstm:forget_bias=1", IRNN, "forget bias 1, against identity and ReLU"),
        study.Pair("lstm:forget_bias=0", "elman", "forget bias 0"),
        study.Pair("lstm:forget_bias=1", "elman", "forget bias 1, unclipped", number=WINDOWS[1]),
    ),
    delta=0.5,
    depends_on="forget bias",
)
EXPERIMENT = study.Experiment(
    "stability",
    Settings,
    measure,
    numbers=(study.Numbers("Learning rates that work, {s.hidden_size} units", COLUMNS),),
    curves=(study.Curves("stability", "Which learning rates solve the task", (ENDS,), finding=finding),),
    claims=(STABLE,),
    protocol=(
        "{s.steps} Adam steps of {s.batch_size} sequences at every rate, to the end whatever happens; clipped: at a "
        "global norm of {s.max_norm:g}.",
        "A network solves a task where its mean loss over the last 50 steps, all of fresh sequences, comes down to the "
        "task's floor and a fifth of what its smallest landmark lies above that; one that met a NaN does not.",
    ),
    quick={"steps": 400, "per_decade": 2},
    smoke={
        "cells": ("elman",), "tasks": ("recall:length=5",), "seeds": 2, "hidden_size": 8, "steps": 3, "batch_size": 4,
        "decades": 2, "per_decade": 1,
    },
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(study.main(EXPERIMENT))
