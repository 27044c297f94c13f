"""Do an IRNN and an LSTM learn to add over 150 steps where a network of tanh units does not?

Command: `python experiments/reproduce_le2015.py`, some forty minutes on two CPU cores; `--steps 3000` is smaller.

Measured: Adam steps until networks of 100 units solve the adding problem of 150 steps: tanh units, an IRNN (rectified
units whose recurrent kernel begins as the identity), rectified units that begin orthogonal, and an LSTM, each at the
best of three rates.

Expected, as Le, Jaitly and Hinton (2015) report: IRNN and LSTM solve it, tanh units do not.
"""

import sys
from dataclasses import dataclass
from typing import Any

from recurrax import study
from recurrax.study import solving

TANH, RECTIFIED, LSTM = "elman", "elman:activation=relu", "lstm:forget_bias=1"
IRNN = "elman:activation=relu,recurrent_init=identity"


@dataclass(frozen=True)
class Settings(solving.SolvingSettings):
    """Do an IRNN and an LSTM learn to add over 150 steps where a network of tanh units does not?"""

    cells: tuple[str, ...] = (TANH, RECTIFIED, IRNN, LSTM)
    tasks: tuple[str, ...] = ("adding:length=150",)
    """What is learned: names, or file.py:NAME, each with :field=value,... where wanted."""
    seeds: int = 7
    """Fewer could never decide two comparisons."""
    hidden_size: int = 100
    batch_size: int = 16
    steps: int = 6000
    """Networks that need half of it have to be told from those that fail."""
    rates: tuple[float, ...] = (3e-4, 1e-3, 3e-3)


def measure(settings: Settings, cell: Any, task: Any, run: study.Run) -> study.Arrays:
    """Steps (S,) until the task is solved, and the learning rate (S,)."""
    return solving.steps_to_solve(settings, cell, task, run)


LATER = study.Claim(
    "A network of tanh units takes more than twice the steps of an IRNN, and of an LSTM, to learn to add.",
    solving.NEEDED,
    (study.Pair(TANH, IRNN), study.Pair(TANH, LSTM)),
    delta=1.0,
    effect="log2 ratio",
    depends_on="the other network",
    published=study.Published(
        "Le, Jaitly and Hinton (2015), A Simple Way to Initialize Recurrent Networks of Rectified Linear Units",
        "At 150 steps IRNN and LSTM solve the adding problem; tanh units later, and from 200 steps on not at all.",
        "SGD over a far longer training there, Adam over thousands of steps here; units and batches as there, inputs "
        "drawn by our default instead of from N(0, 0.001²).",
    ),
)
EXPERIMENT = study.Experiment(
    "reproduce_le2015",
    Settings,
    measure,
    numbers=(study.Numbers("Adam steps to solve it", (solving.NEEDED,)),),
    claims=(LATER,),
    protocol=solving.PROTOCOL,
    quick={"tasks": ("adding:length=50",), "hidden_size": 32, "steps": 1000},
    smoke={
        "cells": ("elman",), "tasks": ("adding:length=6",), "seeds": 2, "hidden_size": 8, "batch_size": 4, "steps": 2,
        "rates": (1e-3,),
    },
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(study.main(EXPERIMENT))
