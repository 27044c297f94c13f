"""Does an LSTM cost more than a simple recurrent network, at equal width and at equal parameters?

Command: `python experiments/cost.py`, about a minute on two CPU cores that have nothing else to do.

Measured for each cell: parameters, operations of a step, temporaries of a training step, and its time, value and
gradient of Σy² through the fused scan in float32, for one sequence, a batch and a large batch. Every round times a cell
and the first of --cells in turn, so that a slow moment hits both; cells are compared by their ratios to that.

Expected: at equal width 1.5 times as long and more; at equal parameters not, since the products are then as large.
Whether an LSTM earns what it costs is asked by `long_range` and `short_range_text`.
"""

import math
import sys
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from recurrax import scan, study
from recurrax.report import Level
from recurrax.study import named, timing

AS_LARGE = "elman:hidden_size=284"
"""As many parameters as an LSTM of 128 units that reads 64 features, to 0.3 %."""


@dataclass(frozen=True)
class Settings(study.TimingSettings):
    """Does an LSTM cost more than a simple recurrent network, at equal width and at equal parameters?"""

    cells: tuple[str, ...] = ("elman", AS_LARGE, "janet", "gru", "lstm")
    hidden_size: int = 128
    """Units of a layer whose text does not say."""
    input_size: int = 64
    """Features."""
    length: int = 100
    """Steps of a sequence."""
    batches: tuple[int, ...] = (1, 32, 256)
    """Sequences of a training step."""
    rounds: int = 20

    LEAST: ClassVar = {"hidden_size": 1, "input_size": 1, "length": 1}


def training_step(settings: Settings, cell: Any, batch: int) -> tuple[Any, float]:
    """A compiled training step with its arguments, and the bytes that it needs beside them."""

    def training_step(params: Any, xs: jax.Array) -> Any:
        return jax.value_and_grad(lambda params: jnp.sum(jnp.square(scan(cell, params, xs).outputs)))(params)

    params = cell.init(jax.random.key(0), settings.input_size)
    xs = jax.random.normal(jax.random.key(1), (settings.length, batch, settings.input_size))
    compiled = jax.jit(training_step).lower(params, xs).compile()
    analysis = compiled.memory_analysis()
    return partial(compiled, params, xs), math.inf if analysis is None else float(analysis.temp_size_in_bytes)


def measure(settings: Settings, cell: Any, task: None, run: study.Run) -> study.Arrays:
    """Milliseconds and log2 ratios to the first cell, (rounds,) per batch, and what needs no clock, (1,)."""
    first = named.cell(settings.cells[0]).build(hidden_size=settings.hidden_size)
    times: dict[str, np.ndarray] = {}
    for batch in settings.batches:
        run.check()
        (step, memory), (beside, _) = (training_step(settings, one, batch) for one in (cell, first))
        seconds = timing.interleaved({"cell": step, "first": beside}, settings.rounds)
        times[f"time {batch}"] = 1e3 * seconds["cell"][: settings.rounds]
        times[f"ratio {batch}"] = np.log2(seconds["cell"] / seconds["first"])[: settings.rounds]
        times[f"memory {batch}"] = np.array([memory / 2**20])
    params = cell.init(jax.random.key(0), settings.input_size)
    at = params, cell.initial_carry(params, (), jnp.float32), jnp.zeros(settings.input_size)
    times["operations"] = np.array([(jax.jit(cell.step).lower(*at).cost_analysis() or {}).get("flops", math.inf)])
    times["parameters"] = np.array([sum(leaf.size for leaf in jax.tree.leaves(params))])
    ratios = np.stack([times[f"ratio {batch}"] for batch in settings.batches], axis=1)
    return {**times, "ratios": ratios, "seed": range(settings.rounds)}


def ratio(batch: int) -> study.Number:
    """How many times as long a cell takes as the first, in octaves."""
    return study.Number(
        f"log2 time, {batch} sequences", f"ratio {batch}", show=study.signed, means="over that of {s.cells[0]}"
    )


def tables(settings: Settings) -> tuple[study.Numbers, ...]:
    large = settings.batches[-1]
    sizes = (
        study.Number("parameters", "parameters", show="{:.0f}".format),
        study.Number(
            "operations", "operations", means="of one step of one sequence, as XLA counts", show="{:.0f}".format
        ),
        study.Number(f"temporaries, {large} sequences", f"memory {large}", unit="MiB"),
    )
    times = [study.Number(f"{batch} sequences", f"time {batch}", unit="ms") for batch in settings.batches]
    title = "{s.hidden_size} units, {s.input_size} features, {s.length} steps"
    return (
        study.Numbers(f"Time of a training step: {title}", (*map(ratio, settings.batches), *times)),
        study.Numbers(f"Sizes: {title}", sizes),
    )


MORE = study.Claim(
    "An LSTM costs more than a simple recurrent network: a training step takes more than 1.5 times as long.",
    study.Number("log2 time", "ratio 1"),
    tuple(
        study.Pair("lstm", against, f"{level}, {batch} sequences", number=ratio(batch))
        for against, level in (("elman", "equal width"), (AS_LARGE, "equal parameters"))
        for batch in Settings.batches
    ),
    delta=math.log2(1.5),
    depends_on="whether width or parameters are equal",
)
EXPERIMENT = study.Experiment(
    "cost",
    Settings,
    measure,
    numbers=tables,
    curves=(
        study.Curves(
            "cost",
            "How many times as long a training step takes",
            (
                study.Curve(
                    "", "ratios", lambda settings, size: np.log2(settings.batches), "log2 of sequences in a batch",
                    "log2 of the time over that of {s.cells[0]}", markers=True,
                    levels=lambda settings, task: [Level(math.log2(1.5), "1.5 times as long")],
                ),
            ),
        ),
    ),
    claims=(MORE,),
    protocol=(
        "Wall-clock time until the result is there, after one call that warms up, a cell and {s.cells[0]} in turn in "
        "{s.rounds} rounds; milliseconds do not travel between machines, ratios of one run do better.",
    ),
    quick={"batches": (1, 32)},
    smoke={"hidden_size": 4, "input_size": 2, "length": 5, "batches": (2,), "rounds": 2},
    over="rounds",
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(study.main(EXPERIMENT))
