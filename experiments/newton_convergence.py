"""How many iterations does Newton's method need to walk time in parallel, and up to which Lyapunov exponent?

Command: `python experiments/newton_convergence.py`, some ten minutes on two CPU cores.

Measured: iterations of `implementation="newton"` until the residual is rounding, with whole Jacobians, blocks of a
unit's numbers and diagonals, and the largest Lyapunov exponent, of networks drawn anew whose kernels are all multiplied
by a gain, driven by noise. No convergence counts as the limit of iterations.

Expected: a handful of iterations with whole Jacobians where the exponent is well below 0, several times as many with
the others, and a wall a little below 0, since transients grow before they decay.
"""

import sys
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

import recurrax
from recurrax import study, train
from recurrax.kernels.newton import LIMITS, Kind
from recurrax.report import Level

EXPONENTS = np.linspace(-0.8, 0.0, 17)
"""Where the figure is drawn, in nats per step."""


@dataclass(frozen=True)
class Settings(study.CellSettings):
    """How many iterations does Newton's method need to walk time in parallel, and up to which Lyapunov exponent?"""

    cells: tuple[str, ...] = ("elman", "gru", "lstm:forget_bias=0", "lstm:forget_bias=1")
    seeds: int = 20
    hidden_size: int = 16
    length: int = 300
    """Steps of the sequence that is walked."""
    features: int = 4
    """Inputs, from N(0, 1) at every step."""
    gains: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0, 3.0)
    """What all kernels are multiplied by."""

    LEAST: ClassVar = {"length": 20, "features": 1}


def measure(settings: Settings, cell: Any, task: None, run: study.Run) -> study.Arrays:
    """Exponents and, for every kind, iterations (S, gains); these are at their limit where nothing converged."""
    exponents = np.zeros((settings.seeds, len(settings.gains)))
    iterations = {kind: np.zeros_like(exponents) for kind in LIMITS}
    for seed, place in np.ndindex(exponents.shape):
        run.check()
        weights, noise = jax.random.split(train.init_key(jnp.asarray(seed)))
        drawn, gain = cell.init(weights, settings.features), settings.gains[place]
        params = jax.tree.map(lambda leaf, gain=gain: gain * leaf if leaf.ndim > 1 else leaf, drawn)
        xs = jax.random.normal(noise, (settings.length, settings.features))
        report = recurrax.newton_report(cell, params, xs)
        exponents[seed, place] = report.exponent
        for kind, limit in LIMITS.items():
            one = getattr(report, kind)
            iterations[kind][seed, place] = one.iterations if one.converged else limit
    both = {kind: np.stack([exponents, found], axis=1) for kind, found in iterations.items()}  # (S, 2, gains)
    return {"exponent": exponents, **both, "seed": range(settings.seeds)}


def by_exponent(both: np.ndarray, settings: Settings, task: None) -> np.ndarray:
    """Iterations (S, exponents) between those of the gains; none beyond the exponents that a network has."""
    order = np.argsort(both[:, 0], axis=1)
    sorted_ = np.take_along_axis(both, order[:, None], axis=2)
    return np.array([np.interp(EXPONENTS, *of, left=np.nan, right=np.nan) for of in sorted_])


def wall(kind: Kind) -> study.Number:
    """The largest exponent with which a network converged; -inf where none did."""

    def largest(both: np.ndarray, settings: Settings, task: None) -> np.ndarray:
        return np.where(both[:, 1] < LIMITS[kind], both[:, 0], -np.inf).max(axis=1)

    return study.Number(f"λ₁ reached, {kind}", kind, largest, "nats/step", show=study.signed)


def plain(kind: Kind) -> study.Number:
    """Iterations with the first gain from 1 on."""

    def iterations(both: np.ndarray, settings: Settings, task: None) -> np.ndarray:
        return both[:, 1, int(np.argmax(np.array(settings.gains) >= 1))]

    return study.Number(f"iterations, {kind}", kind, iterations)


def panel(kind: Kind) -> study.Curve:
    return study.Curve(
        kind, kind, lambda settings, size: EXPONENTS, "largest Lyapunov exponent (nats per step)", "iterations",
        by_exponent, levels=lambda settings, task: [Level(float(LIMITS[kind]), "no convergence")], markers=True,
    )  # fmt: skip


EXPERIMENT = study.Experiment(
    "newton_convergence",
    Settings,
    measure,
    numbers=(
        study.Numbers(
            "Newton's method over {s.length} steps, {s.hidden_size} units",
            (*map(plain, LIMITS), *map(wall, LIMITS)),
            "Iterations at the first gain from 1 on, the limit where nothing converged; the largest λ₁ that converged.",
        ),
    ),
    curves=(
        study.Curves(
            "newton_convergence",
            "Iterations of Newton's method against the largest Lyapunov exponent",
            tuple(map(panel, LIMITS)),
            "Read between the exponents of the gains {s.gains}.",
        ),
    ),
    protocol=(
        "One sequence of N(0, 1) inputs per network, float32, from the initial carry; every matrix of a network is "
        "multiplied by a gain, one of {s.gains}. Accepted where the largest |s_t - F_t(s_tm1)| is rounding.",
    ),
    smoke={"cells": ("elman",), "seeds": 2, "hidden_size": 4, "length": 20, "gains": (1.0, 2.0)},
)

if __name__ == "__main__":
    sys.exit(study.main(EXPERIMENT))
