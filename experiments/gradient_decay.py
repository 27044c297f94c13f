"""How fast does the gradient of each recurrent cell fade with time lag, at initialisation and while it is trained?

Command: `python experiments/gradient_decay.py`, about three minutes on two CPU cores. `--steps 0` leaves training out;
`--cells lstm:forget_bias=3 my_cells.py:Leaky --tasks adding` asks it of other cells, one's own among them.

Measured: A(k), the norm of the gradient of L = ⟨g, y_T⟩ with respect to the state k steps before the end, g a random
unit vector per sequence, for Elman, GRU and LSTM cells under their usual initialisations, on inputs of the adding
problem and on text, the source of Python's standard library.

Expected: at initialisation an LSTM with forget bias 0 reaches about as far back as the Elman network of the same
library, started by PyTorch, and less far, started by Flax; a forget bias of 1 carries gradients several times as far,
chrono initialisation beyond all lags measured; training on the adding problem slows the decay of gated cells further.
"""

import math
import sys
from dataclasses import dataclass
from typing import Any, ClassVar

from recurrax import study, train
from recurrax.report import Level
from recurrax.study import networks, standard


@dataclass(frozen=True)
class Settings(study.LagSettings, study.TrainingSettings):
    """How fast does the gradient of each recurrent cell fade with time lag, at initialisation and during training?"""

    tasks: tuple[str, ...] = ("adding", "characters:symbols=32")
    seeds: int = 10
    hidden_size: int = 128
    lags: int = 200
    rows: int = 16
    """Sequences per network and measurement."""
    train_seeds: int = 5
    """Networks trained per cell, at most `seeds`."""
    train_hidden_size: int = 64
    """Units of a trained network."""
    probes: int = 7
    """How often the gradient is measured during training, evenly in log(1 + step), first and last step included."""

    LEAST: ClassVar = {"rows": 1, "train_seeds": 1, "train_hidden_size": 1, "train_length": 4, "probes": 2}

    @property
    def probe_steps(self) -> tuple[int, ...]:
        return train.log_spaced(self.steps, self.probes)

    @property
    def window(self) -> tuple[int, int]:
        """Lags the rate is fitted in: past the first few, within the length trained on."""
        last = min(self.train_length - 1, self.lags)
        return min(5, last // 2), last


def at_initialisation(settings: Settings, cell: Any, task: Any, run: study.Run) -> study.Arrays:
    """Curves (S, T) of freshly drawn networks."""
    seeds = range(settings.seeds)
    curves = networks.drawn_curves(cell, task, settings.lags, seeds, settings.rows, before_each=run.check)
    return {"initial": curves, "seed": seeds}


def in_training(settings: Settings, cell: Any, task: Any, run: study.Run) -> study.Arrays:
    """Losses (S, steps), curves (S, P, T) at the probe steps, and the step each network failed at, or -1."""
    seeds = range(min(settings.seeds, settings.train_seeds))
    fitted, curves = networks.trained_curves(cell, task, settings, seeds, run.fit)
    losses, norms = (getattr(fitted.metrics, name).T for name in ("loss", "log_gradient_norm"))
    failed = fitted.state.failed_at
    return {"loss": losses, "log_gradient_norm": norms, "during": curves, "failed": failed, "seed": seeds}


def trained_on(settings: Settings, task: Any) -> list[Level]:
    return [Level(task.lag, "trained on lags up to here")] if task.lag < settings.lags else []


DRAWN = standard.norms("{name}", "initial")
TRAINED = (
    standard.norms("{name}, before training", "during", lambda curves, settings, task: curves[:, 0]),
    standard.norms(
        "{name}, after {s.steps} Adam steps", "during", lambda curves, settings, task: curves[:, -1], marks=trained_on
    ),
)
REACHES = study.Reaches("reach", "How far gradients reach before and after training")
IRNN = "elman:activation=relu,recurrent_init=identity"
PYTORCH = ("elman:init=torch", "lstm:init=torch,forget_bias=0")
TRAINED_REACH = standard.vanish_lag("during", "K after", lambda curves: curves[:, -1])
CLAIMS = (
    study.Claim(
        "The gradient of a simple recurrent network vanishes: it falls by a factor of a million within 200 steps.",
        standard.fading("initial"),
        (
            study.Pair(PYTORCH[0], level="PyTorch's start"),
            study.Pair("elman", level="Flax's start"),
            study.Pair(IRNN, level="identity and ReLU"),
        ),
        delta=math.log(1e6) / 200,
        effect="value",
        depends_on="initialisation",
    ),
    study.Claim(
        "An LSTM lets gradients flow: they reach more than twice as far as those of a simple recurrent network.",
        standard.vanish_lag("initial"),
        (
            study.Pair(PYTORCH[1], PYTORCH[0], "PyTorch's start"),
            study.Pair("lstm:forget_bias=0", "elman", "Flax's start"),
            study.Pair("lstm:forget_bias=1", "elman", "forget bias 1"),
            study.Pair("lstm:forget_bias=chrono", "elman", "chrono"),
            study.Pair("lstm:forget_bias=0", "elman", "Flax's start, after training", number=TRAINED_REACH),
            study.Pair("lstm:forget_bias=1", "elman", "forget bias 1, after training", number=TRAINED_REACH),
        ),
        delta=1.0,
        effect="log2 ratio",
        depends_on="initialisation",
    ),
)


def claimed(settings: Settings) -> tuple[str, ...]:
    """Cells that only the claims ask for, beside the usual ones."""
    return (*PYTORCH, IRNN) if settings.cells == study.USUAL else ()


SMOKE = {
    "cells": ("elman",), "tasks": ("adding",), "seeds": 2, "hidden_size": 8, "lags": 16, "rows": 2,
    "steps": 4, "train_seeds": 2, "train_hidden_size": 8, "train_length": 10, "batch_size": 4, "probes": 3,
}  # fmt: skip
EXPERIMENT = study.Experiment(
    "gradient_decay",
    Settings,
    (
        study.Part(at_initialisation, "drawn", also=claimed),
        study.Part(in_training, "trained", "train_hidden_size", when=lambda settings: settings.steps > 0),
    ),
    numbers=(
        study.Numbers("Gradients at initialisation, {s.hidden_size} units", standard.decay("initial")),
        study.Numbers(
            "Gradients before and after {s.steps} Adam steps, {s.train_hidden_size} units",
            standard.decay_before_and_after("during"),
        ),
        standard.LEARNED,
    ),
    curves=(
        study.Curves(
            "gradient_decay",
            "Gradient norm against time lag, before and after training",
            TRAINED,
            "The same networks of {s.train_hidden_size} units before and after training.",
            finding=REACHES.kept,
        ),
        REACHES,
        study.Curves(
            "at_initialisation",
            "Gradient norm against time lag at initialisation",
            (DRAWN,),
            "Networks of {s.hidden_size} units.",
        ),
        study.Curves(
            "decay_rate",
            "Rate of decay against training step",
            (standard.rates("during"),),
            "Fitted at lags {s.window[0]}–{s.window[1]}: negative where gradients vanish.",
        ),
        standard.LOSS,
    ),
    claims=CLAIMS,
    protocol=(
        standard.ADJOINT,
        "Each network is measured on {s.rows} sequences, at lags up to {s.lags} whatever the length it was trained on; "
        "its curve is the median of ln A(k) - ln A(0) over them.",
        standard.TRAINING,
    ),
    quick={"steps": 100, "hidden_size": 64, "train_hidden_size": 32},
    smoke=SMOKE,
)

if __name__ == "__main__":
    sys.exit(study.main(EXPERIMENT))
