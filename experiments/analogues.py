"""Do speech, translation, sentiment and language need an LSTM, as far as their range goes?

Command: `python experiments/analogues.py`, some twenty minutes on two CPU cores by estimate;
`--tasks tones --rates 0.002 --longest 32` is a smaller one.

Measured: the failing lag on generated data that stand for each: keypad tones before silence, dates to rewrite after a
pause, sentences with a negator far from their end, verbs far from their subject.
An analogue: it tests the range, not real-world accuracy.

Expected: an LSTM fails at lags more than twice as long as an orthogonally started simple network, not as a rectified
one started at the identity.
"""

import sys
from dataclasses import dataclass
from typing import Any

from recurrax import study
from recurrax.study import failing

IRNN = "elman:activation=relu,recurrent_init=identity"


@dataclass(frozen=True)
class Settings(failing.FailingSettings):
    """Do speech, translation, sentiment and language need an LSTM, as far as their range goes?"""

    cells: tuple[str, ...] = ("elman", IRNN, "gru", "lstm")
    tasks: tuple[str, ...] = ("tones", "dates", "sentiment", "agreement")
    """What is learned: names, or file.py:NAME, each with :field=value,... where wanted."""
    seeds: int = 7
    """Fewer could never decide either of two comparisons."""
    shortest: int = 24
    """The first lag of a grid of ratio √2; dates need as much."""
    steps: int = 1500
    max_norm: float = 5.0


def measure(settings: Settings, cell: Any, task: Any, run: study.Run) -> study.Arrays:
    """Bounds (S, 2) of the failing lag, and the learning rate (S,)."""
    return {**failing.failing_lags(cell, task, settings, run.check), "seed": settings.network_seeds}


def claim(what: str, task: str) -> study.Claim:
    """That an LSTM's failing lag on a task is more than twice a simple network's, however that one starts."""
    pairs = [("elman", "against an orthogonal start"), (IRNN, "against identity and ReLU")]
    return study.Claim(
        f"{what} needs an LSTM: it learns twice the range of a simple recurrent network.",
        failing.FAILING_LAG,
        tuple(study.Pair("lstm", against, level, task) for against, level in pairs),
        delta=1.0,
        effect="log2 ratio",
        depends_on="initialisation",
        analogue=True,
    )


EXPERIMENT = study.Experiment(
    "analogues",
    Settings,
    measure,
    numbers=(study.Numbers("Where training fails, {s.hidden_size} units", (failing.FAILING_LAG, failing.RATE)),),
    claims=(
        claim("Speech recognition", "tones"),
        claim("Translation", "dates"),
        claim("Sentiment analysis", "sentiment"),
        claim("Language modelling", "agreement"),
    ),
    protocol=(*failing.PROTOCOL, "An analogue: generated data test the range, not real-world accuracy."),
    quick={"cells": ("elman", IRNN, "lstm"), "rates": (2e-3,), "longest": 48, "steps": 200},
    smoke={
        "cells": ("elman",), "tasks": ("tones",), "seeds": 2, "hidden_size": 7, "rates": (2e-3,), "shortest": 8,
        "longest": 9, "steps": 3, "batch_size": 4,
    },
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(study.main(EXPERIMENT))
