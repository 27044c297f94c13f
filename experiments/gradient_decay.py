"""How fast does the gradient of each recurrent cell fade with time lag, at initialisation and while it is trained?

Command: `python experiments/gradient_decay.py`, about three minutes on two CPU cores. `--steps 0` leaves training out.

Measured: A(k), the norm of the gradient of L = ⟨g, h_T⟩ with respect to the state k steps before the end, g a random
unit vector per sequence, for Elman, GRU and LSTM cells under their usual initialisations, on inputs of the adding
problem and on real text.

Expected: at initialisation the default LSTM (forget bias 0) vanishes sooner than an Elman network with an orthogonal
recurrent kernel; a forget bias of 1 carries gradients several times as far, chrono initialisation beyond all lags
measured; and training on the adding problem slows the decay of gated cells further.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import _command
import _gradient_decay_summary as summary
import _profiles as profiles
import jax
import numpy as np
from _command import Job, Measured, Resumable
from _profiles import Arm

from recurrax import runs, train

SMOKE = {
    "seeds": 2,
    "hidden_size": 8,
    "lags": 16,
    "rows": 2,
    "steps": 4,
    "train_seeds": 2,
    "train_hidden_size": 8,
    "train_length": 10,
    "batch_size": 4,
    "probes": 3,
}


@dataclass(frozen=True)
class Config(_command.Common):
    """How fast does the gradient of each recurrent cell fade with time lag, at initialisation and during training?"""

    inputs: tuple[Literal["adding", "characters"], ...] = ("adding", "characters")
    """What the cells read."""
    seeds: int = 10
    """Networks drawn per cell at initialisation."""
    hidden_size: int = 128
    """Units of a network at initialisation."""
    lags: int = 200
    """Longest time lag measured, in steps, untrained and trained."""
    rows: int = 16
    """Sequences per network and measurement."""
    symbols: int = 32
    """Size of the one-hot inputs: the most frequent characters and one symbol for the rest; 0 keeps every character."""
    t_max: int = 200
    """Longest time scale of the chrono initialisation, in steps."""
    steps: int = 300
    """Adam steps; 0 measures at initialisation only."""
    train_seeds: int = 5
    """Networks trained per cell, at most `seeds`."""
    train_hidden_size: int = 64
    """Units of a trained network."""
    train_length: int = 50
    """Length of training sequences, in steps."""
    batch_size: int = 32
    """Training sequences per step."""
    learning_rate: float = 2e-3
    """Adam's, constant."""
    max_norm: float = 1.0
    """Gradients are clipped to this global norm."""
    probes: int = 7
    """How often the gradient is measured during training, evenly in log(1 + step), first and last step included."""

    def __post_init__(self):
        for name in ("seeds", "hidden_size", "rows", "train_seeds", "train_hidden_size", "batch_size", "jobs"):
            _command.check_least(name, getattr(self, name), 1)
        for name, least in {"steps": 0, "lags": 4, "train_length": 4, "t_max": 3, "probes": 2}.items():
            _command.check_least(name, getattr(self, name), least)
        profiles.inputs("characters", self.train_length, self.symbols)
        if not self.inputs or len(set(self.inputs)) < len(self.inputs):
            raise ValueError(f"inputs: expected distinct names, at least one, got {self.inputs}")

    @property
    def training_seeds(self) -> range:
        return range(min(self.seeds, self.train_seeds))

    @property
    def probe_steps(self) -> tuple[int, ...]:
        return train.log_spaced(self.steps, self.probes)


def measure_initialisation(config: Config, name: str, arm: Arm, run: runs.RunFolder) -> Measured:
    """Curves (S, T) of freshly drawn networks."""
    task = profiles.inputs(name, config.lags + 1, config.symbols)
    measured = profiles.at_initialisation(arm, task, range(config.seeds), config.rows, before_each=run.stop.check)
    return Measured({f"initial.{name}.{arm.name}": profiles.median_curves(measured)})


def measure_training(config: Config, name: str, arm: Arm, run: runs.RunFolder) -> Measured:
    """Losses (S, steps), curves (P, S, T) at the probe steps, and for each seed the step it failed at, or -1."""
    task = profiles.inputs(name, config.train_length, config.symbols)
    longer = profiles.inputs(name, config.lags + 1, config.symbols)

    def probe(params: train.ReadoutParams, key: jax.Array) -> jax.Array:
        return profiles.log_norms(arm, params.cell, profiles.probed(arm, longer, key, config.rows))

    training = profiles.training(
        arm,
        task,
        seeds=config.training_seeds,
        steps=config.steps,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        max_norm=config.max_norm,
        probes={"log_norm": probe},
        probe_steps=config.probe_steps,
    )
    fitted = train.fit_saved(training, run, f"{name}-{arm.name}", progress=False)
    curves = np.stack([profiles.median_curves(at_step) for at_step in fitted.probes["log_norm"]])
    loss, log_norm = np.asarray(fitted.metrics.loss), np.asarray(fitted.metrics.log_gradient_norm)
    arrays = {
        f"loss.{name}.{arm.name}": loss.T,
        f"log_gradient_norm.{name}.{arm.name}": log_norm.T,
        f"during.{name}.{arm.name}": curves,
        f"failed.{name}.{arm.name}": np.asarray(fitted.state.failed_at),
    }
    lines = [
        {"inputs": name, "cell": arm.name, "step": step, "loss": loss[step], "log_gradient_norm": log_norm[step]}
        for step in range(config.steps)
    ]
    return Measured(arrays, lines)


def plan(config: Config) -> dict[str, Job]:
    """Every measurement by its title, cells of one class apart from each other: the first compiles for the rest."""
    jobs = {}
    initial = profiles.arms(config.hidden_size, config.t_max)
    trained = profiles.arms(config.train_hidden_size, config.t_max)
    for name in config.inputs:
        for arm in profiles.interleaved(initial):
            jobs[f"{name}, {arm.label}, drawn"] = Resumable(partial(measure_initialisation, config, name, arm))
        for arm in profiles.interleaved(trained) if config.steps else ():
            jobs[f"{name}, {arm.label}, trained"] = Resumable(partial(measure_training, config, name, arm))
    return jobs


def finish(config: Config, arrays: Mapping[str, np.ndarray]) -> _command.Finished:
    """The arrays measured and those drawn from them, and what they say."""
    arrays = summary.with_derived(config, arrays)
    return _command.Finished(arrays, *summary.summarise(config, arrays))


if __name__ == "__main__":
    sys.exit(_command.main("gradient_decay", Config, SMOKE, plan, finish))
