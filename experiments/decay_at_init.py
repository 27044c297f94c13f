"""Which initialisation lets gradients reach how far back, and how much of that is the scale of the inputs?

Command: `python experiments/decay_at_init.py`, about three minutes on two CPU cores.

Measured: A(k), the norm of the gradient of L = ⟨g, y_T⟩ with respect to the state k steps before the end, of freshly
drawn Elman, GRU and LSTM networks as PyTorch (`init=torch`), Flax and Keras (`kernel_init=glorot`) start them, with
larger forget biases and with chrono initialisation, on inputs of the adding problem and on the source of Python's
standard library, as they are and scaled.

Expected: started by PyTorch all three lose a factor of a million in about 28 steps, started by Flax the LSTM does so
sooner than the Elman network; chrono keeps a tenth of the norm over 200 steps. Larger inputs quicken the decay of Elman
networks.
"""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from recurrax import study
from recurrax.study import networks, standard


@dataclass(frozen=True)
class Settings(study.LagSettings):
    """Which initialisation lets gradients reach how far back, and how much of that is the scale of the inputs?"""

    cells: tuple[str, ...] = (
        "elman:init=torch", "elman", "elman:kernel_init=glorot", "gru:init=torch", "gru", "gru:kernel_init=glorot",
        "lstm:init=torch,forget_bias=0", "lstm:forget_bias=0", "lstm:kernel_init=glorot", "lstm",
        "lstm:forget_bias=3", "lstm:forget_bias=5", "lstm:forget_bias=chrono",
    )  # fmt: skip
    tasks: tuple[str, ...] = ("adding", "characters:symbols=32")
    """What the cells read, named likewise."""
    scales: tuple[float, ...] = (0.3, 1.0, 3.0)
    """What the inputs are multiplied by."""
    seeds: int = 10
    hidden_size: int = 128
    lags: int = 200
    rows: int = 16
    """Sequences per network."""

    LEAST: ClassVar = {"rows": 1}

    def __post_init__(self):
        super().__post_init__()
        if not self.scales or not all(math.isfinite(scale) for scale in self.scales):
            raise ValueError(f"scales: expected at least one number, all finite, got {self.scales}")

    @property
    def reference_scale(self) -> float:
        """The scale whose curves are drawn: 1 where it is among them."""
        return 1.0 if 1.0 in self.scales else self.scales[0]


def measure(settings: Settings, cell: Any, task: Any, run: study.Run) -> study.Arrays:
    """Curves (S, scales, T) of freshly drawn networks."""
    seeds, lags = range(settings.seeds), settings.lags
    curves = [networks.drawn_curves(cell, task, lags, seeds, settings.rows, by, run.check) for by in settings.scales]
    return {"curve": np.stack(curves, axis=1), "seed": seeds}


def at(index: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda curves: curves[:, index]


def tables(settings: Settings) -> tuple[study.Numbers, ...]:
    """One per scale, that of the figures first."""
    order = sorted(settings.scales, key=lambda scale: scale != settings.reference_scale)
    return tuple(
        study.Numbers(f"Inputs times {scale:g}, {{s.hidden_size}} units", standard.decay("curve", at(index)))
        for scale in order
        for index in [settings.scales.index(scale)]
    )


def drawn_scale(curves: np.ndarray, settings: Settings, task: Any) -> np.ndarray:
    return curves[:, settings.scales.index(settings.reference_scale)]


def quickening(curves: np.ndarray, settings: Settings, task: Any) -> np.ndarray:
    """How much faster gradients fade on the largest inputs than on the smallest."""
    order = np.argsort(settings.scales)
    rates = standard.slopes(curves, settings.window)[:, order]
    return rates[:, 0] - rates[:, -1]


LARGER_INPUTS = study.Claim(
    "Larger inputs quicken the decay of a simple recurrent network's gradient.",
    study.Number("rate of fading on the largest inputs less that on the smallest", "curve", quickening, "nats/step"),
    (study.Pair("elman:init=torch", level="PyTorch's start"), study.Pair("elman", level="Flax's start")),
    delta=0.05,
    effect="value",
    depends_on="initialisation",
)
PANELS = (
    standard.norms("{name}, inputs times {s.reference_scale:g}", "curve", drawn_scale),
    standard.panel(
        "{name}, against the scale of the inputs",
        "curve",
        x=lambda settings, size: np.array(settings.scales),
        x_label="factor on the inputs",
        y_label="A({s.reference_lag}) / A(0)",
        value=lambda curves, settings, task: curves[..., settings.reference_lag],
        markers=True,
    ),
)
EXPERIMENT = study.Experiment(
    "decay_at_init",
    Settings,
    measure,
    numbers=tables,
    curves=(study.Curves("decay", "Gradient norm at initialisation", PANELS, "Relative to lag 0.", per_class=True),),
    claims=(LARGER_INPUTS,),
    protocol=(standard.ADJOINT, "Each network is measured on {s.rows} sequences; its curve is the median over them."),
    quick={"hidden_size": 64},
    smoke={
        "cells": ("elman",), "tasks": ("adding",), "scales": (1.0, 2.0), "seeds": 2, "hidden_size": 8, "lags": 16,
        "rows": 2,
    },
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(study.main(EXPERIMENT))
