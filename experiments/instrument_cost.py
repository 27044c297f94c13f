"""What do the instruments cost, next to a training step of the same layer?

Command: `python experiments/instrument_cost.py`, about three minutes on two CPU cores that have nothing else to do.

Measured for each cell, calls that compile nothing: the adjoint, parameter and carousel profiles at every lag beside
value and gradient of Σy² through the fused scan, float32, in interleaved rounds of one process; exact Jacobian profiles
at 20 lags; in float64 the joint Lyapunov spectrum, as many covariant vectors as the layer has units, and fixed points
from some states that the driven layer passes. Compilations during second calls are counted.

Expected of an LSTM: all lags of the adjoint profile cost at most 1.5 training steps, of the parameter profile 5, a
Jacobian profile at H = 128 and T = 200 less than 20 s, the spectrum over 2000 steps less than 60 s, and no second call
compiles anything.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from recurrax import lag, scan, study
from recurrax.study import timing

STEP = "training step"


@dataclass(frozen=True)
class Settings(study.TimingSettings):
    """What do the instruments cost, next to a training step of the same layer?"""

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
    """Steps of the Lyapunov spectrum and the covariant vectors."""
    starts: int = 16
    """States from which fixed points are looked for."""
    rounds: int = 15
    """Rounds in which training step and walks run once each; a tenth as many, at least two, for the others."""

    LEAST: ClassVar = {
        "batch_size": 1,
        "length": 1,
        "input_size": 1,
        "jacobian_length": 20,
        "spectrum_length": 20,
        "starts": 1,
    }


def measure(settings: Settings, cell: Any, task: None, run: study.Run) -> study.Arrays:
    """Seconds (rounds,) of every call, the same in training steps, and how many programs second calls compiled."""
    compiled, seconds, few = 0, {}, max(2, settings.rounds // 10)

    def layer(length: int, batch_shape: tuple[int, ...], dtype: str = "float32") -> tuple[Any, Any, jax.Array]:
        params = cell.init(jax.random.key(0), settings.input_size, dtype)
        return cell, params, jax.random.normal(jax.random.key(1), (length, *batch_shape, settings.input_size), dtype)

    def time(rounds: int, **calls: Callable[[], Any]) -> None:
        nonlocal compiled, seconds
        run.check()
        for call in calls.values():
            jax.block_until_ready(call())
            compiled += len(timing.compilations(call))
        seconds |= timing.interleaved(calls, rounds)

    at, batch = layer(settings.length, (settings.batch_size,)), (settings.batch_size,)
    step = jax.jit(jax.value_and_grad(lambda params: jnp.sum(jnp.square(scan(cell, params, at[2]).outputs))))
    walks = {"adjoint": lag.adjoint_profile, "carousel": lag.carousel_share, "parameter": lag.parameter_profile}
    time(settings.rounds, **{STEP: partial(step, at[1])}, **{name: partial(walk, *at) for name, walk in walks.items()})
    lags = range(0, settings.jacobian_length, settings.jacobian_length // 20)[:20]
    for name, shape in {"Jacobian": (), "Jacobian, batch": batch}.items():
        jacobian = partial(lag.jacobian_profile, *layer(settings.jacobian_length, shape), lags=lags)
        time(few, **{name: jacobian})
    with jax.enable_x64(True):
        at = layer(settings.spectrum_length, (), "float64")
        spectrum = partial(lag.lyapunov_spectrum, *at)
        vectors = partial(lag.covariant_vectors, *at, exponents=settings.hidden_size)
        driven = {"xs": at[2], "key": jax.random.key(2), "starts": settings.starts}
        points = partial(lag.fixed_points, *at[:2], jnp.zeros_like(at[2][0]), **driven)
        time(few, **{"Lyapunov": spectrum, "covariant vectors": vectors, "fixed points": points})
    in_steps = {f"{name} in steps": of / np.median(seconds[STEP]) for name, of in seconds.items()}
    return {**seconds, **in_steps, "compiled": np.array([compiled]), "seed": range(settings.rounds)}


def number(name: str, array: str, unit: str) -> study.Number:
    aim, of_aim = AIMS.get(name, (None, None))
    means = f"at most {aim:g} {unit} is aimed at" if of_aim == unit else ""
    return study.Number(name, array, unit=unit, means=means)


CALLS = (
    STEP,
    "adjoint",
    "carousel",
    "parameter",
    "Jacobian",
    "Jacobian, batch",
    "Lyapunov",
    "covariant vectors",
    "fixed points",
)
AIMS = {
    "adjoint": (1.5, "training steps"),
    "parameter": (5.0, "training steps"),
    "Jacobian": (20.0, "s"),
    "Lyapunov": (60.0, "s"),
}
COMPILED = study.Number("compiled", "compiled", unit="programs", means="programs that second calls compiled")
ROUND = partial(
    study.Curve, x=lambda settings, size: np.arange(1, size + 1), x_label="round", y_label="seconds",
    value=lambda array, settings, task: array[None], markers=True,
)  # fmt: skip
EXPERIMENT = study.Experiment(
    "instrument_cost",
    Settings,
    measure,
    numbers=(
        study.Numbers(
            "In training steps, {s.hidden_size} units, {s.input_size} features",
            tuple(number(name, f"{name} in steps", "training steps") for name in CALLS[1:]),
            "Adjoint, carousel and parameter: {s.batch_size} sequences of {s.length} steps, float32. Jacobian: "
            "{s.jacobian_length} steps, 20 lags. Lyapunov: {s.spectrum_length} steps, all exponents, float64; "
            "covariant vectors: {s.hidden_size} of them. Fixed points: {s.starts} starts, float64.",
        ),
        study.Numbers("In seconds", (*(number(name, name, "s") for name in CALLS), COMPILED)),
    ),
    curves=(
        study.Curves(
            "rounds",
            "Training step and walks, round by round",
            tuple(ROUND(name, name) for name in CALLS[:3]),
            "A slow moment of the machine hits all alike.",
        ),
    ),
    protocol=(
        "Wall-clock time until the result is there, after one call that compiles. Training step and walks run in turn "
        "within every round; milliseconds do not travel between machines, ratios of one run do better.",
    ),
    smoke={
        "batch_size": 2, "length": 12, "input_size": 2, "hidden_size": 4, "jacobian_length": 20, "spectrum_length": 20,
        "starts": 2, "rounds": 2,
    },
    over="rounds",
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(study.main(EXPERIMENT))
