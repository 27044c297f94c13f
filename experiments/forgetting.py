"""Do simple recurrent networks forget early steps sooner than an LSTM does, before and after they have learned?

Command: `python experiments/forgetting.py`, some ten minutes on two CPU cores by estimate;
`--cells elman lstm:forget_bias=1 --steps 200` is a smaller one.

Measured: in freshly drawn networks the lags at which the R² of a linear decoder of the inputs falls below a half and
below a hundredth; in networks trained to recall a symbol over mixed lags, how many steps after the first one a logistic
decoder still finds the first symbol in the state.

Expected: at initialisation a simple network remembers longer at the level of a half, and shorter at a hundredth.
"""

import math
import sys
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from recurrax import study
from recurrax.study import networks, standard


@dataclass(frozen=True)
class Settings(study.LagSettings, study.TrainingSettings):
    """Do simple recurrent networks forget early steps sooner than an LSTM does, before and after they have learned?"""

    cells: tuple[str, ...] = ("elman", "gru", "lstm:forget_bias=1")
    tasks: tuple[str, ...] = ("recall:ladder=true",)
    seeds: int = 10
    first_seed: int = 100
    """The seed of the first network; the others follow."""
    hidden_size: int = 32
    lags: int = 256
    train_length: int = 64
    steps: int = 800
    decoded: int = 60_000
    """Steps that the linear decoder is fitted to and tried on."""
    rows: int = 1024
    """Sequences, half of them held out, of the logistic decoder."""

    @property
    def network_seeds(self) -> range:
        return range(self.first_seed, self.first_seed + self.seeds)


def at_initialisation(settings: Settings, cell: Any, task: Any, run: study.Run) -> study.Arrays:
    """R² (S, K) of freshly drawn networks."""
    seeds = settings.network_seeds
    memory = networks.drawn_memory(cell, task, settings.lags, seeds, settings.decoded, run.check)
    return {"memory": memory, "seed": seeds}


def trained(settings: Settings, cell: Any, task: Any, run: study.Run) -> study.Arrays:
    """Held-out accuracy (S, K) of the decoder of the first input after training, and losses (S, steps)."""
    seeds = settings.network_seeds
    fitted = run.fit(networks.training(cell, task, settings, seeds))
    accuracy = []
    lags, xs = networks.memory_lags(settings.lags), task.with_lag(settings.lags).held_out(settings.rows).xs
    classes = jnp.arange(settings.rows) % symbols(task)
    xs = xs.at[0].set(jax.nn.one_hot(classes, xs.shape[-1]))
    for row in range(settings.seeds):
        run.check()
        params = jax.tree.map(lambda leaf, row=row: leaf[row], fitted.state.params.cell)
        accuracy.append(np.asarray(decoded(states(cell, params, xs)[lags], classes, symbols(task))))
    return {"accuracy": np.stack(accuracy), "loss": fitted.metrics.loss.T, "seed": seeds}


def symbols(task: Any) -> int:
    """Among how many first inputs the decoder tells: half of what a one-hot input can be, the others distract."""
    return max(2, task.input_size // 2)


@partial(jax.jit, static_argnums=0)
def states(cell: Any, params: Any, xs: Any) -> jax.Array:
    """All that is carried after every step (T, B, n)."""

    def step(carry: Any, x: Any) -> tuple[Any, Any]:
        carry, _ = cell.step(params, carry, x)
        return carry, jnp.concatenate(jax.tree.leaves(carry), axis=-1)

    return jax.lax.scan(step, cell.initial_carry(params, xs.shape[1:-1], xs.dtype), xs)[1]


@partial(jax.jit, static_argnums=2)
def decoded(state: jax.Array, classes: jax.Array, count: int) -> jax.Array:
    """Held-out accuracy (K,) of softmax regressions of the classes (B,) on states (K, B, n), by 300 steps of Adam."""
    half = len(classes) // 2
    state = (state - state[:, :half].mean(axis=1, keepdims=True)) / (state[:, :half].std(axis=1, keepdims=True) + 1e-6)
    optimizer = optax.adam(0.05)

    def fit(at: jax.Array) -> jax.Array:
        def loss(weights: Any) -> jax.Array:
            logits = at[:half] @ weights[0] + weights[1][None]
            penalty = 1e-3 * jnp.sum(jnp.square(weights[0]))
            return optax.softmax_cross_entropy_with_integer_labels(logits, classes[:half]).mean() + penalty

        def step(carried: Any, _: None) -> tuple[Any, None]:
            weights, opt_state = carried
            update, opt_state = optimizer.update(jax.grad(loss)(weights), opt_state)
            return (optax.apply_updates(weights, update), opt_state), None

        start = jnp.zeros((at.shape[-1], count)), jnp.zeros(count)
        (weights, _), _ = jax.lax.scan(step, (start, optimizer.init(start)), None, length=300)
        return jnp.mean((at[half:] @ weights[0] + weights[1][None]).argmax(axis=-1) == classes[half:])

    return jax.lax.map(fit, state)


def remembered(accuracy: np.ndarray, settings: Settings, task: Any) -> list[float]:
    lags, enough = networks.memory_lags(settings.lags), 0.5 + 0.5 / symbols(task)
    return [float(lags[np.argmax(one < enough)]) if (one < enough).any() else math.inf for one in accuracy]


HALF, TRACE = (standard.forgotten("memory", f"lag with R² < {level:g}", level, "lags") for level in (0.5, 0.01))
FIRST = study.Number(
    "first input lost", "accuracy", remembered, "steps",
    "first lag at which its decoder is right less often than halfway from chance to always",
    show=study.steps, beyond="lags",
)  # fmt: skip
LSTM, PLAIN = "lstm:forget_bias=1", "elman"
FORGET = study.Claim(
    "Simple recurrent networks forget early steps: an LSTM remembers more than twice as long.",
    TRACE,
    (
        study.Pair(LSTM, PLAIN, "at initialisation, R² below 1/2", number=HALF),
        study.Pair(LSTM, PLAIN, "at initialisation, R² below 1/100"),
        study.Pair(LSTM, PLAIN, "after training", number=FIRST),
    ),
    delta=1.0,
    effect="log2 ratio",
    depends_on="training, and on how much has to be remembered",
)
EXPERIMENT = study.Experiment(
    "forgetting",
    Settings,
    (study.Part(at_initialisation, "drawn"), study.Part(trained, "trained")),
    numbers=(
        study.Numbers("At initialisation, {s.hidden_size} units", (HALF, TRACE)),
        study.Numbers("After {s.steps} Adam steps", (FIRST,)),
        standard.LEARNED,
    ),
    claims=(FORGET,),
    protocol=(
        "R² on the half of {s.decoded} steps that the ridge decoder was not fitted to; the whole carry is decoded.",
        standard.TRAINING,
        "After training a logistic decoder of the first input is fitted to one half of {s.rows} sequences, at every "
        "lag anew, and tried on the other.",
    ),
    quick={"steps": 300, "lags": 128, "decoded": 20_000},
    smoke={
        "cells": ("elman",), "tasks": ("recall:ladder=true",), "seeds": 2, "hidden_size": 8, "lags": 6,
        "train_length": 5, "batch_size": 4, "steps": 2, "decoded": 400, "rows": 16,
    },
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(study.main(EXPERIMENT))
