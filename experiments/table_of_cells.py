"""What does every cell of the library cost, and how far do gradients and inputs reach in it before it has learned?

Command: `python experiments/table_of_cells.py`, about eight minutes on two CPU cores; `--page RUN` instead, with the
folder of a finished run, writes docs/cells.md from its files, and beside it its figure.

Measured in freshly drawn networks: parameters; the time of a training step over that of a yardstick, an Elman network,
in the same rounds; on a task's inputs A(k), the norm of the gradient k steps back, and the leading Lyapunov exponent;
and R²(k), how well a linear decoder of the carry finds the input k steps ago.

Expected: gated cells lose gradients sooner than orthogonal ones at the start; how long inputs are remembered follows
neither the gradient's reach nor the cost.
"""

import math
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recurrax import cells, lag, report, scan, study, train
from recurrax.study import networks, standard, timing

VANISHED = (1e-6, 1e-2)
"""Fractions of the norm at lag 0."""
PAGE = Path(__file__).parents[1] / "docs" / "cells.md"


@dataclass(frozen=True)
class Settings(study.LagSettings):
    """What does every cell cost, and how far do gradients and inputs reach in it before it has learned?"""

    cells: tuple[str, ...] = tuple(cell.__name__.lower() for cell in cells.ALL)
    tasks: tuple[str, ...] = ("adding", "characters:symbols=32")
    """What the networks read, named likewise."""
    yardstick: str = "elman"
    """The cell whose training step takes a time of 1."""
    seeds: int = 10
    hidden_size: int = 32
    timed_hidden_size: int = 128
    """Units of the networks whose training step is timed."""
    lags: int = 200
    rows: int = 8
    """Sequences per network."""
    length: int = 12_000
    """Steps of the one sequence that a decoder of past inputs is fitted to and tried on."""
    driven: int = 500
    """Steps of input that drive a network while its exponent is measured."""
    rounds: int = 20
    """Rounds in which both networks take a training step."""
    jobs: int = 1

    def __post_init__(self):
        super().__post_init__()
        study.check_least(self, rows=1, length=5 * self.lags, driven=20, rounds=1, timed_hidden_size=1)


def measure(settings: Settings, cell: Any, task: Any, run: study.Run) -> study.Arrays:
    """Curves (S, lags + 1), λ₁ (S,), R² (S, lags + 1) and the number of parameters (S,)."""
    seeds = range(settings.seeds)
    sizes = jax.tree.leaves(jax.eval_shape(lambda key: cell.init(key, task.input_size), jax.random.key(0)))
    return {
        "curve": np.stack([gradient(settings, cell, task, seed, run) for seed in seeds]),
        "exponent": np.array([exponent(settings, cell, task, seed, run) for seed in seeds]),
        "memory": np.stack([memory(settings, cell, seed, run) for seed in seeds]),
        "parameters": np.full(settings.seeds, sum(leaf.size for leaf in sizes)),
        "seed": seeds,
    }


def gradient(settings: Settings, cell: Any, task: Any, seed: int, run: study.Run) -> np.ndarray:
    """The median over sequences of ln A(k) - ln A(0), (lags + 1,)."""
    run.check()
    at = networks.probe(cell, task.with_lag(settings.lags), train.probe_key(seed), settings.rows)
    profile = np.asarray(networks.log_norms(cell, networks.drawn(cell, task, seed), at))
    return np.median(profile - profile[:1], axis=1)[: settings.lags + 1]


def exponent(settings: Settings, cell: Any, task: Any, seed: int, run: study.Run) -> float:
    """λ₁, nats per step."""
    run.check()
    # float64 for what becomes of a network over so many steps; the setting holds for this thread alone.
    with jax.enable_x64(True):
        xs = task.with_lag(settings.driven - 1).batch(train.probe_key(seed), 1).xs[: settings.driven, 0]
        params = cell.init(train.init_key(seed), task.input_size, jnp.float64)
        return float(lag.lyapunov_spectrum(cell, params, jnp.asarray(xs, jnp.float64), exponents=1).exponents[0])


def memory(settings: Settings, cell: Any, seed: int, run: study.Run) -> np.ndarray:
    """R²(k) of inputs uniform in ±1, (lags + 1,)."""
    run.check()
    with jax.enable_x64(True):
        params = cell.init(train.init_key(seed), 1, jnp.float64)
        xs = jax.random.uniform(train.probe_key(seed), (settings.length, 1), jnp.float64, -1.0, 1.0)
        lags = range(settings.lags + 1)
        return np.asarray(lag.memory_curve(cell, params, xs, lags=lags, burn_in=settings.lags).r2).reshape(-1)


def measure_time(settings: Settings, cell: Any, task: Any, run: study.Run) -> study.Arrays:
    """How many times as long a training step takes as that of the yardstick in the same round, (rounds,)."""
    run.check()
    xs = jax.random.normal(jax.random.key(1), (100, 32, 8))
    yardstick = study.named.cell(settings.yardstick).build(hidden_size=settings.timed_hidden_size)

    def step(cell: Any) -> Callable[[], Any]:
        params = cell.init(jax.random.key(0), xs.shape[-1])
        gradient = jax.jit(jax.grad(lambda params: jnp.sum(scan(cell, params, xs).outputs ** 2)))
        return partial(gradient, params)

    calls = {"cell": step(cell), "yardstick": step(yardstick)}
    times = timing.interleaved(calls, settings.rounds)
    return {"ratio": times["cell"] / times["yardstick"], "seed": range(settings.rounds)}


def reach(fraction: float) -> study.Number:
    """The column of the first lag at which the gradient's norm is below a fraction of that at lag 0."""

    def value(curves: np.ndarray, settings: Settings, task: Any) -> list[float]:
        return [lag.vanish_lag(curve, fraction) for curve in curves]

    return study.Number(f"K {fraction:g}", "curve", value, "steps", show=study.steps, beyond="lags")


def forgotten(memory: np.ndarray, settings: Settings, task: Any) -> list[float]:
    return [float(below[0]) if (below := np.flatnonzero(curve < 0.5)).size else math.inf for curve in memory]


def unchanged(array: np.ndarray, settings: Settings, task: Any) -> np.ndarray:
    return array


COLUMNS = (
    study.Number("parameters", "parameters", unchanged, show="{:.0f}".format),
    study.Number("time", "ratio", unchanged, show="{:.2f}".format),
    *map(reach, VANISHED),
    study.Number("λ₁", "exponent", unchanged, "nats/step", show=study.signed),
    study.Number("memory", "memory", forgotten, "steps", show=study.steps, beyond="lags"),
)
EXPERIMENT = study.Experiment(
    "table_of_cells",
    Settings,
    (study.Part(measure), study.Part(measure_time, "time", hidden_size="timed_hidden_size")),
    numbers=(
        study.Numbers(
            "At initialisation, {s.hidden_size} units",
            COLUMNS,
            "Time: of a training step, the yardstick's being 1. K: first lag at which the gradient's norm is below "
            "that fraction of its norm at lag 0. λ₁: leading Lyapunov exponent of the whole carry, driven by the "
            "task's inputs. Memory: first lag with R² below 1/2.",
        ),
    ),
    curves=(
        study.Curves(
            "cells",
            "How far gradients reach in every cell before it has learned",
            (standard.norms("inputs of {name}", "curve"),),
            "Relative to lag 0.",
        ),
    ),
    protocol=(
        standard.ADJOINT,
        "Each network is measured on {s.rows} sequences; its curve is the median over them.",
        "Time: {s.timed_hidden_size} units, 8 inputs, 32 rows, 100 steps, float32, the two "
        "networks in turn for {s.rounds} rounds, over which the interval is.",
        "Memory: one input a step, uniform in ±1; R² on the half of {s.length} steps that the ridge decoder of the "
        "whole carry was not fitted to.",
    ),
    smoke={
        "cells": ("elman", "mlstm"), "tasks": ("adding",), "seeds": 2, "hidden_size": 4, "timed_hidden_size": 4,
        "lags": 16, "rows": 2, "length": 400, "driven": 40, "rounds": 2,
    },
)  # fmt: skip


def page(folder: Path) -> str:
    """The text of docs/cells.md: the table and the protocol of a finished run, and what made it."""
    saved = report.load(folder)
    table, figure, run = saved.report.tables[0], saved.report.figures[0], saved.run
    where = run["environment"]
    made = f"{run['finished'][:10]}, {where['system']}, Python {where['python']}, JAX {where['packages']['jax']}"
    rule = tuple("---" if i == 0 else "---:" for i in range(len(table.columns)))
    parts = (
        "# Every cell, before it has learned",
        f"`{run['command'].split(' --out')[0]}`, {made}. The yardstick of times is {saved.config['yardstick']}.",
        "\n".join(" | ".join(("", *row, "")).strip() for row in (table.columns, rule, *table.rows)),
        table.caption,
        f"![{figure.title}]({figure.name}.png)",
        figure.caption,
        "\n".join(f"- {sentence}" for sentence in saved.report.protocol),
    )
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--page"]:
        folder = Path(sys.argv[2])
        PAGE.write_text(page(folder))
        for kind in ("png", "svg"):
            shutil.copy(folder / f"cells.{kind}", PAGE.parent)
        sys.exit(0)
    sys.exit(study.main(EXPERIMENT))
