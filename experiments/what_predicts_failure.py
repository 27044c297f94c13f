"""Does the gradient of a freshly drawn network, or its memory, say up to which lag training will succeed?

Command: `python experiments/what_predicts_failure.py`, some 120 minutes on two CPU cores by estimate;
`--configurations 24 --rates 0.002 --seeds 2` is a smaller one of some twenty minutes.

Measured for cells that differ in kind and in how they are drawn: the failing lag, found by bisection over recall with
one lag and with mixed lags; and of fresh networks on the same inputs the two predictors that were named beforehand,
K, the first lag at which A(k) is below a hundredth of A(0), and the first lag at which R²(k) is below a hundredth.

Expected: with one lag the gradient predicts the failing lag, and better than memory; with mixed lags it does not.
"""

import sys
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from recurrax import study
from recurrax.study import failing, networks, standard

IRNN = "elman:activation=relu,recurrent_init=identity"
CONFIGURATIONS = (
    *(f"elman:recurrent_gain={gain}" for gain in (0.6, 0.8, 0.9, 1.0, 1.1, 1.3)),
    *(f"elman:recurrent_init=lecun,recurrent_gain={gain}" for gain in (0.6, 0.8, 0.9, 1.0, 1.1, 1.3)),
    *(f"{IRNN},recurrent_gain={gain}" for gain in (0.8, 0.9, 0.95, 0.98, 1.0, 1.02)),
    *(f"gru:update_bias={bias}" for bias in (-2, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 4)),
    *(f"lstm:forget_bias={bias}" for bias in (-1, 0, 1, 2, 3, 4, 5)),
    *(f"lstm:forget_bias={bias},input_bias={-bias}" for bias in (1, 2, 3, 4, 5)),
    *(f"lstm:forget_bias=chrono,t_max={t_max}" for t_max in (8, 16, 32, 64, 128, 256, 512, 1024)),
)


@dataclass(frozen=True)
class Settings(failing.FailingSettings):
    """Does the gradient of a freshly drawn network, or its memory, say up to which lag training will succeed?"""

    cells: tuple[str, ...] = CONFIGURATIONS
    configurations: int = len(CONFIGURATIONS)
    """How many of the cells are measured, evenly spread over their list; all where there are no more."""
    seeds: int = 3
    rows: int = 16
    """Sequences per network whose gradient is measured."""
    decoded: int = 60_000
    """Steps that the linear decoder is fitted to and tried on, in float64: with 12,000 of them R² = 0.01 is noise."""

    LEAST: ClassVar = {"configurations": 1, "rows": 1, "decoded": 200}

    def __post_init__(self):
        super().__post_init__()
        if len(self.cells) > self.configurations:
            places = np.linspace(0, len(self.cells) - 1, self.configurations).round().astype(int)
            object.__setattr__(self, "cells", tuple(self.cells[place] for place in places))


def measure(settings: Settings, cell: Any, task: Any, run: study.Run) -> study.Arrays:
    """Bounds (S, 2) of the failing lag, the rate (S,), ln A(k) - ln A(0) (S, lags + 1) and R² (S, K)."""
    seeds, longest = settings.network_seeds, settings.longest
    memory = networks.drawn_memory(cell, task, longest, seeds, settings.decoded, run.check)
    gradient = networks.drawn_curves(cell, task, longest, seeds, settings.rows, before_each=run.check)
    found = failing.failing_lags(cell, task, settings, run.check)
    return {**found, "gradient": gradient, "memory": memory, "seed": seeds}


K = standard.vanish_lag("gradient", "K", epsilon=0.01, beyond="longest")
MEMORY = standard.forgotten("memory", "memory", 0.01, "longest")
FIXED, LADDER = "recall", "recall:ladder=true"


def predicts(what: str, predictor: study.Number) -> study.Association:
    """That a number of fresh networks predicts their failing lag, over all cells and among those of the same step."""
    contrasts = tuple(
        study.Contrast(f"{predictor.name} with the failing lag, {task}{said}", terms, level, within_class)
        for task, level in ((FIXED, "one lag"), (LADDER, "mixed lags"))
        for terms in [(study.Term(predictor, failing.FAILING_LAG, task),)]
        for said, within_class in (("", False), (", given the class", True))
    )
    return study.Association(f"{what} predicts where training fails.", contrasts, 0.5, "whether lags are mixed")


LEAD = tuple(
    study.Term(predictor, failing.FAILING_LAG, task, sign)
    for predictor, task, sign in ((K, FIXED, 1), (MEMORY, FIXED, -1), (K, LADDER, -1), (MEMORY, LADDER, 1))
)
CLAIMS = (
    predicts("The gradient of a fresh network", K),
    predicts("The memory of a fresh network", MEMORY),
    study.Association(
        "The gradient's lead over memory as a predictor is larger with one lag than with mixed lags.",
        (study.Contrast("(K - memory with one lag) - (K - memory with mixed lags)", LEAD),),
        delta=0.2,
    ),
)


def finding(results: Any) -> str:
    """The correlation of K with the failing lag on every task."""
    said = [f"{task.label} {study.correlation(results, K, failing.FAILING_LAG, task.label)}" for task in results.tasks]
    return f"Rank correlation of the fresh networks' K with the lag at which training fails: {'; '.join(said)}."


EXPERIMENT = study.Experiment(
    "what_predicts_failure",
    Settings,
    measure,
    numbers=(
        study.Numbers(
            "Where training fails, {s.hidden_size} units, and what fresh networks say",
            (failing.FAILING_LAG, K, MEMORY, failing.RATE),
        ),
    ),
    curves=(
        study.Scatter("what_predicts_failure", "Failing lag against K", K, failing.FAILING_LAG, finding),
        study.Arrows("failing_lags", "Failing lag with one lag and with mixed lags", failing.FAILING_LAG),
    ),
    claims=CLAIMS,
    protocol=failing.PROTOCOL,
    quick={"configurations": 16, "seeds": 1, "rates": (2e-3,), "longest": 64, "steps": 400},
    smoke={
        "cells": ("elman",), "tasks": ("recall",), "configurations": 1, "seeds": 2, "hidden_size": 8,
        "rates": (2e-3,), "shortest": 4, "longest": 5, "steps": 3, "batch_size": 4, "rows": 2, "decoded": 400,
    },
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(study.main(EXPERIMENT))
