"""What do the instruments cost, next to a training step of the same layer?

Command: `python experiments/instrument_cost.py`, about three minutes on two CPU cores that have nothing else to do.

Measured for each cell, calls that compile nothing: the adjoint, parameter and carousel profiles at every lag beside
value and gradient of Σy² through the fused scan, float32, in interleaved rounds of one process; exact Jacobian profiles
at 20 lags; the joint Lyapunov spectrum in float64. Compilations during second calls are counted.

Expected of an LSTM: all lags of the adjoint profile cost at most 1.5 training steps, a Jacobian profile at H = 128 and
T = 200 less than 20 s, the spectrum over 2000 steps less than 60 s, and no second call compiles anything.
"""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recurrax import lag, scan, study

STEP = "training step"


@dataclass(frozen=True)
class Settings(study.Settings):
    """What do the instruments cost, next to a training step of the same layer?"""

    cells: tuple[str, ...] = ("lstm",)
    """What is measured: names, or file.py:NAME, each with :field=value,... where wanted."""
    hidden_size: int = 128
    """Units of a layer whose text does not say."""
    batch_size: int = 32
    """Sequences."""
    length: int = 128
    """Steps of a sequence that the walks go over."""
    input_size: int = 64
    """Features."""
    jacobian_length: int = 200
    """Steps of the sequences of Jacobian profiles, at 20 lags."""
    spectrum_length: int = 2000
    """Steps of the Lyapunov spectrum."""
    rounds: int = 15
    """Rounds in which training step and walks run once each; a tenth as many, at least two, for the others."""
    jobs: int = 1
    """Timings never run side by side."""

    def __post_init__(self):
        super().__post_init__()
        study.check_least(self, batch_size=1, length=1, input_size=1, rounds=1, jacobian_length=20, spectrum_length=20)
        if self.jobs != 1:
            raise ValueError(f"jobs: expected 1, timings never run side by side, got {self.jobs}")

    @property
    def few(self) -> int:
        """Rounds of what takes seconds."""
        return max(2, self.rounds // 10)


def timed(calls: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, np.ndarray]:
    """Seconds of every call in every round, in turn, and under `compilations.` how many its second call needed."""
    found: dict[str, np.ndarray] = {}
    for name, call in calls.items():
        jax.block_until_ready(call())
        found[f"compilations.{name}"] = np.array(compilations(call))
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            begun = time.perf_counter()
            jax.block_until_ready(call())
            times[name].append(time.perf_counter() - begun)
    return found | {name: np.array(of) for name, of in times.items()}


def compilations(call: Callable[[], Any]) -> int:
    """How many programs are compiled during a call."""
    counted = [0]

    def count(event: str, duration_secs: float, **kwargs: str | int) -> None:
        del duration_secs, kwargs
        counted[0] += event == "/jax/core/compile/backend_compile_duration"

    jax.monitoring.register_event_duration_secs_listener(count)
    try:
        jax.block_until_ready(call())
    finally:
        jax.monitoring.clear_event_listeners()
    return counted[0]


def measure(settings: Settings, cell: Any, task: None, run: study.Run) -> study.Arrays:
    """Seconds (rounds,) of every call, the same in training steps, and how many programs second calls compiled."""

    def layer(length: int, batch_shape: tuple[int, ...], dtype: str) -> tuple[Any, Any, jax.Array]:
        params = cell.init(jax.random.key(0), settings.input_size, dtype)
        return cell, params, jax.random.normal(jax.random.key(1), (length, *batch_shape, settings.input_size), dtype)

    at = layer(settings.length, (settings.batch_size,), "float32")
    step = jax.jit(jax.value_and_grad(lambda params: jnp.sum(jnp.square(scan(cell, params, at[2]).outputs))))
    calls = {STEP: partial(step, at[1]), "adjoint": partial(lag.adjoint_profile, *at)}
    found = timed(calls | {"carousel": partial(lag.carousel_share, *at)}, settings.rounds)
    # It takes many times as long as the others: in the same rounds it would leave them a cold cache.
    found |= timed({"parameter": partial(lag.parameter_profile, *at)}, settings.few)
    lags = range(0, settings.jacobian_length, settings.jacobian_length // 20)[:20]
    for title, shape in {"Jacobian": (), "Jacobian, batch": (settings.batch_size,)}.items():
        at = layer(settings.jacobian_length, shape, "float32")
        found |= timed({title: partial(lag.jacobian_profile, *at, lags=lags)}, settings.few)
    with jax.enable_x64(True):
        at = layer(settings.spectrum_length, (), "float64")
        found |= timed({"Lyapunov": partial(lag.lyapunov_spectrum, *at)}, settings.few)
    compiled = sum(int(count) for name, count in found.items() if name.startswith("compilations."))
    seconds = {name: of for name, of in found.items() if name in CALLS}
    steps = {f"{name} in steps": of / np.median(seconds[STEP]) for name, of in seconds.items()}
    return {**seconds, **steps, "compiled": np.array([compiled]), "seed": range(settings.rounds)}


def values(array: np.ndarray, settings: Settings, task: None) -> np.ndarray:
    return array


def number(name: str, array: str, unit: str) -> study.Number:
    aim, of_aim = AIMS.get(name, (None, None))
    return study.Number(name, array, values, unit, f"at most {aim:g} {unit} is aimed at" if of_aim == unit else "")


CALLS = (STEP, "adjoint", "carousel", "parameter", "Jacobian", "Jacobian, batch", "Lyapunov")
AIMS = {"adjoint": (1.5, "training steps"), "Jacobian": (20.0, "s"), "Lyapunov": (60.0, "s")}
EXPERIMENT = study.Experiment(
    "instrument_cost",
    Settings,
    measure,
    numbers=(
        study.Numbers(
            "In training steps, {s.hidden_size} units, {s.input_size} features",
            tuple(number(name, f"{name} in steps", "training steps") for name in CALLS[1:]),
            "Adjoint, carousel and parameter: {s.batch_size} sequences of {s.length} steps, float32. Jacobian: "
            "{s.jacobian_length} steps, 20 lags. Lyapunov: {s.spectrum_length} steps, all exponents, float64.",
        ),
        study.Numbers(
            "In seconds",
            (
                *(number(name, name, "s") for name in CALLS),
                study.Number("compiled", "compiled", values, "programs", "programs that second calls compiled"),
            ),
        ),
    ),
    curves=(
        study.Curves(
            "rounds",
            "Training step and walks, round by round",
            tuple(
                study.Curve(
                    name,
                    name,
                    x=lambda settings, size: np.arange(1, size + 1),
                    x_label="round",
                    y_label="seconds",
                    value=lambda array, settings, task: array[None],
                    markers=True,
                )
                for name in CALLS[:3]
            ),
            "A slow moment of the machine hits all alike.",
        ),
    ),
    protocol=(
        "Wall-clock time until the result is there, after one call that compiles. Training step and walks run in turn "
        "within every round; milliseconds do not travel between machines, ratios of one run do better.",
    ),
    smoke={
        "batch_size": 2, "length": 12, "input_size": 2, "hidden_size": 4, "jacobian_length": 20, "spectrum_length": 20,
        "rounds": 2,
    },
    over="rounds",
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(study.main(EXPERIMENT))
