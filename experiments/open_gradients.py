"""Are open gradients enough to learn: does a network learn long lags once its gradients no longer vanish?

Command: `python experiments/open_gradients.py`, about five minutes on two CPU cores; `--seeds 6` is a smaller one.

Measured: networks trained on adding twice from the same start, plainly and with w · slope² added to the loss. The slope
is that of ln A(k), the gradient's norm over all lags of the sequence, a mean over a few rows of the batch; instruments
are differentiable, so it is trained like any loss. A network learns if its mean loss over the last 50 steps comes below
the task's smallest landmark.

Expected: the slope comes close to 0 within 200 steps, yet fewer than half of the networks that fail plainly learn.
"""

import sys
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import numpy as np
import optax

from recurrax import lag, study, train
from recurrax.report import Level
from recurrax.study import failing, standard

ARMS = ("plain", "opened")


@dataclass(frozen=True)
class Settings(study.ConfirmingSettings):
    """Are open gradients enough to learn: does a network learn long lags once its gradients no longer vanish?"""

    cells: tuple[str, ...] = ("elman",)
    tasks: tuple[str, ...] = ("adding:length=50",)
    """What is learned: names, or file.py:NAME, each with :field=value,... where wanted."""
    seeds: int = 10
    hidden_size: int = 64
    learning_rate: float = 2e-3
    """Adam's."""
    weight: float = 1.0
    """w, of the squared slope."""
    rows: int = 4
    """Sequences of a batch that the slope is taken from."""

    LEAST: ClassVar = {"learning_rate": 0, "weight": 0, "rows": 1}


def measure(settings: Settings, cell: Any, task: Any, run: study.Run) -> study.Arrays:
    """Losses and slopes (S, arms, steps), arms being plain and opened."""
    model = train.Readout(cell, task.input_size, task.output_size, task.every_step)
    told, found = study.networks.loss(model, task), []
    for arm, weight in zip(ARMS, (0.0, settings.weight), strict=True):

        def slope(params: Any, batch: Any) -> Any:
            xs = jax.tree.map(lambda leaf: leaf[:, : settings.rows], batch.xs)
            norms = lag.adjoint_profile(cell, params.cell, xs).log_norm_joint  # (T, rows)
            return ((norms[-1] - norms[0]) / (len(norms) - 1)).mean()

        def loss(params: Any, batch: Any, weight: float = weight, slope: Any = slope) -> Any:
            return told(params, batch) + (weight * slope(params, batch) ** 2 if weight else 0)

        training = train.Training(
            loss=loss,
            init=model.init,
            optimizer=optax.adam(settings.learning_rate),
            batch=study.networks.batches(model, task, settings.batch_size),
            seeds=settings.network_seeds,
            steps=settings.steps,
            max_norm=settings.max_norm,
            metrics=lambda params, batch, slope=slope: {
                "loss": told(params, batch), "slope": slope(params, batch)
            },
            continue_others=True,
        )  # fmt: skip
        found.append(run._replace(name=f"{run.name}-{arm}").fit(training).metrics.scores)
    arrays = {name: np.stack([scores[name].T for scores in found], axis=1) for name in ("loss", "slope")}
    return {**arrays, "seed": settings.network_seeds}


def learned(losses: np.ndarray, settings: Settings, task: Any) -> np.ndarray:
    """Whether each network learns in each arm, (S, arms)."""
    return losses[..., -min(failing.WINDOW, settings.steps) :].mean(axis=-1) <= standard.threshold(task)


def fraction(arm: int) -> study.Number:
    return study.Number(
        f"learned, {ARMS[arm]}", "loss", lambda losses, settings, task: learned(losses, settings, task)[:, arm],
        middle="fraction", show="{:.2f}".format,
    )  # fmt: skip


def end_slope(arm: int) -> study.Number:
    return study.Number(
        f"slope, {ARMS[arm]}", "slope", lambda slopes, settings, task: slopes[:, arm, -failing.WINDOW :].mean(axis=-1),
        "nats/step", "mean over the last 50 steps", show=study.signed,
    )  # fmt: skip


def panel(of: str, arm: int, y_label: str) -> study.Curve:
    def levels(settings: Settings, task: Any) -> list[Level]:
        return [Level(0.0, "norm kept")] if of == "slope" else [Level(standard.threshold(task), "learned")]

    return study.Curve(
        f"{{name}}, {ARMS[arm]}", of, lambda settings, size: np.arange(size), "training step", y_label,
        lambda array, settings, task: array[:, arm], levels,
    )  # fmt: skip


GAIN = study.Number(
    "networks gained", "loss", lambda losses, settings, task: learned(losses, settings, task).astype(float) @ [-1, 1]
)
ENOUGH = study.Claim(
    "Open gradients are enough to learn: of most networks that fail, the same start learns once they are opened.",
    GAIN,
    (study.Pair("elman"),),
    delta=0.5,
    effect="value",
)
EXPERIMENT = study.Experiment(
    "open_gradients",
    Settings,
    measure,
    numbers=(
        study.Numbers("Learned, and how gradients fade, {s.hidden_size} units", tuple(
            number(arm) for number in (fraction, end_slope) for arm in (0, 1)
        )),
    ),
    curves=(
        study.Curves("open_gradients", "Slope of the gradient's norm over lags, and the loss", (
            *(panel("slope", arm, "slope of ln A(k) (nats per step)") for arm in (0, 1)),
            *(panel("loss", arm, "loss ({task.unit})") for arm in (0, 1)),
        )),
    ),
    claims=(ENOUGH,),
    protocol=(standard.ADJOINT, standard.TRAINING),
    quick={"seeds": 6, "steps": 300},
    smoke={
        "cells": ("elman",), "tasks": ("adding:length=6",), "seeds": 2, "hidden_size": 6, "steps": 2, "batch_size": 4,
        "rows": 2,
    },
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(study.main(EXPERIMENT))
