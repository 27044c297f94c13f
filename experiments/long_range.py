"""Does an LSTM learn dependencies that are twice as long as those a simple recurrent network learns?

Command: `python experiments/long_range.py`, six minutes on two CPU cores; `--longest 256 --steps 1500` asks for more,
`--cells elman gru lstm:forget_bias=0 lstm:forget_bias=chrono` asks it of others.

Measured: the failing lag, found by bisection over the task's longest lag for each network, on recall with one lag and
with mixed lags, adding, temporal order, copying and embedded Reber strings.

Expected: twice as long where lags are mixed; not against a rectified network started at the identity.
"""

import sys
from dataclasses import dataclass
from typing import Any

from recurrax import study
from recurrax.study import failing

IRNN = "elman:activation=relu,recurrent_init=identity"


@dataclass(frozen=True)
class Settings(failing.FailingSettings):
    """Does an LSTM learn dependencies that are twice as long as those a simple recurrent network learns?"""

    cells: tuple[str, ...] = ("elman", IRNN, "lstm:forget_bias=1")
    tasks: tuple[str, ...] = ("recall", "recall:ladder=true", "adding", "temporalorder", "copy", "reber")
    """What is learned: names, or file.py:NAME, each with :field=value,... where wanted."""
    seeds: int = 9
    """Fewer could never decide any of twelve comparisons, two for each task."""
    rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2)
    longest: int = 128
    """The lag that no lag of the grid exceeds."""


def measure(settings: Settings, cell: Any, task: Any, run: study.Run) -> study.Arrays:
    """Bounds (S, 2) of the failing lag, and the learning rate (S,)."""
    return {**failing.failing_lags(cell, task, settings, run.check), "seed": settings.network_seeds}


LONGER = study.Claim(
    "An LSTM learns dependencies more than twice as long as a simple recurrent network does.",
    failing.FAILING_LAG,
    (
        study.Pair("lstm:forget_bias=1", "elman", "against an orthogonal start"),
        study.Pair("lstm:forget_bias=1", IRNN, "against identity and ReLU"),
    ),
    delta=1.0,
    effect="log2 ratio",
    depends_on="initialisation",
)
EXPERIMENT = study.Experiment(
    "long_range",
    Settings,
    measure,
    numbers=(study.Numbers("Where training fails, {s.hidden_size} units", (failing.FAILING_LAG, failing.RATE)),),
    claims=(LONGER,),
    protocol=failing.PROTOCOL,
    quick={"tasks": ("recall", "recall:ladder=true"), "rates": (2e-3,), "longest": 64, "steps": 400},
    smoke={
        "cells": ("elman",), "tasks": ("recall",), "seeds": 2, "hidden_size": 8, "rates": (2e-3,), "shortest": 4,
        "longest": 5, "steps": 3, "batch_size": 4,
    },
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(study.main(EXPERIMENT))
