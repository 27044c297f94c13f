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
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recurrax import Cell, lag, study
from recurrax.cells import ElmanCarry
from recurrax.report import Level
from recurrax.study import networks, standard

PHASES = ("drawn", "trained")


@dataclass(frozen=True)
class Settings(study.TrainingSettings):
    """What are the Lyapunov exponents of recurrent cells, and what goes wrong when an LSTM's memory is left out?"""

    tasks: tuple[str, ...] = ("characters:symbols=32",)
    seeds: int = 3
    hidden_size: int = 32
    steps: int = 200
    length: int = 1000
    """Steps of the inputs that drive a network while its exponents are measured."""

    def __post_init__(self):
        super().__post_init__()
        study.check_least(self, length=20, steps=1)


@dataclass(frozen=True)
class HiddenOnly(Cell):
    """A cell seen as if all of its carry but h were an input: x holds its features and the carry before the step."""

    cell: Any

    def init(self, key: jax.Array, input_size: int, dtype: Any = jnp.float32) -> Any:
        return self.cell.init(key, input_size, dtype)

    def initial_carry(self, params: Any, batch_shape: Any, dtype: Any) -> ElmanCarry:
        return ElmanCarry(h=self.cell.initial_carry(params, batch_shape, dtype).h)

    def project(self, params: Any, x: Any) -> Any:
        return self.cell.project(params, x[0]), x[1]

    def recur(self, params: Any, carry: ElmanCarry, u: Any) -> Any:
        return self.cell.recur(params, u[1]._replace(h=carry.h), u[0])

    def pointwise(self, params: Any, carry: ElmanCarry, u: Any, v: Any) -> ElmanCarry:
        return ElmanCarry(h=self.cell.pointwise(params, u[1]._replace(h=carry.h), u[0], v).h)

    def output(self, params: Any, carry: ElmanCarry, u: Any) -> jax.Array:
        return carry.h


@partial(jax.jit, static_argnums=0)
def with_carry(cell: Any, params: Any, xs: jax.Array) -> Any:
    """The inputs (T, D), and the carry before each step, every field (T, ...)."""

    def body(carry: Any, x: jax.Array) -> tuple[Any, Any]:
        return cell.step(params, carry, x)[0], carry

    return xs, jax.lax.scan(body, cell.initial_carry(params, (), xs.dtype), xs)[1]


def has_memory(cell: Any, params: Any) -> bool:
    """Whether the carry has fields beside h."""
    fields = getattr(cell.initial_carry(params, (), jnp.float32), "_fields", ())
    return "h" in fields and len(fields) > 1


def measure(settings: Settings, cell: Any, task: Any, run: study.Run) -> study.Arrays:
    """Losses (S, steps), spectra (S, N) before and after training, the leading exponent (S, 1) of the h block."""
    seeds, phases = range(settings.seeds), {"drawn": 0, "trained": settings.steps}
    probes = {"cell": lambda params, key: params.cell}
    fitted = run.fit(networks.training(cell, task, settings, seeds, probes, tuple(phases.values())))
    drive = task.with_lag(settings.length - 1).batch(jax.random.key(0), 1).xs[:, 0]
    arrays: dict[str, list[np.ndarray]] = {}
    # float64 for the tail of a spectrum; the setting holds for this thread alone.
    with jax.enable_x64(True):
        xs = jnp.asarray(np.asarray(drive, np.float64))
        for phase, seed in itertools.product(phases, seeds):
            run.check()
            place = list(phases).index(phase), seed
            params = jax.tree.map(partial(picked, place=place), fitted.probes["cell"])
            arrays.setdefault(phase, []).append(np.asarray(lag.lyapunov_spectrum(cell, params, xs).exponents))
            if has_memory(cell, params):
                block = lag.lyapunov_spectrum(HiddenOnly(cell), params, with_carry(cell, params, xs), exponents=1)
                arrays.setdefault(f"{phase} h", []).append(np.asarray(block.exponents))
    return {**{name: np.stack(of) for name, of in arrays.items()}, "loss": fitted.metrics.loss.T, "seed": seeds}


def picked(leaf: np.ndarray, place: tuple[int, int]) -> jax.Array:
    return jnp.asarray(leaf[place], jnp.float64 if np.issubdtype(leaf.dtype, np.floating) else leaf.dtype)


def leading(spectra: np.ndarray, settings: Settings, task: Any) -> np.ndarray:
    return spectra[:, 0]


EXPONENTS = tuple(
    study.Number(
        f"λ₁ {phase}{only}",
        phase + only[:2],
        leading,
        "nats/step",
        "",
        "interquartile mean",
        study.signed,
        optional=only != "",
    )
    for only in ("", " h only")
    for phase in PHASES
)
SPECTRA = tuple(
    study.Curve(
        f"{{name}}, {phase}",
        phase,
        x=lambda settings, size: (np.arange(size) + 0.5) / size,
        x_label="rank of the exponent / size of the carry",
        y_label="exponent (nats per step)",
        levels=lambda settings, task: [Level(0.0, "norm kept")],
        y_limits=(-3.0, 0.3),
    )
    for phase in PHASES
)
EXPERIMENT = study.Experiment(
    "lyapunov_of_cells",
    Settings,
    measure,
    numbers=(
        study.Numbers(
            "Leading exponent, {s.hidden_size} units, before and after {s.steps} Adam steps",
            EXPONENTS,
            "h only: the block ∂h_t/∂h_tm1, the rest of the carry held fixed.",
        ),
        study.Numbers("What was learned in {s.steps} Adam steps", standard.learned()),
    ),
    curves=(
        study.Curves(
            "lyapunov_spectra",
            "Lyapunov spectra of the whole carry",
            SPECTRA,
            "What is below -3 lies outside the panel.",
        ),
    ),
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
