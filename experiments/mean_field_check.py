"""Does mean-field theory predict how fast gradients fade in a tanh network of finite width?

Command: `python experiments/mean_field_check.py`, about a minute on two CPU cores.

Measured: the slope of ln A(k), the log norm of the gradient k steps back, in Elman networks with Gaussian weights of
gain σ_w driven by noise of variance σ_v², against ½ ln χ₁ from `recurrax.lag.mean_field`.

Expected: agreement to 0.02 nats per step at 512 units, the measured slope below the prediction by about 1/(2H).
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import _command
import _seeds as seeds
import jax
import jax.numpy as jnp
import numpy as np
from _command import Job, Measured

from recurrax import Elman, lag, train
from recurrax.cells import ElmanParams
from recurrax.report import Figure, KeyFigure, Line, Panel, Report, Table
from recurrax.study import statistics
from recurrax.study.statistics import Interval

SMOKE = {"seeds": 2, "hidden_size": 16, "lags": 24, "rows": 2}
PAIRS = ((0.5, 0.1), (0.9, 0.3), (1.0, 0.3), (1.0, 1.0), (1.5, 0.5), (2.0, 0.5))
"""Gains of the recurrent kernel and standard deviations of the drive: ordered, critical and chaotic."""


@dataclass(frozen=True)
class Config(_command.Common):
    """Does mean-field theory predict how fast gradients fade in a tanh network of finite width?"""

    seeds: int = 5
    """Networks drawn for each pair of σ_w and σ_v."""
    hidden_size: int = 512
    """Units of a network."""
    lags: int = 100
    """Longest time lag measured, in steps."""
    burn_in: int = 50
    """Steps before those measured, in which the state forgets that it began at zero."""
    rows: int = 4
    """Sequences per network."""

    def __post_init__(self):
        for name, least in {"seeds": 2, "hidden_size": 1, "lags": 20, "burn_in": 0, "rows": 1}.items():
            _command.check_least(name, getattr(self, name), least)

    @property
    def window(self) -> tuple[int, int]:
        """Lags the slope is fitted in."""
        return 10, self.lags


def measure(config: Config, index: int) -> Measured:
    """Curves (S, lags + 1) for one pair of σ_w and σ_v, log norms averaged over sequences."""
    sigma_w, sigma_v = PAIRS[index]
    size, steps = config.hidden_size, config.burn_in + config.lags + 1

    def one(seed: jax.Array) -> jax.Array:
        weight_key, drive_key, probe_key = jax.random.split(train.init_key(seed), 3)
        gaussian = sigma_w / size**0.5 * jax.random.normal(weight_key, (size, 1, size))
        params = ElmanParams(jnp.eye(size)[:, None], gaussian, jnp.zeros((1, size)))
        drive = sigma_v * jax.random.normal(drive_key, (steps, config.rows, size))
        probe = jax.random.normal(probe_key, (config.rows, size))
        return lag.adjoint_profile(Elman(size), params, drive, probe).log_norm_joint

    curves = np.stack([np.asarray(one(jnp.asarray(seed))) for seed in range(config.seeds)])
    relative = (curves - curves[:, :1]).mean(axis=2)
    return Measured({f"curve.{index}": relative[:, : config.lags + 1]})


def plan(config: Config) -> dict[str, Job]:
    """One measurement for each pair."""
    return {f"σ_w = {w:g}, σ_v = {v:g}": partial(measure, config, index) for index, (w, v) in enumerate(PAIRS)}


def finish(config: Config, arrays: Mapping[str, np.ndarray]) -> _command.Finished:
    """The arrays measured and those drawn from them, and what they say."""
    predicted = np.array([lag.mean_field(w, v).slope for w, v in PAIRS])
    curves = [arrays[f"curve.{index}"] for index in range(len(PAIRS))]
    per_seed = np.array([[lag.fit_decay(seed, config.window).rate for seed in curve] for curve in curves])
    measured = [statistics.interquartile_mean(rates) for rates in per_seed]
    error = [Interval(*(value - p for value in of)) for of, p in zip(measured, predicted.tolist(), strict=True)]
    order = predicted.argsort()
    arrays = {
        **arrays,
        "lag": np.arange(config.lags + 1),
        "predicted": predicted[order],
        "measured": per_seed[order].T,
        **{f"theory.{index}": slope * np.arange(config.lags + 1) for index, slope in enumerate(predicted)},
    }
    numbers = {
        f"sigma_w={w:g} sigma_v={v:g}": {"predicted": p, "measured": of, "per_network": rates}
        for (w, v), p, of, rates in zip(PAIRS, predicted.tolist(), measured, per_seed.tolist(), strict=True)
    }
    rows = tuple(
        (f"{w:g}", f"{v:g}", f"{p:+.4f}", seeds.signed(of, 4), seeds.signed(off, 4))
        for (w, v), p, of, off in zip(PAIRS, predicted, measured, error, strict=True)
    )
    first, last = config.window
    off = np.array([of.estimate for of in error])
    worst = float(np.abs(off).max())
    report = Report(
        question="Does mean-field theory predict how fast gradients fade in a tanh network of finite width?",
        answer=f"With {config.hidden_size} units the measured slope is within {worst:.4f} nats per step of ½ ln χ₁ "
        f"in all {len(PAIRS)} cases, {off.mean():+.4f} off on average. A bias of -1/(2H), here "
        f"{-0.5 / config.hidden_size:+.4f}, is expected of a mean of logarithms.",
        findings=(),
        tables=(
            Table(
                title="Slope of ln A(k), nats per step",
                caption=f"Fitted at lags {first}–{last}; σ_w: gain of the recurrent kernel, σ_v: standard deviation of "
                f"the drive, predicted: ½ ln χ₁. Measured: interquartile mean over {config.seeds} networks, "
                f"{seeds.IN_BRACKETS}; difference: from the prediction.",
                columns=("σ_w", "σ_v", "predicted", "measured", "difference"),
                rows=rows,
            ),
        ),
        figures=(_figure(),),
        protocol=(
            "h_t = tanh(h_tm1 U + v_t), entries of U from N(0, σ_w²/H), v_t from N(0, σ_v²) anew at every step and "
            "unit; L = ⟨g, h_T⟩ with a Gaussian g for each sequence.",
            f"{config.rows} sequences per network, {config.burn_in} steps before the first one measured; log norms "
            "averaged over sequences.",
        ),
        key_figures=tuple(
            KeyFigure(f"measured - ½ ln χ₁ at σ_w = {w}, σ_v = {v}, nats/step", difference)
            for w, v, _, _, difference in rows
        ),
    )
    return _command.Finished(arrays, seeds.saved(numbers), report)


def _figure() -> Figure:
    curves = tuple(Line(f"σ_w={w:g} σ_v={v:g}", "lag", f"curve.{i}", i) for i, (w, v) in enumerate(PAIRS))
    theory = tuple(Line("mean field", "lag", f"theory.{i}", 6) for i in range(len(PAIRS)))
    slopes = (Line("mean field", "predicted", "predicted", 6), Line("measured", "predicted", "measured", 4))
    return Figure(
        name="mean_field",
        title="Prediction and measurement",
        caption="Median over networks and band from the 10th to the 90th percentile; norms relative to lag 0.",
        panels=(
            Panel("gradient norm", "time lag k (steps)", "A(k) / A(0)", (*theory, *curves), y_scale="exp"),
            Panel("slope of ln A(k)", "½ ln χ₁ (nats per step)", "measured (nats per step)", slopes, markers=True),
        ),
    )


if __name__ == "__main__":
    sys.exit(_command.main("mean_field_check", Config, SMOKE, plan, finish))
