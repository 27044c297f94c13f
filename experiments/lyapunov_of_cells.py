"""What are the Lyapunov exponents of recurrent cells, and what goes wrong when an LSTM's memory is left out?

Command: `python experiments/lyapunov_of_cells.py`, about a minute on two CPU cores.

Measured: the spectrum of the whole carry, (h, c) for an LSTM, of Elman, GRU and LSTM networks that read real text, at
initialisation and after training; beside it, for a cell whose carry has more fields than h, the leading exponent of the
block ∂h_t/∂h_tm1 with the others held fixed, which some tools report as an LSTM's.

Expected: the block alone makes an LSTM with chrono initialisation look strongly contracting, while its leading exponent
is close to 0.
"""

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
class Settings(study.Settings):
    """What are the Lyapunov exponents of recurrent cells, and what goes wrong when an LSTM's memory is left out?"""

    cells: tuple[str, ...] = (
        "elman:init=uniform", "elman", "gru", "lstm:forget_bias=0", "lstm:forget_bias=1", "lstm:forget_bias=chrono",
    )  # fmt: skip
    """What is compared: names, or file.py:NAME, each with :field=value,... where wanted."""
    tasks: tuple[str, ...] = ("characters:symbols=32",)
    """What the cells read and learn, named likewise."""
    seeds: int = 3
    """Networks per cell."""
    hidden_size: int = 32
    """Units of a network."""
    length: int = 1000
    """Steps of the inputs that drive a network while its exponents are measured."""
    steps: int = 200
    """Adam steps before the second measurement."""
    train_length: int = 50
    """Length of training sequences, in steps."""

    def __post_init__(self):
        study.check_least(self, seeds=1, hidden_size=1, length=20, steps=1, train_length=2)


@dataclass(frozen=True)
class HiddenOnly(Cell):
    """A cell seen as if all of its carry but h were an input: the last features of x, from the whole cell's own walk."""

    cell: Any

    def whole(self, carry: ElmanCarry, memory: jax.Array, params: Any) -> Any:
        """The cell's carry, of which x holds all fields but h side by side in `memory`."""
        fields = self.cell.initial_carry(params, memory.shape[:-1], memory.dtype)
        sizes = [leaf.shape[-1] for name, leaf in fields._asdict().items() if name != "h"]
        parts = jnp.split(memory, np.cumsum(sizes)[:-1], axis=-1)
        return fields._replace(
            h=carry.h, **dict(zip([name for name in fields._fields if name != "h"], parts, strict=True))
        )

    def init(self, key: jax.Array, input_size: int, dtype: Any = jnp.float32) -> Any:
        return self.cell.init(key, input_size, dtype)

    def initial_carry(self, params: Any, batch_shape: Any, dtype: Any) -> ElmanCarry:
        return ElmanCarry(h=self.cell.initial_carry(params, batch_shape, dtype).h)

    def project(self, params: Any, x: jax.Array) -> Any:
        features = params.kernel.shape[0]
        return self.cell.project(params, x[..., :features]), x[..., features:]

    def recur(self, params: Any, carry: ElmanCarry, u: Any) -> Any:
        return self.cell.recur(params, self.whole(carry, u[1], params), u[0])

    def pointwise(self, params: Any, carry: ElmanCarry, u: Any, v: Any) -> ElmanCarry:
        return ElmanCarry(h=self.cell.pointwise(params, self.whole(carry, u[1], params), u[0], v).h)

    def output(self, params: Any, carry: ElmanCarry, u: Any) -> jax.Array:
        return carry.h


@partial(jax.jit, static_argnums=0)
def with_memory(cell: Any, params: Any, xs: jax.Array) -> jax.Array:
    """Xs (T, D), and beside them all that enters each step but h."""

    def body(carry: Any, x: jax.Array) -> tuple[Any, jax.Array]:
        others = [leaf for name, leaf in carry._asdict().items() if name != "h"]
        return cell.step(params, carry, x)[0], jnp.concatenate(others, axis=-1)

    return jnp.concatenate([xs, jax.lax.scan(body, cell.initial_carry(params, (), xs.dtype), xs)[1]], axis=1)


def has_memory(cell: Any, params: Any) -> bool:
    """Whether the carry has fields beside h."""
    fields = getattr(cell.initial_carry(params, (), jnp.float32), "_fields", ())
    return "h" in fields and len(fields) > 1


def measure(settings: Settings, cell: Any, task: Any, run: study.Run) -> study.Arrays:
    """Losses (S, steps), spectra (S, N) before and after training, the leading exponent (S, 1) of the h block."""
    seeds = range(settings.seeds)
    probes = {"cell": lambda params, key: params.cell}
    training = networks.training(
        cell, task, seeds=seeds, steps=settings.steps, probes=probes, probe_steps=(0, settings.steps)
    )
    fitted = run.fit(training)
    drive = task.with_lag(settings.length - 1).batch(jax.random.key(0), 1).xs[:, 0]
    arrays: dict[str, list[np.ndarray]] = {}
    # float64 for the tail of a spectrum; the setting holds for this thread alone.
    with jax.enable_x64(True):
        xs = jnp.asarray(np.asarray(drive, np.float64))
        for index, phase in enumerate(PHASES):
            for seed in seeds:
                run.check()
                params = jax.tree.map(lambda leaf: jnp.asarray(leaf[index, seed], jnp.float64), fitted.probes["cell"])
                arrays.setdefault(phase, []).append(np.asarray(lag.lyapunov_spectrum(cell, params, xs).exponents))
                if has_memory(cell, params):
                    seen = with_memory(cell, params, xs)
                    hidden = lag.lyapunov_spectrum(HiddenOnly(cell), params, seen, exponents=1)
                    arrays.setdefault(f"{phase} h", []).append(np.asarray(hidden.exponents))
    return {**{name: np.stack(of) for name, of in arrays.items()}, "loss": fitted.metrics.loss.T, "seed": seeds}


def leading(spectra: np.ndarray, settings: Settings, task: Any) -> np.ndarray:
    return spectra[:, 0]


EXPONENTS = tuple(
    study.Number(f"{phase}{only}", phase + only[1:3], leading, "", "", "interquartile mean", study.signed)
    for only in ("", ", h only")
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
            "Leading exponent, nats per step, {s.hidden_size} units, before and after {s.steps} Adam steps",
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
    ),
    smoke={
        "cells": ("gru", "lstm"), "tasks": ("adding",), "seeds": 2, "hidden_size": 8, "length": 60, "steps": 2,
        "train_length": 8,
    },
    length="train_length",
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(study.main(EXPERIMENT))
