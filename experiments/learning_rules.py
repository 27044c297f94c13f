"""How far back do learning rules that need no walk back through time see, and how noisy is what they see?

Command: `python experiments/learning_rules.py`, some minutes on two CPU cores.

Measured: G(k), what the step k steps before a loss adds to the gradient of the parameters, and what truncated
backpropagation, SnAp-1, e-prop and UORO take it to be, for the same freshly drawn networks, inputs and loss: the share
⟨E Ĝ(k), G(k)⟩ / ‖G(k)‖² that a rule keeps, its bias, and of UORO, which draws, the deviation of one draw.

Expected: both rules without chance lose most of the gradient of an Elman network within a few steps, e-prop at once;
of an LSTM's they lose the less the more its cell remembers. UORO has no bias, but one draw is mostly noise.
"""

import math
import sys
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import numpy as np

from recurrax import lag, study, train
from recurrax.report import Level
from recurrax.study import networks

PLAIN = ("truncated", "snap-1", "e-prop")
"""The rules without chance, in the order of the arrays."""


@dataclass(frozen=True)
class Settings(study.LagSettings):
    """How far back do learning rules that need no walk back through time see, and how noisy is what they see?"""

    cells: tuple[str, ...] = ("elman", "gru", "lstm:forget_bias=1", "lstm:forget_bias=chrono")
    tasks: tuple[str, ...] = ("adding",)
    """What the cells read, named likewise."""
    seeds: int = 8
    first_seed: int = 100
    """The seed of the first network; the others follow. Trial runs used those before."""
    hidden_size: int = 24
    lags: int = 50
    rows: int = 4
    """Sequences per network."""
    window: int = 10
    """Steps that truncated backpropagation sees."""
    draws: int = 100
    """Of UORO, for each sequence."""

    LEAST: ClassVar = {"first_seed": 0, "rows": 1, "window": 1, "draws": 2}


def measure(settings: Settings, cell: Any, task: Any, run: study.Run) -> study.Arrays:
    """Shares and relative biases (S, rules, T) of the rules without chance, ln of UORO's noise over signal (S, T)."""
    task, found = task.with_lag(settings.lags), []
    seeds = range(settings.first_seed, settings.first_seed + settings.seeds)
    for seed in seeds:
        run.check()
        at = networks.probe(cell, task, train.probe_key(seed), settings.rows)
        subject = cell, networks.drawn(cell, task, seed), at.xs
        options = [{"window": settings.window}, {}, {}]
        plain = [
            lag.rule_profile(*subject, rule, at.unit, **of_rule)
            for rule, of_rule in zip(PLAIN, options, strict=True)
        ]  # fmt: skip
        drawn = lag.rule_profile(*subject, "uoro", at.unit, draws=settings.draws, key=jax.random.key(seed))
        found.append({
            "share": np.stack([middle(one.share) for one in plain]),
            "bias": np.stack([middle(np.exp(one.log_bias - one.log_exact)) for one in plain]),
            "noise": middle(np.asarray(drawn.log_deviation - drawn.log_exact)),
        })  # fmt: skip
    arrays = {name: np.stack([one[name] for one in found])[..., : settings.lags + 1] for name in found[0]}
    return {**arrays, "seed": seeds}


def middle(values: Any) -> np.ndarray:
    """The median over sequences of (T, rows); NaN where there is no gradient to keep."""
    return np.median(np.asarray(values, np.float64), axis=1)


def sight(rule: str) -> study.Number:
    """How far back a rule is right by half."""

    def value(biases: np.ndarray, settings: Settings, task: Any) -> np.ndarray:
        wrong = ~(biases[:, PLAIN.index(rule)] <= 0.5)
        return np.where(wrong.any(axis=1), wrong.argmax(axis=1), math.inf)

    return study.Number(
        f"{rule} sees", "bias", value, "steps", "lags before its bias exceeds half of the gradient", show=study.steps,
        beyond="lags",
    )  # fmt: skip


def noise(times: str, at: Any) -> study.Number:
    return study.Number(
        f"UORO's noise at lag {times}", "noise", lambda noises, settings, task: noises[:, at(settings)],
        "nats", "ln of one draw's deviation over the gradient's norm", show="{:.1f}".format,
    )  # fmt: skip


def panel(title: str, of: str, y_label: str, level: Level, pick: Any, limits: Any = None) -> study.Curve:
    return study.Curve(
        f"{{name}}, {title}", of, lambda settings, size: np.arange(size), "lag k (steps back)", y_label,
        lambda array, settings, task: pick(array), lambda settings, task: [level], y_limits=limits,
    )  # fmt: skip


def shared(place: int) -> study.Curve:
    return panel(
        PLAIN[place], "share", "share of G(k) kept", Level(1.0, "all"), lambda shares: shares[:, place], (-0.25, 1.75)
    )


def longer(biases: np.ndarray, settings: Settings, task: Any) -> np.ndarray:
    """Steps that SnAp-1 sees beyond e-prop."""
    seen = [np.minimum(sight(rule).value(biases, settings, task), settings.lags) for rule in ("snap-1", "e-prop")]
    return seen[0] - seen[1]


CELLS = tuple(study.Pair(cell) for cell in ("elman", "gru", "lstm:forget_bias=1", "lstm:forget_bias=chrono"))
FURTHER = study.Claim(
    "SnAp-1 sees at least two steps further back than e-prop.",
    study.Number("steps that SnAp-1 sees beyond e-prop", "bias", longer, "steps"),
    CELLS, delta=2.0, effect="value", depends_on="the cell",
)  # fmt: skip
NOISY = study.Claim(
    "One draw of UORO is more than ten times as much noise as gradient ten steps back.",
    noise("10", lambda settings: min(10, settings.lags)),
    CELLS, delta=math.log(10.0), effect="value", depends_on="the cell",
)  # fmt: skip
EXPERIMENT = study.Experiment(
    "learning_rules",
    Settings,
    measure,
    numbers=(
        study.Numbers("What rules see of fresh networks with {s.hidden_size} units", (
            sight("snap-1"), sight("e-prop"), noise("0", lambda settings: 0), NOISY.number,
        )),
    ),
    curves=(
        study.Curves("learning_rules", "What learning rules keep of the gradient, by lag", (
            *map(shared, range(len(PLAIN))),
            panel(
                "UORO", "noise", "ln(deviation of one draw / ‖G(k)‖)", Level(0.0, "as much noise"), lambda array: array
            ),
        )),
    ),
    claims=(FURTHER, NOISY),
    protocol=(
        "L = ⟨g, y_T⟩ with a random unit vector g for each sequence; the learning signal ∂L/∂s_T is exact for every "
        "rule. Each network is measured on {s.rows} sequences and its curve is the median over them.",
        "Truncated: {s.window} steps. UORO: {s.draws} draws for each sequence.",
    ),
    quick={"hidden_size": 16, "draws": 30},
    smoke={
        "cells": ("elman",), "tasks": ("adding",), "seeds": 2, "hidden_size": 4, "lags": 6, "rows": 2, "window": 3,
        "draws": 3,
    },
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(study.main(EXPERIMENT))
