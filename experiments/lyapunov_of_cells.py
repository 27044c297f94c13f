"""What are the Lyapunov exponents of recurrent cells, and what goes wrong when an LSTM's memory is left out?

Command: `python experiments/lyapunov_of_cells.py`, about a minute on two CPU cores.

Measured: the spectrum of the whole carry, (h, c) for an LSTM, of Elman, GRU and LSTM networks that read real text, at
initialisation and after training; beside it the leading exponent of the block ∂h_t/∂h_tm1 with c held fixed, which some
tools report as an LSTM's.

Expected: the block alone makes an LSTM with chrono initialisation look strongly contracting, while its leading exponent
is close to 0.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import _command
import _profiles as profiles
import _seeds as seeds
import jax
import jax.numpy as jnp
import numpy as np
from _command import Job, Measured
from _profiles import Arm

from recurrax import LSTM, Cell, lag, train
from recurrax.cells import ElmanCarry, LSTMCarry
from recurrax.report import Figure, KeyFigure, Level, Line, Panel, Report, Table
from recurrax.study import statistics

SMOKE = {"seeds": 2, "hidden_size": 8, "length": 60, "steps": 2, "train_length": 8}
PHASES = ("drawn", "trained")
_LAST = 20
"""Training steps whose mean is called the loss at the end."""


@dataclass(frozen=True)
class Config(_command.Common):
    """What are the Lyapunov exponents of recurrent cells, and what goes wrong when an LSTM's memory is left out?"""

    seeds: int = 3
    """Networks per cell."""
    hidden_size: int = 32
    """Units of a network."""
    length: int = 1000
    """Characters that drive a network while its exponents are measured."""
    steps: int = 200
    """Adam steps of next-character prediction before the second measurement."""
    train_length: int = 50
    """Length of training sequences, in steps."""
    symbols: int = 32
    """Size of the one-hot inputs: the most frequent characters and one symbol for the rest; 0 keeps every character."""
    t_max: int = 200
    """Longest time scale of the chrono initialisation, in steps."""

    def __post_init__(self):
        for name, least in {
            "seeds": 1,
            "hidden_size": 1,
            "length": 20,
            "steps": 1,
            "train_length": 2,
            "t_max": 3,
        }.items():
            _command.check_least(name, getattr(self, name), least)
        profiles.inputs("characters", self.train_length, self.symbols)


@dataclass(frozen=True)
class HiddenOnly(Cell):
    """An LSTM seen as if c were an input: the last H features of x are the c_tm1 of the whole LSTM's own walk."""

    lstm: LSTM

    def init(self, key: jax.Array, input_size: int, dtype: Any = jnp.float32) -> Any:
        return self.lstm.init(key, input_size, dtype)

    def initial_carry(self, params: Any, batch_shape: Any, dtype: Any) -> ElmanCarry:
        return ElmanCarry(h=self.lstm.initial_carry(params, batch_shape, dtype).h)

    def project(self, params: Any, x: jax.Array) -> Any:
        features = params.kernel.shape[0]
        return self.lstm.project(params, x[..., :features]), x[..., features:]

    def recur(self, params: Any, carry: ElmanCarry, u: Any) -> Any:
        return self.lstm.recur(params, LSTMCarry(h=carry.h, c=u[1]), u[0])

    def pointwise(self, params: Any, carry: ElmanCarry, u: Any, v: Any) -> ElmanCarry:
        return ElmanCarry(h=self.lstm.pointwise(params, LSTMCarry(h=carry.h, c=u[1]), u[0], v).h)

    def output(self, params: Any, carry: ElmanCarry, u: Any) -> jax.Array:
        return carry.h


def measure(config: Config, arm: Arm) -> Measured:
    """Losses (S, steps), spectra (S, N) before and after training, the leading exponent (S, 1) of an LSTM's h block."""
    task = profiles.inputs("characters", config.train_length, config.symbols)
    seeds = range(config.seeds)
    trained = train.fit(
        profiles.training(
            arm, task, seeds=seeds, steps=config.steps, probes={"cell": _cell}, probe_steps=(0, config.steps)
        ),
        progress=False,
    )
    text = profiles.inputs("characters", config.length, config.symbols).batch(jax.random.key(0), 1).xs[:, 0]
    arrays: dict[str, list[np.ndarray]] = {f"loss.{arm.name}": list(np.asarray(trained.metrics.loss).T)}
    # float64 for the tail of a spectrum; the setting holds for this thread alone.
    with jax.enable_x64(True):
        xs = jnp.asarray(np.asarray(text, np.float64))
        for index, phase in enumerate(PHASES):
            for seed in seeds:
                params = jax.tree.map(partial(_pick, place=(index, seed)), trained.probes["cell"])
                spectrum = lag.lyapunov_spectrum(arm.cell, params, xs)
                arrays.setdefault(f"{phase}.{arm.name}", []).append(np.asarray(spectrum.exponents))
                if isinstance(arm.cell, LSTM):
                    hidden = lag.lyapunov_spectrum(
                        HiddenOnly(arm.cell), params, _with_memory(arm.cell, params, xs), exponents=1
                    )
                    arrays.setdefault(f"hidden.{phase}.{arm.name}", []).append(np.asarray(hidden.exponents))
    return Measured({name: np.stack(values) for name, values in arrays.items()})


def _pick(leaf: np.ndarray, place: tuple[int, int]) -> jax.Array:
    return jnp.asarray(leaf[place], jnp.float64)


def _cell(params: Any, key: jax.Array) -> Any:
    return params.cell


@partial(jax.jit, static_argnums=0)
def _with_memory(cell: LSTM, params: Any, xs: jax.Array) -> jax.Array:
    """Xs (T, D) and the c that enters each step, (T, D + H)."""

    def body(carry: LSTMCarry, x: jax.Array) -> tuple[LSTMCarry, jax.Array]:
        return cell.step(params, carry, x)[0], carry.c

    _, memory = jax.lax.scan(body, cell.initial_carry(params, (), xs.dtype), xs)
    return jnp.concatenate([xs, memory], axis=1)


def plan(config: Config) -> dict[str, Job]:
    """One measurement for each cell."""
    arms = profiles.interleaved(profiles.arms(config.hidden_size, config.t_max))
    return {arm.label: partial(measure, config, arm) for arm in arms}


def finish(config: Config, arrays: Mapping[str, np.ndarray]) -> _command.Finished:
    """The arrays measured and those drawn from them, and what they say."""
    arms = profiles.arms(config.hidden_size, config.t_max)
    sizes = {arrays[f"drawn.{arm.name}"].shape[1] for arm in arms}
    arrays = {**arrays, **{f"rank.{size}": (np.arange(size) + 0.5) / size for size in sizes}}
    task = profiles.inputs("characters", config.train_length, config.symbols)
    knows, threshold = min(task.landmarks.items(), key=lambda landmark: landmark[1])
    window = min(_LAST, config.steps)
    numbers: dict[str, dict[str, Any]] = {
        arm.name: {phase: _leading(arrays, phase, arm) for phase in PHASES} for arm in arms
    }
    learned = {arm.name: seeds.learned(arrays[f"loss.{arm.name}"], threshold, window) for arm in arms}
    rows = tuple(
        (
            arm.family,
            arm.initialisation,
            *(
                "-" if (found := numbers[arm.name][phase][kind]) is None else seeds.signed(found)
                for kind in ("leading", "hidden_only")
                for phase in PHASES
            ),
        )
        for arm in arms
    )
    joint, block = (numbers["lstm_chrono"]["drawn"][kind] for kind in ("leading", "hidden_only"))
    report = Report(
        question="What are the Lyapunov exponents of recurrent cells, and what if an LSTM's memory is left out?",
        answer="The leading exponent of a freshly drawn LSTM with chrono initialisation is "
        f"{seeds.signed(joint)} nats per step, the block ∂h_t/∂h_tm1 alone gives {seeds.signed(block)}: without "
        "c it is another system that is measured.",
        findings=(),
        tables=(
            Table(
                title="Leading exponent, nats per step",
                caption=f"Interquartile mean over {config.seeds} networks of {config.hidden_size} units, drawn and "
                f"after {config.steps} Adam steps, {seeds.IN_BRACKETS}. h only: the block ∂h_t/∂h_tm1 of an LSTM, c "
                "held fixed. b_f: forget bias.",
                columns=("cell", "initialisation", "drawn", "trained", "drawn, h only", "trained, h only"),
                rows=rows,
            ),
            seeds.learning_table(
                title=f"What was learned in {config.steps} Adam steps",
                rows={("characters", arm.family, arm.initialisation): learned[arm.name] for arm in arms},
                window=window,
                thresholds=f"{threshold:.4f} ({knows})",
                steps_taken=config.steps,
            ),
        ),
        figures=(_figure(arms, arrays),),
        protocol=(
            f"Exponents over {config.length} characters of text, about a tenth of them left out while directions turn; "
            "QR at every step, float64, conditional on the text. The carry of an LSTM is (h, c), that of the others h.",
            profiles.input_scale("characters", config.length, config.symbols),
        ),
        key_figures=tuple(
            KeyFigure(f"leading exponent, {arm.label}, nats/step", f"drawn {row[2]}, trained {row[3]}")
            for arm, row in zip(arms, rows, strict=True)
        ),
    )
    numbers = {name: {**of, "learned": learned[name]} for name, of in numbers.items()}
    return _command.Finished(arrays, seeds.saved(numbers), report)


def _leading(arrays: Mapping[str, np.ndarray], phase: str, arm: Arm) -> dict[str, Any]:
    """The leading exponent over networks, of an LSTM's h block too, and how many exponents of each network are -inf."""
    spectra, hidden = arrays[f"{phase}.{arm.name}"], arrays.get(f"hidden.{phase}.{arm.name}")
    return {
        "leading": statistics.interquartile_mean(spectra[:, 0]),
        "hidden_only": None if hidden is None else statistics.interquartile_mean(hidden[:, 0]),
        "per_network": spectra[:, 0].tolist(),
        "lost": np.isneginf(spectra).sum(axis=1).tolist(),
    }


def _figure(arms: tuple[Arm, ...], arrays: Mapping[str, np.ndarray]) -> Figure:
    panels = tuple(
        Panel(
            title=phase,
            x_label="rank of the exponent / size of the carry",
            y_label="exponent (nats per step)",
            lines=tuple(
                Line(arm.label, f"rank.{arrays[f'{phase}.{arm.name}'].shape[1]}", f"{phase}.{arm.name}", slot)
                for slot, arm in enumerate(arms)
            ),
            levels=(Level(0.0, "norm kept"),),
            y_limits=(-3.0, 0.3),
        )
        for phase in PHASES
    )
    caption = (
        "Spectra of the whole carry; what is below -3 lies outside the panel. Median over networks and band from the "
        "10th to the 90th percentile."
    )
    return Figure("lyapunov_spectra", "Lyapunov spectra", caption, panels)


if __name__ == "__main__":
    sys.exit(_command.main("lyapunov_of_cells", Config, SMOKE, plan, finish))
