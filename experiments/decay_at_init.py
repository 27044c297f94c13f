"""Which initialisation lets gradients reach how far back, and how much of that is the scale of the inputs?

Command: `python experiments/decay_at_init.py`, about three minutes on two CPU cores.

Measured: A(k), the norm of the gradient of L = ⟨g, h_T⟩ with respect to the state k steps before the end, of freshly
drawn Elman, GRU and LSTM networks as Flax, PyTorch and Keras start them, with larger forget biases and with chrono
initialisation, on inputs of the adding problem and on real text, as they are and scaled.

Expected: the LSTM of Flax and PyTorch loses a factor of a million sooner than an Elman network with an orthogonal
kernel; chrono keeps a tenth of the norm over 200 steps. Larger inputs quicken the decay of Elman networks.
"""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import _command
import _profiles as profiles
import _seeds as seeds
import numpy as np
from _command import Job, Measured
from _profiles import Arm

from recurrax import GRU, LSTM, Elman
from recurrax.report import Figure, KeyFigure, Level, Line, Panel, Report, Table

SMOKE = {"seeds": 2, "hidden_size": 8, "lags": 16, "rows": 2}

Numbers = dict[str, dict[str, seeds.Decay]]
"""Inputs and cell, then the scale of the inputs, to what was measured."""


@dataclass(frozen=True)
class Config(_command.Common):
    """Which initialisation lets gradients reach how far back, and how much of that is the scale of the inputs?"""

    inputs: tuple[Literal["adding", "characters"], ...] = ("adding", "characters")
    """What the cells read."""
    scales: tuple[float, ...] = (0.3, 1.0, 3.0)
    """What the inputs are multiplied by."""
    seeds: int = 10
    """Networks drawn per cell."""
    hidden_size: int = 128
    """Units of a network."""
    lags: int = 200
    """Longest time lag measured, in steps."""
    rows: int = 16
    """Sequences per network."""
    symbols: int = 32
    """Size of the one-hot inputs: the most frequent characters and one symbol for the rest; 0 keeps every character."""
    t_max: int = 200
    """Longest time scale of the chrono initialisation, in steps."""

    def __post_init__(self):
        for name in ("seeds", "hidden_size", "rows"):
            _command.check_least(name, getattr(self, name), 1)
        for name, least in {"lags": 4, "t_max": 3}.items():
            _command.check_least(name, getattr(self, name), least)
        if not self.inputs or not self.scales or not all(math.isfinite(scale) for scale in self.scales):
            raise ValueError("inputs, scales: expected at least one of each, and finite scales")
        profiles.inputs("characters", self.lags, self.symbols)

    @property
    def reference_lag(self) -> int:
        return min(100, self.lags)

    @property
    def window(self) -> tuple[int, int]:
        """Lags the rate in summary.json is fitted in."""
        last = min(49, self.lags)
        return min(5, last // 2), last

    @property
    def reference_scale(self) -> float:
        """The scale whose curves are drawn: 1 where it is among them."""
        return 1.0 if 1.0 in self.scales else self.scales[0]


def arms(config: Config) -> tuple[Arm, ...]:
    """Every cell as each library starts it, and the LSTM with what is recommended instead."""
    size = config.hidden_size
    torch: dict[str, Any] = {"kernel_init": "uniform", "recurrent_init": "uniform", "bias_init": "uniform"}
    keras: dict[str, Any] = {"kernel_init": "glorot"}
    return (
        Arm("elman_torch", "Elman", "PyTorch", Elman(size, **torch)),
        Arm("elman_flax", "Elman", "Flax", Elman(size)),
        Arm("elman_keras", "Elman", "Keras", Elman(size, **keras)),
        Arm("gru_torch", "GRU", "PyTorch", GRU(size, **torch)),
        Arm("gru_flax", "GRU", "Flax", GRU(size)),
        Arm("gru_keras", "GRU", "Keras", GRU(size, **keras)),
        Arm("lstm_torch", "LSTM", "PyTorch", LSTM(size, forget_bias=0.0, **torch)),
        Arm("lstm_flax", "LSTM", "Flax b_f=0", LSTM(size, forget_bias=0.0)),
        Arm("lstm_keras", "LSTM", "Keras b_f=1", LSTM(size, forget_bias=1.0, **keras)),
        Arm("lstm_1", "LSTM", "Flax b_f=1", LSTM(size, forget_bias=1.0)),
        Arm("lstm_3", "LSTM", "Flax b_f=3", LSTM(size, forget_bias=3.0)),
        Arm("lstm_5", "LSTM", "Flax b_f=5", LSTM(size, forget_bias=5.0)),
        Arm("lstm_chrono", "LSTM", "chrono", LSTM(size, forget_bias="chrono", t_max=config.t_max)),
    )


def measure(config: Config, name: str, arm: Arm) -> Measured:
    """Curves (S, T) of freshly drawn networks at every scale of the inputs."""
    task = profiles.inputs(name, config.lags + 1, config.symbols)
    curves = {}
    for scale in config.scales:
        measured = profiles.at_initialisation(arm, task, range(config.seeds), config.rows, scale)
        curves[f"curve.{name}.{arm.name}.{scale:g}"] = profiles.median_curves(measured)
    return Measured(curves)


def plan(config: Config) -> dict[str, Job]:
    """Every measurement by its title, one cell of each class first."""
    order = profiles.interleaved(arms(config))
    return {f"{name}, {arm.label}": partial(measure, config, name, arm) for name in config.inputs for arm in order}


def finish(config: Config, arrays: Mapping[str, np.ndarray]) -> _command.Finished:
    """The arrays measured and those drawn from them, and what they say."""
    arrays = {**arrays, "lag": np.arange(config.lags + 1), "scale": np.array(config.scales)}
    numbers: Numbers = {}
    for name in config.inputs:
        for arm in arms(config):
            curves = {f"{scale:g}": arrays[f"curve.{name}.{arm.name}.{scale:g}"] for scale in config.scales}
            levels = [curve[:, config.reference_lag] for curve in curves.values()]
            arrays[f"level.{name}.{arm.name}"] = np.stack(levels, axis=1)
            numbers[f"{name}.{arm.name}"] = {
                scale: seeds.decay(curve, config.window, config.reference_lag) for scale, curve in curves.items()
            }
    report = Report(
        question="Which initialisation lets gradients reach how far back, and what is the inputs' part in it?",
        answer=_answer(config, numbers),
        findings=tuple(_scale_finding(config, numbers, name) for name in config.inputs if len(config.scales) > 1),
        tables=tuple(_table(config, numbers, scale) for scale in config.scales),
        figures=tuple(_figure(config, family) for family in ("Elman", "GRU", "LSTM")),
        protocol=_protocol(config),
        key_figures=tuple(
            KeyFigure(
                f"steps back at which the gradient is below a millionth, on {name}",
                "; ".join(f"{arm.label} {_lags(config, numbers, name, arm)}" for arm in arms(config)),
            )
            for name in config.inputs
        ),
    )
    return _command.Finished(arrays, seeds.saved(numbers), report)


def _lags(config: Config, numbers: Numbers, name: str, arm: Arm) -> str:
    """K in words, inputs at the scale whose curves are drawn."""
    return seeds.steps(numbers[f"{name}.{arm.name}"][f"{config.reference_scale:g}"].vanish_lag, config.lags)


def _answer(config: Config, numbers: Numbers) -> str:
    scale, sentences = f"{config.reference_scale:g}", []
    for name in config.inputs:
        lags = {arm.label: numbers[f"{name}.{arm.name}"][scale].vanish_lag.estimate for arm in arms(config)}
        within = [f"{label} {k:g}" for label, k in sorted(lags.items(), key=lambda item: item[1]) if k < math.inf]
        beyond = [label for label, k in lags.items() if k == math.inf]
        parts = [", ".join(within)] if within else []
        parts += [f"more than {config.lags} for {profiles.listed(beyond)}"] if beyond else []
        sentences.append(f"On {name}: {'; '.join(parts)}.")
    return (
        f"Steps until the gradient is below a millionth of its norm at lag 0, {config.hidden_size} units, inputs times "
        f"{scale}:\n" + "\n".join(sentences)
    )


def _scale_finding(config: Config, numbers: Numbers, name: str) -> str:
    told = [
        seeds.steps(numbers[f"{name}.elman_flax"][f"{scale:g}"].vanish_lag, config.lags)
        + f" with inputs times {scale:g}"
        for scale in config.scales
    ]
    return f"On {name} the lag at which Flax's Elman network vanishes goes with the inputs: {profiles.listed(told)}."


def _table(config: Config, numbers: Numbers, scale: float) -> Table:
    rows = []
    for arm in arms(config):
        decays = [numbers[f"{name}.{arm.name}"][f"{scale:g}"] for name in config.inputs]
        entries = [(seeds.steps(decay.vanish_lag, config.lags), seeds.power(decay.log_norm)) for decay in decays]
        rows.append((arm.family, arm.initialisation, *(entry for pair in entries for entry in pair)))
    heads = [f"{head} {name}" for name in config.inputs for head in ("K", f"A({config.reference_lag})")]
    return Table(
        title=f"Inputs times {scale:g}",
        caption="K: first lag at which the norm is below 1e-6 of that at lag 0, in steps. "
        f"A({config.reference_lag}): norm at that lag relative to lag 0. Medians over {config.seeds} networks of "
        f"{config.hidden_size} units, {seeds.IN_BRACKETS}. b_f: forget bias.",
        columns=("cell", "initialisation", *heads),
        rows=tuple(rows),
    )


def _figure(config: Config, family: str) -> Figure:
    of_family = [arm for arm in arms(config) if arm.family == family]
    panels = []
    for name in config.inputs:
        curves = [f"curve.{name}.{arm.name}.{config.reference_scale:g}" for arm in of_family]
        levels = [f"level.{name}.{arm.name}" for arm in of_family]
        vanished = (Level(math.log(profiles.EPSILON), "10⁻⁶"),)
        panels += [
            Panel(
                title=f"{name}, inputs times {config.reference_scale:g}",
                x_label="time lag k (steps)",
                y_label="A(k) / A(0)",
                lines=_lines(of_family, "lag", curves),
                levels=vanished,
                y_scale="exp",
                y_limits=(math.log(1e-20), math.log(1e3)),
            ),
            Panel(
                title=f"{name}, against the scale of the inputs",
                x_label="factor on the inputs",
                y_label=f"A({config.reference_lag}) / A(0)",
                lines=_lines(of_family, "scale", levels),
                levels=vanished,
                y_scale="exp",
                markers=True,
            ),
        ]
    return Figure(
        name=f"decay_{family.lower()}",
        title=f"{family}: gradient norm at initialisation",
        caption="Median over networks and band from the 10th to the 90th percentile; relative to the norm at lag 0.",
        panels=tuple(panels),
    )


def _lines(of_family: list[Arm], x: str, ys: list[str]) -> tuple[Line, ...]:
    return tuple(Line(arm.label, x, y, slot) for slot, (arm, y) in enumerate(zip(of_family, ys, strict=True)))


def _protocol(config: Config) -> tuple[str, ...]:
    return (
        "A(k) is the Euclidean norm of ∂L/∂s at k steps before the last, s being all that is carried: h, or (h, c) for "
        "an LSTM, and L = ⟨g, h_T⟩ with a random unit vector g for each sequence.",
        f"Each network is measured on {config.rows} sequences of {config.lags + 1} steps; its curve is the median over "
        "them. Bands and intervals are over networks, none left out.",
        "PyTorch: every parameter uniform in ±1/√H, one bias here for its two. Flax: lecun input kernels, recurrent "
        "kernels orthogonal gate by gate, biases 0. Keras: glorot input kernels gate by gate, recurrent kernels as "
        f"Flax, forget bias 1. Chrono: forget biases ln U(1, {config.t_max - 1}), input biases minus these, the rest "
        "as Flax.",
        *(profiles.input_scale(name, config.lags + 1, config.symbols) for name in config.inputs),
    )


if __name__ == "__main__":
    sys.exit(_command.main("decay_at_init", Config, SMOKE, plan, finish))
