"""Does a network whose gradients vanish forget, and does one whose gradients flow remember?

Command: `python experiments/memory_versus_gradient.py`, about three minutes on two CPU cores.

Measured in freshly drawn networks, on the same independent inputs: R²(k), how well a linear decoder of the state finds
the input k steps ago, and A(k), the norm of the gradient k steps back.

Expected: the two are different things. Every cell forgets its inputs linearly within a few dozen steps, also those
whose gradients keep their norm for hundreds.
"""

import math
import sys
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recurrax import lag, study, train
from recurrax.study import networks, standard


@dataclass(frozen=True)
class Settings(study.LagSettings):
    """Does a network whose gradients vanish forget, and does one whose gradients flow remember?"""

    length: int = 20_000
    """Steps of the one sequence that the decoder is fitted to and tried on; a state that drifts over hundreds of steps
    needs many times as many: on 4000 the chrono LSTM's capacity came out as 2.2 inputs, on 20,000 as 5.6."""
    input_scale: float = 1.0
    """Inputs are uniform in ± this."""

    def __post_init__(self):
        super().__post_init__()
        study.check_least(self, length=5 * self.lags)


def measure(settings: Settings, cell: Any, task: None, run: study.Run) -> study.Arrays:
    """R² (S, lags + 1) and ln A(k) - ln A(0) (S, lags + 1) of every network."""
    size, lags = networks.output_size(cell, 1), settings.lags
    memory, gradient = [], []
    # Some directions of a state vary too little for a float32 decoder; the setting holds for this thread alone.
    with jax.enable_x64(True):
        for seed in range(settings.seeds):
            run.check()
            input_key, unit_key = jax.random.split(train.probe_key(jnp.asarray(seed)))
            params = cell.init(train.init_key(jnp.asarray(seed)), 1, jnp.float64)
            xs = settings.input_scale * jax.random.uniform(input_key, (settings.length, 1), jnp.float64, -1.0, 1.0)
            memory.append(np.asarray(lag.memory_curve(cell, params, xs, lags=range(lags + 1), burn_in=lags).r2))
            unit = jax.random.normal(unit_key, (size,), jnp.float64)
            gradient.append(np.asarray(lag.adjoint_profile(cell, params, xs[-2 * lags :], unit).log_norm_joint))
    curves = np.stack(gradient)[:, : lags + 1]
    memory = np.stack(memory).reshape(settings.seeds, lags + 1)
    return {"memory": memory, "gradient": curves - curves[:, :1], "seed": range(settings.seeds)}


def forgotten(memory: np.ndarray, settings: Settings, task: None) -> list[float]:
    return [float(below[0]) if (below := np.flatnonzero(curve < 0.5)).size else math.inf for curve in memory]


def capacity(memory: np.ndarray, settings: Settings, task: None) -> np.ndarray:
    return np.maximum(memory, 0).sum(axis=1)


NUMBERS = (
    study.Number(
        "forgotten", "memory", forgotten, "steps", "first lag with R² below 1/2", show=study.steps, beyond="lags"
    ),
    study.Number(
        "capacity", "memory", capacity, "inputs", "sum of R² over lags", "interquartile mean", "{:.1f}".format
    ),
    standard.vanish_lag("gradient"),
)
MEMORY = study.Curve(
    "forward memory",
    "memory",
    x=lambda settings, size: np.arange(size),
    x_label="time lag k (steps)",
    y_label="R²(k)",
    y_limits=(-0.05, 1.05),
)
EXPERIMENT = study.Experiment(
    "memory_versus_gradient",
    Settings,
    measure,
    numbers=(study.Numbers("At initialisation, {s.hidden_size} units", NUMBERS),),
    curves=(
        study.Curves(
            "memory_versus_gradient",
            "Forward memory and gradient norm by lag",
            (MEMORY, standard.norms("gradient", "gradient")),
        ),
    ),
    protocol=(
        "One input per step, uniform in ±{s.input_scale:g}, independent over time; {s.length} steps.",
        "R² on the half of the steps that the ridge decoder was not fitted to; the whole carry is decoded.",
        "A(k) is the Euclidean norm of ∂L/∂s at k steps before the last, L = ⟨g, y_T⟩ with a Gaussian g.",
    ),
    smoke={"cells": ("elman",), "seeds": 2, "hidden_size": 8, "lags": 16, "length": 200},
)

if __name__ == "__main__":
    sys.exit(study.main(EXPERIMENT))
