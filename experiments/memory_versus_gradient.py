"""Does a network whose gradients vanish forget, and does one whose gradients flow remember?

Command: `python experiments/memory_versus_gradient.py`, about three minutes on two CPU cores.

Measured in freshly drawn networks, on the same independent inputs: R²(k), how well a linear decoder of the state finds
the input k steps ago, and A(k), the norm of the gradient k steps back.

Expected: the two are different things. Every cell forgets its inputs linearly within a few dozen steps, also those
whose gradients keep their norm for hundreds.
"""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import _command
import _profiles as profiles
import _seeds as seeds
import jax
import jax.numpy as jnp
import numpy as np
from _command import Job, Measured
from _profiles import Arm

from recurrax import lag, train
from recurrax.report import Figure, KeyFigure, Level, Line, Panel, Report, Table
from recurrax.study import statistics

SMOKE = {"seeds": 2, "hidden_size": 8, "lags": 16, "length": 200}


@dataclass(frozen=True)
class Config(_command.Common):
    """Does a network whose gradients vanish forget, and does one whose gradients flow remember?"""

    seeds: int = 5
    """Networks drawn per cell."""
    hidden_size: int = 64
    """Units of a network."""
    lags: int = 100
    """Longest time lag measured, in steps."""
    length: int = 20_000
    """Steps of the one sequence that the decoder is fitted to and tried on; a state that drifts over hundreds of steps
    needs many times as many: on 4000 the chrono LSTM's capacity came out as 2.2 inputs, on 20,000 as 5.6."""
    input_scale: float = 1.0
    """Inputs are uniform in ± this."""
    t_max: int = 200
    """Longest time scale of the chrono initialisation, in steps."""

    def __post_init__(self):
        for name, least in {"seeds": 1, "hidden_size": 1, "lags": 4, "t_max": 3}.items():
            _command.check_least(name, getattr(self, name), least)
        _command.check_least("length", self.length, 5 * self.lags)


def measure(config: Config, arm: Arm) -> Measured:
    """R² (S, lags + 1) and ln A(k) - ln A(0) (S, lags + 1) of every network."""

    def one(seed: jax.Array) -> tuple[jax.Array, jax.Array]:
        input_key, probe_key = jax.random.split(train.probe_key(seed))
        params = arm.cell.init(train.init_key(seed), 1, jnp.float64)
        xs = config.input_scale * jax.random.uniform(input_key, (config.length, 1), jnp.float64, -1.0, 1.0)
        memory = lag.memory_curve(arm.cell, params, xs, lags=range(config.lags + 1), burn_in=config.lags)
        probe = jax.random.normal(probe_key, (config.hidden_size,), jnp.float64)
        log_norm = lag.adjoint_profile(arm.cell, params, xs[-2 * config.lags :], probe).log_norm_joint
        return memory.r2.reshape(config.lags + 1), (log_norm - log_norm[0])[: config.lags + 1]

    # Some directions of a state vary too little for a float32 decoder; the setting holds for this thread alone.
    with jax.enable_x64(True):
        measured = [one(jnp.asarray(seed)) for seed in range(config.seeds)]
    memory, gradient = (np.stack([np.asarray(curve) for curve in curves]) for curves in zip(*measured, strict=True))
    return Measured({f"memory.{arm.name}": memory, f"gradient.{arm.name}": gradient})


def plan(config: Config) -> dict[str, Job]:
    """One measurement for each cell."""
    arms = profiles.interleaved(profiles.arms(config.hidden_size, config.t_max))
    return {arm.label: partial(measure, config, arm) for arm in arms}


def finish(config: Config, arrays: Mapping[str, np.ndarray]) -> _command.Finished:
    """The arrays measured, and what they say."""
    arms = profiles.arms(config.hidden_size, config.t_max)
    numbers, rows = {}, []
    for arm in arms:
        memory, gradient = arrays[f"memory.{arm.name}"], arrays[f"gradient.{arm.name}"]
        forgotten = [float(below[0]) if (below := np.flatnonzero(seed < 0.5)).size else math.inf for seed in memory]
        vanished = [lag.vanish_lag(seed, profiles.EPSILON) for seed in gradient]
        capacity = np.maximum(memory, 0).sum(axis=1)
        middles = {
            "forgotten_at": statistics.median(np.array(forgotten)),
            "vanish_lag": statistics.median(np.array(vanished)),
            "capacity": statistics.interquartile_mean(capacity),
        }
        per_network = {"forgotten_at": forgotten, "vanish_lag": vanished, "capacity": capacity.tolist()}
        numbers[arm.name] = middles | {"per_network": per_network}
        rows.append(
            (
                arm.family,
                arm.initialisation,
                seeds.steps(middles["forgotten_at"], config.lags),
                seeds.said(middles["capacity"], lambda value: f"{value:.1f}"),
                seeds.steps(middles["vanish_lag"], config.lags),
            )
        )
    flowing = [arm.label for arm, row in zip(arms, rows, strict=True) if row[-1] == f">{config.lags}"]
    most, longest = max(zip(arms, rows, strict=True), key=lambda pair: numbers[pair[0].name]["capacity"].estimate)
    report = Report(
        question="Does a network whose gradients vanish forget, and does one whose gradients flow remember?",
        answer=f"Gradients keep a millionth of their norm over {config.lags} steps in "
        f"{profiles.listed(flowing) if flowing else 'no cell'}. The most inputs, {longest[3]}, can be decoded linearly "
        f"from the state of {most.label}, whose gradient vanishes at lag {longest[4]}.",
        findings=(),
        tables=(
            Table(
                title=f"At initialisation, {config.hidden_size} units",
                caption="Forgotten: first lag with R² below 1/2. Capacity: sum of R² over lags. K: first lag with a "
                "norm below 1e-6 of that at lag 0. Medians, of the capacity the interquartile mean, over "
                f"{config.seeds} networks, {seeds.IN_BRACKETS}. b_f: forget bias.",
                columns=("cell", "initialisation", "forgotten, steps", "capacity, inputs", "K, steps"),
                rows=tuple(rows),
            ),
        ),
        figures=(_figure(arms),),
        protocol=(
            f"One input per step, uniform in ±{config.input_scale:g}, independent over time; {config.length} steps.",
            "R² on the half of the steps that the ridge decoder was not fitted to; the whole carry is decoded.",
            "A(k) is the Euclidean norm of ∂L/∂s at k steps before the last, L = ⟨g, h_T⟩ with a Gaussian g.",
        ),
        key_figures=tuple(
            KeyFigure(f"{arm.label}, steps", f"forgotten at {row[2]}, gradient vanished at {row[4]}")
            for arm, row in zip(arms, rows, strict=True)
        ),
    )
    return _command.Finished({**arrays, "lag": np.arange(config.lags + 1)}, seeds.saved(numbers), report)


def _figure(arms: tuple[Arm, ...]) -> Figure:
    memory, gradient = (
        tuple(Line(arm.label, "lag", f"{kind}.{arm.name}", slot) for slot, arm in enumerate(arms))
        for kind in ("memory", "gradient")
    )
    vanished = (Level(math.log(profiles.EPSILON), "10⁻⁶"),)
    return Figure(
        name="memory_versus_gradient",
        title="Forward memory and gradient norm by lag",
        caption="Median over networks and band from the 10th to the 90th percentile.",
        panels=(
            Panel("forward memory", "time lag k (steps)", "R²(k)", memory, y_limits=(-0.05, 1.05)),
            Panel("gradient", "time lag k (steps)", "A(k) / A(0)", gradient, vanished, y_scale="exp"),
        ),
    )


if __name__ == "__main__":
    sys.exit(_command.main("memory_versus_gradient", Config, SMOKE, plan, finish))
