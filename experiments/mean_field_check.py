"""Does mean-field theory predict how fast gradients fade in a tanh network of finite width?

Command: `python experiments/mean_field_check.py`, about a minute on two CPU cores.

Measured: the slope of ln A(k), the log norm of the gradient k steps back, in Elman networks with Gaussian weights of
gain σ_w driven by noise of variance σ_v², against ½ ln χ₁ from `recurrax.lag.mean_field`. Another cell is asked how far
it is from that theory: its `recurrent_kernel` is drawn so, its `kernel` is one, and what else it has is zero.

Expected: agreement to 0.02 nats per step at 512 units, the measured slope below the prediction by about 1/(2H).
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from recurrax import lag, study, train
from recurrax.report import Level
from recurrax.study import networks, standard

PAIRS = ((0.5, 0.1), (0.9, 0.3), (1.0, 0.3), (1.0, 1.0), (1.5, 0.5), (2.0, 0.5))
"""Gains of the recurrent kernel and standard deviations of the drive: ordered, critical and chaotic."""


@dataclass(frozen=True)
class Settings(study.LagSettings):
    """Does mean-field theory predict how fast gradients fade in a tanh network of finite width?"""

    cells: tuple[str, ...] = ("elman",)
    hidden_size: int = 512
    rows: int = 4
    """Sequences per network."""
    burn_in: int = 50
    """Steps before those measured, in which the state forgets that it began at zero."""

    LEAST: ClassVar = {"seeds": 2, "lags": 20, "rows": 1, "burn_in": 0}

    @property
    def window(self) -> tuple[int, int]:
        """Lags the slope is fitted in."""
        return 10, self.lags


def gaussian(cell: Any, size: int, key: jax.Array, sigma_w: float) -> Any:
    """Parameters of the theory: inputs go to the units as they are, σ_w/√H N(0, 1) between units, no bias."""

    def leaf(path: Any, drawn: jax.Array) -> jax.Array:
        name = jax.tree_util.keystr(path[-1:], simple=True)
        if name == "kernel":
            return jnp.broadcast_to(jnp.eye(size)[:, None], drawn.shape)
        return sigma_w / size**0.5 * jax.random.normal(key, drawn.shape) * (name == "recurrent_kernel")

    return jax.tree.map_with_path(leaf, jax.eval_shape(lambda: cell.init(jax.random.key(0), size)))


def measure(settings: Settings, cell: Any, task: None, run: study.Run) -> study.Arrays:
    """Curves (S, pairs, lags + 1), log norms averaged over sequences."""
    size, steps = networks.output_size(cell, settings.hidden_size), settings.burn_in + settings.lags + 1

    def curve(seed: int, sigma_w: float, sigma_v: float) -> np.ndarray:
        run.check()
        weight_key, drive_key, unit_key = jax.random.split(train.init_key(jnp.asarray(seed)), 3)
        drive = sigma_v * jax.random.normal(drive_key, (steps, settings.rows, size))
        unit = jax.random.normal(unit_key, (settings.rows, size))
        params = gaussian(cell, size, weight_key, sigma_w)
        log_norm = np.asarray(lag.adjoint_profile(cell, params, drive, unit).log_norm_joint)
        return (log_norm - log_norm[:1]).mean(axis=1)[: settings.lags + 1]

    curves = [[curve(seed, *pair) for pair in PAIRS] for seed in range(settings.seeds)]
    return {"curve": np.array(curves), "seed": range(settings.seeds)}


def predicted() -> np.ndarray:
    return np.array([lag.mean_field(*pair).slope for pair in PAIRS])


def differences(curves: np.ndarray, settings: Settings, task: None) -> np.ndarray:
    """Measured slopes less those predicted (S, pairs)."""
    return standard.slopes(curves, settings.window) - predicted()


def number(name: str, digits: str, pick: Callable[[np.ndarray], np.ndarray]) -> study.Number:
    """What is picked of the differences (S, pairs)."""
    return study.Number(
        name, "curve", lambda *measured: pick(differences(*measured)), middle="interquartile mean", show=digits.format
    )


NUMBERS = (
    number("largest difference", "{:.4f}", lambda each: np.abs(each).max(axis=1)),
    *(number(f"σ_w={w:g} σ_v={v:g}", "{:+.4f}", lambda each, i=i: each[:, i]) for i, (w, v) in enumerate(PAIRS)),
)
DIFFERENCES = study.Curve(
    "measured slope of ln A(k) less ½ ln χ₁",
    "curve",
    x=lambda settings, size: np.sort(predicted()),
    x_label="½ ln χ₁ (nats per step)",
    y_label="difference (nats per step)",
    value=lambda *measured: differences(*measured)[:, np.argsort(predicted())],
    levels=lambda settings, task: [Level(0.0, "theory")],
    markers=True,
)
NORMS = tuple(
    standard.norms(f"σ_w = {w:g}, σ_v = {v:g}", "curve", lambda curves, settings, task, i=i: curves[:, i])
    for i, (w, v) in enumerate(PAIRS)
)
EXPERIMENT = study.Experiment(
    "mean_field_check",
    Settings,
    measure,
    numbers=(study.Numbers("Slope of ln A(k) less ½ ln χ₁, nats per step, {s.hidden_size} units", NUMBERS),),
    curves=(study.Curves("mean_field", "Prediction and measurement", (DIFFERENCES, *NORMS), "Relative to lag 0."),),
    protocol=(
        "Entries of the recurrent kernel from N(0, σ_w²/H), a drive from N(0, σ_v²) anew at every step and unit; "
        "L = ⟨g, y_T⟩ with a Gaussian g for each sequence; the slope is fitted at lags {s.window[0]}–{s.window[1]}.",
        "{s.rows} sequences per network, {s.burn_in} steps before the first one measured; log norms averaged over "
        "sequences. A bias of about -1/(2H) is expected of a mean of logarithms.",
    ),
    smoke={"seeds": 2, "hidden_size": 16, "lags": 24, "rows": 2},
)

if __name__ == "__main__":
    sys.exit(study.main(EXPERIMENT))
