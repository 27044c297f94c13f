"""Does clipping the gradient's norm let a simple recurrent network learn the temporal order problem?

Command: `python experiments/reproduce_pascanu2013.py`, some three minutes on two CPU cores; `--steps 2000` is a smaller
one.

Measured: SGD steps until networks of 50 tanh units solve the problem with 50 and with 100 steps, from the same start
and on the same batches with gradients clipped to norm 1 and not.

Expected, as Pascanu, Mikolov and Bengio (2013) report: networks solve it that do not without clipping.
"""

import math
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from recurrax import study
from recurrax.study import solving


@dataclass(frozen=True)
class Settings(solving.SolvingSettings):
    """Does clipping the gradient's norm let a simple recurrent network learn the temporal order problem?"""

    cells: tuple[str, ...] = ("elman",)
    tasks: tuple[str, ...] = ("temporalorder:length=50", "temporalorder:length=100")
    """What is learned: names, or file.py:NAME, each with :field=value,... where wanted."""
    seeds: int = 8
    """Fewer could never decide two comparisons."""
    hidden_size: int = 50
    batch_size: int = 20
    steps: int = 8000
    optimizer: solving.Optimizer = "sgd"
    rates: tuple[float, ...] = (0.1,)


def measure(settings: Settings, cell: Any, task: Any, run: study.Run) -> study.Arrays:
    """Steps (S, 2) until the task is solved, with gradients clipped and not."""
    arms = [
        solving.steps_to_solve(settings, cell, task, run._replace(name=f"{run.name}-{norm:g}"), norm)
        for norm in (settings.max_norm, math.inf)
    ]
    return {"needed": np.stack([arm["needed"] for arm in arms], axis=1), "seed": settings.network_seeds}


def solved(name: str, arm: int) -> study.Number:
    return study.Number(
        f"solved, {name}", "needed", lambda needed, settings, task: np.isfinite(needed[:, arm]), middle="fraction"
    )


GAINED = study.Number(
    "networks gained", "needed", lambda needed, settings, task: np.isfinite(needed).astype(float) @ [1, -1]
)
CLIPPING = study.Claim(
    "Of most networks that fail without it, the same start solves temporal order with clipping.",
    GAINED,
    (study.Pair("elman"),),
    delta=0.5,
    effect="value",
    depends_on="the length",
    published=study.Published(
        "Pascanu, Mikolov and Bengio (2013), On the Difficulty of Training Recurrent Neural Networks",
        "Clipping raises the share of networks that solve the problem; with a regulariser for vanishing gradients too, "
        "all do up to 200 steps.",
        "Up to 5 million steps at a rate of 0.01 there, thousands at 0.1 here, and no regulariser.",
    ),
)
EXPERIMENT = study.Experiment(
    "reproduce_pascanu2013",
    Settings,
    measure,
    numbers=(study.Numbers("Networks that solve it", (solved("clipped", 0), solved("not clipped", 1))),),
    claims=(CLIPPING,),
    protocol=solving.PROTOCOL,
    quick={"steps": 2000},
    smoke={
        "cells": ("elman",), "tasks": ("temporalorder:length=6",), "seeds": 2, "hidden_size": 8, "batch_size": 4,
        "steps": 2,
    },
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(study.main(EXPERIMENT))
