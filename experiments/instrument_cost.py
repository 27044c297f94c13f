"""What do the instruments cost, next to a training step of the same layer?

Command: `python experiments/instrument_cost.py`, about three minutes on two CPU cores that have nothing else to do.

Measured on an LSTM, calls that compile nothing: the adjoint, parameter and carousel profiles at every lag beside value
and gradient of Σy² through the fused scan, float32, in interleaved rounds of one process; exact Jacobian profiles at
20 lags; the joint Lyapunov spectrum in float64. Compilations during second calls are counted.

Expected: all lags of the adjoint profile cost at most 1.5 training steps, a Jacobian profile at H = 128 and T = 200
less than 20 s, the spectrum over 2000 steps less than 60 s, and no second call compiles anything.
"""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import _command
import jax
import jax.numpy as jnp
import numpy as np
from _command import Job, Measured

from recurrax import LSTM, lag, scan
from recurrax.report import Figure, Line, Panel, Report, Table

SMOKE = {
    "batch_size": 2, "length": 12, "input_size": 2, "hidden_size": 4, "jacobian_length": 20, "spectrum_length": 20,
    "rounds": 2,
}  # fmt: skip
STEP = "training step"
WALKS = ("adjoint_profile", "carousel_share", "parameter_profile")
LIMITS = {"adjoint_profile": 1.5, "jacobian_profile, one sequence": 20.0, "lyapunov_spectrum": 60.0}
"""What is aimed at: training steps for a walk, seconds for the others."""


@dataclass(frozen=True)
class Config(_command.Common):
    """What do the instruments cost, next to a training step of the same layer?"""

    batch_size: int = 32
    """Sequences."""
    length: int = 128
    """Steps of a sequence that the walks go over."""
    input_size: int = 64
    """Features."""
    hidden_size: int = 128
    """Units."""
    jacobian_length: int = 200
    """Steps of the sequences of Jacobian profiles, at 20 lags."""
    spectrum_length: int = 2000
    """Steps of the Lyapunov spectrum."""
    rounds: int = 15
    """Rounds in which training step and walks run once each; a tenth as many, at least two, for the others."""
    jobs: int = 1
    """Timings never run side by side."""

    def __post_init__(self):
        for name, least in dict.fromkeys(SMOKE, 1).items() | {("jacobian_length", 20), ("spectrum_length", 20)}:
            _command.check_least(name, getattr(self, name), least)
        if self.jobs != 1:
            raise ValueError(f"jobs: expected 1, timings never run side by side, got {self.jobs}")


def inputs(config: Config, length: int, batch_shape: tuple[int, ...], dtype: str) -> tuple[LSTM, Any, jax.Array]:
    """The layer, its parameters and Gaussian inputs (T, *batch, D)."""
    cell = LSTM(config.hidden_size)
    params = cell.init(jax.random.key(0), config.input_size, dtype)
    return cell, params, jax.random.normal(jax.random.key(1), (length, *batch_shape, config.input_size), dtype)


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
    return found | {f"seconds.{name}": np.array(of) for name, of in times.items()}


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


def measure_walks(config: Config) -> Measured:
    """A training step and the instruments that walk back once."""
    cell, params, xs = inputs(config, config.length, (config.batch_size,), "float32")
    step = jax.jit(jax.value_and_grad(lambda params: jnp.sum(jnp.square(scan(cell, params, xs).outputs))))
    instruments = (lag.adjoint_profile, lag.carousel_share, lag.parameter_profile)
    walks = {name: partial(walk, cell, params, xs) for name, walk in zip(WALKS, instruments, strict=True)}
    # It takes many times as long as the others: in the same rounds it would leave them a cold cache.
    slow = {"parameter_profile": walks.pop("parameter_profile")}
    return Measured(timed({STEP: partial(step, params), **walks}, config.rounds) | timed(slow, few(config)))


def measure_jacobian(config: Config, title: str, batch_shape: tuple[int, ...]) -> Measured:
    """An exact Jacobian profile at 20 lags."""
    cell, params, xs = inputs(config, config.jacobian_length, batch_shape, "float32")
    lags = range(0, config.jacobian_length, config.jacobian_length // 20)[:20]
    return Measured(timed({title: partial(lag.jacobian_profile, cell, params, xs, lags=lags)}, few(config)))


def measure_spectrum(config: Config) -> Measured:
    """The whole spectrum of (h, c)."""
    with jax.enable_x64(True):
        cell, params, xs = inputs(config, config.spectrum_length, (), "float64")
        return Measured(timed({"lyapunov_spectrum": partial(lag.lyapunov_spectrum, cell, params, xs)}, few(config)))


def few(config: Config) -> int:
    """Rounds of what takes seconds."""
    return max(2, config.rounds // 10)


def plan(config: Config) -> dict[str, Job]:
    """Every timing by its title."""
    batches = {"one sequence": (), f"{config.batch_size} sequences": (config.batch_size,)}
    jacobians = {
        title: partial(measure_jacobian, config, title, shape)
        for title, shape in ((f"jacobian_profile, {words}", shape) for words, shape in batches.items())
    }
    return {"walks": partial(measure_walks, config), **jacobians, "spectrum": partial(measure_spectrum, config)}


def finish(config: Config, arrays: Mapping[str, np.ndarray]) -> _command.Finished:
    """The times measured, and what they say."""
    names = [name.removeprefix("seconds.") for name in arrays if name.startswith("seconds.")]
    best = {name: float(arrays[f"seconds.{name}"].min()) for name in names}
    middle = {name: float(np.median(arrays[f"seconds.{name}"])) for name in names}
    compiled = {name: int(arrays[f"compilations.{name}"]) for name in names}
    numbers = {
        name: {
            "min_s": best[name], "median_s": middle[name], "training_steps": middle[name] / middle[STEP],
            "compilations": compiled[name],
        }
        for name in names
    }  # fmt: skip
    rows = tuple(
        (name, f"{1e3 * best[name]:.1f}", f"{1e3 * middle[name]:.1f}", f"{middle[name] / middle[STEP]:.2f}",
         str(compiled[name]), aim(name))
        for name in sorted(names, key=lambda name: middle[name])
    )  # fmt: skip
    table = Table(
        title=f"LSTM with {config.hidden_size} units, {config.input_size} features",
        caption=f"Training step and walks: {config.batch_size} sequences of {config.length} steps, float32. Jacobian: "
        f"{config.jacobian_length} steps, 20 lags. Spectrum: {config.spectrum_length} steps, all "
        f"{2 * config.hidden_size} exponents, float64. In training steps: ratio of medians. Compiled: programs that a "
        "second call compiled.",
        columns=("what", "min (ms)", "median (ms)", "in training steps", "compiled", "aim"),
        rows=rows,
    )
    met = [name for name, limit in LIMITS.items() if cost(name, middle) <= limit]
    missed = [name for name in LIMITS if name not in met]
    report = Report(
        question="What do the instruments cost, next to a training step of the same layer?",
        answer=f"All lags of the adjoint profile take {cost('adjoint_profile', middle):.2f} training steps, an exact "
        f"Jacobian profile {middle['jacobian_profile, one sequence']:.1f} s, the spectrum "
        f"{middle['lyapunov_spectrum']:.1f} s; second calls compiled {sum(compiled.values())} programs. "
        + (f"Aims missed: {', '.join(missed)}." if missed else "Every aim is met."),
        findings=(),
        tables=(table,),
        figures=(_figure(),),
        protocol=(
            "Wall-clock time until the result is there, after one call that compiles. Training step and walks run in "
            "turn within every round; milliseconds do not travel between machines, ratios of one run do better.",
        ),
    )
    walked = {"round": np.arange(1, config.rounds + 1)}
    return _command.Finished({**arrays, **walked}, numbers, report)


def cost(name: str, seconds: Mapping[str, float]) -> float:
    """In the unit of `LIMITS`."""
    return seconds[name] / seconds[STEP] if name in WALKS else seconds[name]


def aim(name: str) -> str:
    if name not in LIMITS:
        return ""
    return f"{LIMITS[name]:g} training steps" if name in WALKS else f"{LIMITS[name]:g} s"


def _figure() -> Figure:
    lines = tuple(Line(name, "round", f"seconds.{name}", slot) for slot, name in enumerate((STEP, *WALKS[:2])))
    panel = Panel("in turn", "round", "seconds", lines, markers=True)
    caption = "How long each call took in every round: a slow moment of the machine hits all alike."
    return Figure("rounds", "Training step and walks, round by round", caption, (panel,), columns=1)


if __name__ == "__main__":
    sys.exit(_command.main("instrument_cost", Config, SMOKE, plan, finish))
