"""Does every gate of an LSTM matter: does it learn more slowly without its input, forget or output gate?

Command: `python experiments/gates.py`, some ten minutes on two CPU cores; `--tasks adding --seeds 6` is a smaller one.

Measured: training steps until the mean held-out loss of 50 steps comes below the task's smallest landmark, what the
best predictor of a stated part of the truth loses, for an LSTM and for one that lacks a gate, couples two, sees its
memory, or has a linear candidate or output. Tasks: adding, recall with mixed lags, copying, which needs release of what
was kept, and characters. All learn at one rate; those that never get there count as later than the last step.

Expected: input and forget gate matter on adding, the output gate nowhere; coupled gates learn faster than separate.
"""

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recurrax import study, train
from recurrax.study import claims, failing, standard

GATES = ("input_gate", "forget_gate", "output_gate")


@dataclass(frozen=True)
class Settings(study.ConfirmingSettings):
    """Does every gate of an LSTM matter: does it learn more slowly without its input, forget or output gate?"""

    cells: tuple[str, ...] = (
        "lstm", *(f"lstm:{gate}=false" for gate in GATES), "lstm:coupled=true", "lstm:peepholes=true", "janet",
        "lstm:candidate=identity", "lstm:activation=identity",
    )  # fmt: skip
    tasks: tuple[str, ...] = (
        "adding:length=50", "recall:length=46,ladder=true", "copy:delay=10", "characters:length=50,symbols=32",
    )  # fmt: skip
    """What is learned: names, or file.py:NAME, each with :field=value,... where wanted."""
    seeds: int = 10
    steps: int = 2000
    learning_rate: float = 2e-3
    """Adam's, of all cells."""


def measure(settings: Settings, cell: Any, task: Any, run: study.Run) -> study.Arrays:
    """Steps until the held-out loss is below the smallest landmark, (S,); inf where it never was."""
    alone = failing.training(cell, task, settings, settings.first_seed, settings.learning_rate)
    rows = [train.Row(seed, arguments=alone.rows[0].arguments) for seed in settings.network_seeds]
    target = train.Target(standard.threshold(task), min(failing.WINDOW, settings.steps), "held out")
    state = run.fit(dataclasses.replace(alone, rows=rows, stop=target, continue_others=True)).state
    took = np.asarray(state.stopped_at)
    return {"steps": np.where(took < 0, np.inf, took), "seed": settings.network_seeds}


def every_gate(found: Sequence[claims.Comparison]) -> str:
    """Supported if each gate matters on some task, refuted if one matters on none."""
    of_gates = [{one.verdict for one in found if one.level == level} for level in {one.level for one in found}]
    if all(claims.SUPPORTED in of_gate for of_gate in of_gates):
        return claims.SUPPORTED
    return claims.REFUTED if {claims.REFUTED} in of_gates else claims.UNDECIDED


def finding(results: Any) -> str:
    """Median steps over those of the first cell, of cells that differ from it by δ, a line per task."""
    lines = []
    for task in results.tasks:
        steps = {cell: one.interval.estimate for (on, cell), one in results.summaries[TIME].items() if on == task}
        ratios = {cell.label: of / steps[results.cells[0]] for cell, of in steps.items()}
        apart = [f"{label} {of:.2g}" for label, of in ratios.items() if abs(np.log2(of)) >= MATTER.delta]
        lines.append(f"{task.label}: {', '.join(apart) or 'none'}")
    return "\n".join([f"Times as many steps as {results.cells[0].label}, of cells half an octave from it", *lines])


TIME = study.Number(
    "learned after", "steps", unit="steps", means="until the held-out loss is below the smallest landmark",
    middle="time", show=study.steps, beyond="steps",
)  # fmt: skip
MATTER = study.Claim(
    "Every gate of an LSTM matters: without it, learning takes more than 1.4 times as many steps on some task.",
    TIME,
    tuple(study.Pair(f"lstm:{gate}=false", "lstm", f"no {gate.replace('_', ' ')}") for gate in GATES),
    delta=0.5,
    effect="log2 ratio",
    depends_on="the gate",
    rule=every_gate,
)
SEPARATE = study.Claim(
    "Input and forget gate have to be separate: tied to each other, learning takes more than 1.4 times as many steps.",
    TIME,
    (study.Pair("lstm:coupled=true", "lstm", "coupled"), study.Pair("janet", "lstm", "no output gate either")),
    delta=0.5,
    effect="log2 ratio",
    depends_on="the cell",
)
EXPERIMENT = study.Experiment(
    "gates",
    Settings,
    measure,
    numbers=(study.Numbers("Steps to learn, {s.hidden_size} units", (TIME,)),),
    curves=(study.Dots("gates", "How long cells without a part take to learn", TIME, finding=finding),),
    claims=(MATTER, SEPARATE),
    protocol=(
        "Adam at {s.learning_rate:g} on batches of {s.batch_size}, gradients clipped at a global norm of "
        "{s.max_norm:g}, at most {s.steps} steps; the held-out loss, of {s.batch_size} sequences, is a mean over 50 "
        "steps.",
        "A seed gives all cells the same batches. Each claim's p values are adjusted for its own comparisons: with 10 "
        "networks no more than 25 of them could be told at all.",
    ),
    quick={"steps": 600},
    smoke={
        "cells": ("lstm",), "tasks": ("recall:length=5",), "seeds": 2, "hidden_size": 8, "steps": 3, "batch_size": 4,
    },
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(study.main(EXPERIMENT))
