"""Does the gradient of a freshly drawn network, or its memory, say up to which lag training will succeed?

Command: `python experiments/what_predicts_failure.py`, some two hours on two CPU cores by estimate;
`--configurations 24 --rates 0.002 --seeds 2` is a smaller one of some twenty minutes.

Measured for cells that differ in kind and in how they are drawn: the failing lag, found by bisection over recall with
one lag and with mixed lags; and of fresh networks on the same inputs the two predictors that were named beforehand,
K, the first lag at which A(k) is below a hundredth of A(0), and the first lag at which R²(k) is below a hundredth.

Expected: with one lag the gradient predicts the failing lag, and better than memory; with mixed lags it does not.
"""

import math
import sys
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from recurrax import lag, study, train
from recurrax.study import failing, networks, standard

CONFIGURATIONS = (
    *(f"elman:recurrent_gain={gain}" for gain in (0.6, 0.8, 0.9, 1.0, 1.1, 1.3)),
    *(f"elman:recurrent_init=lecun,recurrent_gain={gain}" for gain in (0.6, 0.8, 0.9, 1.0, 1.1, 1.3)),
    *(
        f"elman:activation=relu,recurrent_init=identity,recurrent_gain={gain}"
        for gain in (0.8, 0.9, 0.95, 0.98, 1.0, 1.02)
    ),
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

    @property
    def memory_lags(self) -> np.ndarray:
        """Lags of ratio 2^(1/4), rounded, from 1 to the longest."""
        return np.unique(np.round(2.0 ** np.arange(0, math.log2(self.longest) + 1e-9, 0.25)).astype(int))


def measure(settings: Settings, cell: Any, task: Any, run: study.Run) -> study.Arrays:
    """Bounds (S, 2) of the failing lag, the rate (S,), ln A(k) - ln A(0) (S, lags + 1) and R² (S, K)."""
    seeds = settings.network_seeds
    memory = []
    for seed in seeds:
        run.check()
        memory.append(memory_curve(settings, cell, task.with_lag(6 * settings.longest), seed))
    gradient = networks.drawn_curves(cell, task, settings.longest, seeds, settings.rows, before_each=run.check)
    found = failing.failing_lags(cell, task, settings, run.check)
    return {**found, "gradient": gradient, "memory": np.stack(memory), "seed": seeds}


def memory_curve(settings: Settings, cell: Any, task: Any, seed: int) -> np.ndarray:
    """R² (K,) at `settings.memory_lags` of the decoder of a task's inputs from the state of a fresh network."""
    lags = settings.memory_lags
    xs = task.batch(train.probe_key(seed), 1).xs
    rows = -(-settings.decoded // (len(xs) - 2 * int(lags[-1])))
    xs = task.batch(train.probe_key(seed), rows).xs
    # Some directions of a state vary too little for a float32 decoder; the setting holds for this thread alone.
    with jax.enable_x64(True):
        params = cell.init(train.init_key(jnp.asarray(seed)), task.input_size, jnp.float64)
        return np.asarray(lag.memory_curve(cell, params, xs.astype(jnp.float64), lags=lags.tolist()).r2)


def forgotten(memory: np.ndarray, settings: Settings, task: Any) -> list[float]:
    lags = settings.memory_lags
    return [float(lags[below[0]]) if (below := np.flatnonzero(curve < 0.01)).size else math.inf for curve in memory]


K = standard.vanish_lag("gradient", "K", epsilon=0.01, beyond="longest")
MEMORY = study.Number(
    "memory", "memory", forgotten, "steps", "first lag with R² below 0.01", show=study.steps, beyond="longest"
)
FIXED, LADDER = "recall", "recall:ladder=true"


def correlation(predictor: study.Number, task: str, level: str) -> tuple[study.Contrast, ...]:
    """A predictor with the failing lag, over all cells and among those that compute the same step."""
    terms = (study.Term(predictor, failing.FAILING_LAG, task),)
    what = f"{predictor.name} with the failing lag"
    return (
        study.Contrast(f"{what}, {task}", terms, level),
        study.Contrast(f"{what}, {task}, given the class", terms, level, within_class=True),
    )


def predicts(what: str, predictor: study.Number) -> study.Association:
    """That a number of fresh networks predicts their failing lag, whether lags are mixed or not."""
    contrasts = *correlation(predictor, FIXED, "one lag"), *correlation(predictor, LADDER, "mixed lags")
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
    """The correlation of K with the failing lag on every task, and what the cells gain from the first to the second."""
    said = []
    for task in filter(None, results.tasks):
        x, y = results.column(K, task.label), results.column(failing.FAILING_LAG, task.label)
        if x is not None and y is not None and len(x) > 3:
            rho = study.statistics.spearman(x, y)
            said.append(f"{task.label} {rho.estimate:+.2f} [{rho.low:+.2f}, {rho.high:+.2f}]")
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
