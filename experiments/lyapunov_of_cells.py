"""What are the Lyapunov exponents of recurrent cells, and what goes wrong when an LSTM's memory is left out?

Command: `python experiments/lyapunov_of_cells.py`, about a minute on two CPU cores.

Measured: the spectrum of the whole carry, (h, c) for an LSTM, of Elman, GRU and LSTM networks that read Python source,
at initialisation and after training; beside it, for a cell whose carry has more fields than h, the leading exponent of
the block ∂h_t/∂h_tm1 with the others held fixed, which some tools report as an LSTM's.

Expected: the block alone makes an LSTM with chrono initialisation look strongly contracting, while its leading exponent
is close to 0.
"""

import itertools
import sys
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from recurrax import code, lag, study
from recurrax.report import Level
from recurrax.study import networks, standard

PHASES = ("drawn", "trained")
TITLE = "Lyapunov spectra of the whole carry"


@dataclass(frozen=True)
class Settings(study.TrainingSettings):
    """What are the Lyapunov exponents of recurrent cells, and what goes wrong when an LSTM's memory is left out?"""

    tasks: tuple[str, ...] = ("characters:symbols=32",)
    seeds: int = 3
    hidden_size: int = 32
    steps: int = 200
    length: int = 1000
    """Steps of the inputs that drive a network while its exponents are measured."""

    LEAST: ClassVar = {"length": 20, "steps": 1}


@code.jit
def exponent_of_h(cell: Any, params: Any, xs: jax.Array) -> jax.Array:
    """λ₁ (1,) of the products of ∂h_t/∂h_tm1 along inputs (T, D), the rest of the carry held fixed."""

    def body(state: tuple[Any, jax.Array], x: jax.Array) -> tuple[Any, jax.Array]:
        carry, direction = state

        def h_after(h: jax.Array) -> jax.Array:
            return cell.step(params, carry._replace(h=h), x)[0].h

        _, direction = jax.jvp(h_after, (carry.h,), (direction,))  # (H,)
        norm = jnp.linalg.norm(direction)
        return (cell.step(params, carry, x)[0], direction / norm), jnp.log(norm)

    carry = cell.initial_carry(params, (), xs.dtype)
    start = jax.random.normal(jax.random.key(0), carry.h.shape, xs.dtype)
    logs = jax.lax.scan(body, (carry, start), xs)[1]
    return logs[len(logs) // 10 :].mean(keepdims=True)


def has_memory(cell: Any, params: Any) -> bool:
    """Whether the carry has fields beside h."""
    fields = getattr(cell.initial_carry(params, (), jnp.float32), "_fields", ())
    return "h" in fields and len(fields) > 1


def widened(leaf: np.ndarray) -> jax.Array:
    return jnp.asarray(leaf, jnp.float64 if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf.dtype)


def measure(settings: Settings, cell: Any, task: Any, run: study.Run) -> study.Arrays:
    """Losses (S, steps), spectra (S, N) before and after training, the leading exponent (S, 1) of the h block."""
    seeds, probes = range(settings.seeds), {"cell": lambda params, key: params.cell}
    fitted = run.fit(networks.training(cell, task, settings, seeds, probes, (0, settings.steps)))
    drive = task.with_lag(settings.length - 1).batch(jax.random.key(0), 1).xs[:, 0]
    arrays: dict[str, list[np.ndarray]] = {}
    # float64 for the tail of a spectrum; the setting holds for this thread alone.
    with jax.enable_x64(True):
        xs = jnp.asarray(np.asarray(drive, np.float64))
        trained = jax.tree.map(widened, fitted.probes["cell"])  # leaves (2, S, ...)
        for (place, phase), seed in itertools.product(enumerate(PHASES), seeds):
            run.check()
            params = jax.tree.map(lambda leaf, at=(place, seed): leaf[at], trained)
            arrays.setdefault(phase, []).append(np.asarray(lag.lyapunov_spectrum(cell, params, xs).exponents))
            if has_memory(cell, params):
                arrays.setdefault(f"{phase} h", []).append(np.asarray(exponent_of_h(cell, params, xs)))
    return {**{name: np.stack(of) for name, of in arrays.items()}, "loss": fitted.metrics.loss.T, "seed": seeds}


def exponent(phase: str, only: str) -> study.Number:
    return study.Number(
        f"λ₁ {phase}{only}", phase + only[:2], lambda spectra, settings, task: spectra[:, 0], "nats/step", "",
        "interquartile mean", study.signed, optional=only != "",
    )  # fmt: skip


def spectrum(phase: str) -> study.Curve:
    return study.Curve(
        f"{{name}}, {phase}", phase, standard.ranks, *standard.EXPONENTS, y_limits=(-3.0, 0.3),
        levels=lambda settings, task: [Level(0.0, "norm kept")],
    )  # fmt: skip


EXPERIMENT = study.Experiment(
    "lyapunov_of_cells",
    Settings,
    measure,
    numbers=(
        study.Numbers(
            "Leading exponent, {s.hidden_size} units, before and after {s.steps} Adam steps",
            tuple(exponent(phase, only) for only in ("", " h only") for phase in PHASES),
            "h only: the block ∂h_t/∂h_tm1, the rest of the carry held fixed.",
        ),
        standard.LEARNED,
    ),
    curves=(study.Curves("lyapunov_spectra", TITLE, tuple(map(spectrum, PHASES)), "Below -3: outside the panel."),),
    protocol=(
        "Exponents over {s.length} steps of input, about a tenth of them left out while directions turn; QR at every "
        "step, float64, conditional on the input.",
        standard.TRAINING,
    ),
    smoke={
        "cells": ("lstm",), "tasks": ("adding",), "seeds": 2, "hidden_size": 8, "length": 60, "steps": 2,
        "train_length": 8,
    },
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(study.main(EXPERIMENT))
