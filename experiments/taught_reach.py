"""Does the data teach how far gradients reach, wherever a cell began?

Command: `python experiments/taught_reach.py`, some four minutes on two CPU cores; `--tasks characters:symbols=32
--steps 300` is a smaller one.

Measured: K, the first lag with a gradient below a millionth, of the same networks before, while and after they are
trained, on Python source and, as controls, on the same characters shuffled and on recall of symbols that lie up to 11
or up to 45 steps back: data whose reach is known.

Expected: source draws cells whose K differ eightfold to within a factor of two of each other; shuffled, it does not
lengthen K; and a fourfold lag in the data more than doubles K.
"""

import sys
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from recurrax import lag, study, train
from recurrax.study import networks, standard

SOURCE, SHUFFLED = "characters:symbols=32", "characters:symbols=32,shuffled=true"
NEAR, FAR = "recall:length=12,ladder=true", "recall:length=46,ladder=true"
SHORTEST, ORTHOGONAL, GRU, LSTM, CHRONO = (
    "elman:init=uniform", "elman", "gru", "lstm:forget_bias=1", "lstm:forget_bias=chrono",
)  # fmt: skip


@dataclass(frozen=True)
class Settings(study.LagSettings, study.TrainingSettings):
    """Does the data teach how far gradients reach, wherever a cell began?"""

    tasks: tuple[str, ...] = (SOURCE, SHUFFLED, NEAR, FAR)
    seeds: int = 8
    """Fewer could never decide any of four comparisons."""
    first_seed: int = 100
    """The seed of the first network; the others follow."""
    lags: int = 200
    rows: int = 16
    """Sequences per network whose gradient is measured."""
    steps: int = 600
    probes: int = 7
    """How often the gradient is measured, evenly in log(1 + step), first and last step included."""

    LEAST: ClassVar = {"first_seed": 0, "rows": 1, "train_length": 4, "probes": 2}

    @property
    def probe_steps(self) -> tuple[int, ...]:
        return train.log_spaced(self.steps, self.probes)


def measure(settings: Settings, cell: Any, task: Any, run: study.Run) -> study.Arrays:
    """Losses (S, steps) and curves (S, P, T) at the probe steps."""
    seeds = range(settings.first_seed, settings.first_seed + settings.seeds)
    fitted, curves = networks.trained_curves(cell, task, settings, seeds, run.fit)
    return {"loss": fitted.metrics.loss.T, "during": curves, "seed": seeds}


def vanish_lags(curves: Any, settings: Settings, task: Any) -> Any:
    """K at every probe step (S, P), at most the longest lag measured."""
    flat = curves.reshape(-1, curves.shape[-1])
    return np.minimum([lag.vanish_lag(curve, standard.EPSILON) for curve in flat], settings.lags).reshape(
        curves.shape[:-1]
    )


BEFORE, AFTER, *_ = standard.decay_before_and_after("during")
REACHES = study.Reaches("taught_reach", "How far gradients reach before and after training")
COURSE = study.Curve(
    "{name}", "during", lambda settings, size: np.array(settings.probe_steps), "training step", "K (steps)",
    vanish_lags, x_scale="log", y_scale="log", markers=True,
)  # fmt: skip


def across(statement: str, task: str, against: str, depends_on: str) -> study.Claim:
    """That a cell's K after training on a task is more than twice what it is after training on another."""
    pairs = tuple(
        study.Pair(cell, cell, cell, task, against_task=against) for cell in (SHORTEST, ORTHOGONAL, GRU, LSTM)
    )
    return study.Claim(statement, AFTER, pairs, delta=1.0, effect="log2 ratio", depends_on=depends_on)


CLAIMS = (
    study.Claim(
        "The gradients of an LSTM reach more than twice as far as those of a simple recurrent network, on text.",
        BEFORE,
        tuple(
            study.Pair(of, SHORTEST, f"{start}, {when} training", SOURCE, number)
            for of, start in ((LSTM, "forget bias 1"), (CHRONO, "chrono"))
            for number, when in ((BEFORE, "before"), (AFTER, "after"))
        ),
        delta=1.0,
        effect="log2 ratio",
        depends_on="training",
    ),
    across("The order of characters teaches the reach: without it K is less than half.", SOURCE, SHUFFLED, "the cell"),
    across("The lags in the data teach the reach: a fourfold one more than doubles K.", FAR, NEAR, "the cell"),
)
EXPERIMENT = study.Experiment(
    "taught_reach",
    Settings,
    measure,
    numbers=(
        study.Numbers("Gradients before and after {s.steps} Adam steps, {s.hidden_size} units", (BEFORE, AFTER)),
        standard.LEARNED,
    ),
    curves=(
        REACHES,
        study.Curves("course", "How far gradients reach while networks are trained", (COURSE,)),
        standard.LOSS,
    ),
    claims=CLAIMS,
    protocol=(
        standard.ADJOINT,
        "Each network is measured on {s.rows} sequences, at lags up to {s.lags} whatever the length it was trained on; "
        "its curve is the median of ln A(k) - ln A(0) over them.",
        standard.TRAINING,
    ),
    quick={"steps": 100, "hidden_size": 32, "cells": (SHORTEST, LSTM, CHRONO), "tasks": (SOURCE, SHUFFLED)},
    smoke={
        "cells": ("elman",), "tasks": ("adding",), "seeds": 2, "hidden_size": 8, "lags": 16, "rows": 2, "steps": 4,
        "train_length": 10, "batch_size": 4, "probes": 3,
    },
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(study.main(EXPERIMENT))
