"""Do memory cells remember and forget selectively: does their gate tell what counts from what does not?

Command: `python experiments/selective_memory.py`, about three minutes on two CPU cores; `--seeds 6` is a smaller one.

Measured: how open the memory's own path is, ∂s_t/∂s_tm1 of the carry's last field with all products of the carry held
fixed, a mean over units: an LSTM's σ(f_t), a GRU's z_t, nothing of an Elman network. It is compared between inputs that
a prediction needs and the distractors after the first of them, on fresh networks and on the same ones once they have
learned recall with mixed lags, or adding. Also the share of the gradient that this path alone carries over half of the
longest lag.

Expected: after training, a path more open at distractors than at what is needed, by 0.2; not before.
"""

import dataclasses
import sys
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from recurrax import lag, study, train
from recurrax.study import failing, networks


@dataclass(frozen=True)
class Settings(study.ConfirmingSettings):
    """Do memory cells remember and forget selectively: does their gate tell what counts from what does not?"""

    cells: tuple[str, ...] = ("elman", "gru", "lstm")
    tasks: tuple[str, ...] = ("recall:length=31,ladder=true", "adding:length=31")
    """What is learned: names, or file.py:NAME, each with :field=value,... where wanted."""
    seeds: int = 10
    steps: int = 1500
    learning_rate: float = 2e-3
    """Adam's, of all cells."""
    rows: int = 256
    """Sequences that gates are watched on."""
    after: int = 12
    """Steps drawn after the first input that is needed."""

    LEAST: ClassVar = {"rows": 1, "after": 1}


def measure(settings: Settings, cell: Any, task: Any, run: study.Run) -> study.Arrays:
    """Per network, before and after training: opening (S, 2, after), gap and share (S, 2); solved (S,)."""
    seeds = settings.network_seeds
    alone = failing.training(cell, task, settings, settings.first_seed, settings.learning_rate)
    rows = [train.Row(seed, arguments=alone.rows[0].arguments) for seed in seeds]
    state = run.fit(dataclasses.replace(alone, rows=rows, continue_others=True)).state
    inputs = partial(task.batch, batch_size=settings.rows)
    probe = partial(networks.probe, cell, task, rows=16)
    look = jax.jit(lambda params, xs, needed: openings(settings, cell, params, xs, needed))
    found: dict[str, list[Any]] = {"opening": [], "gap": [], "share": []}
    for row, seed in enumerate(seeds):
        run.check()
        batch, at = (draw(train.probe_key(seed)) for draw in (inputs, probe))
        for params in (
            alone.init_of(rows[row])(train.init_key(seed)),
            jax.tree.map(lambda leaf, row=row: leaf[row], state.params),
        ):
            params = params.cell
            opening, gap = look(params, batch.xs, needed(task, batch.xs))
            share = lag.carousel_share(cell, params, at.xs, at.unit).log_share[task.lag // 2]
            for name, value in zip(found, (opening, gap, np.exp(np.median(share))), strict=True):
                found[name].append(np.asarray(value))
    pairs = {name: np.stack(values).reshape(len(seeds), 2, *values[0].shape) for name, values in found.items()}
    return {**pairs, "solved": np.asarray(state.stopped_at) >= 0, "seed": seeds}


def needed(task: Any, xs: Any) -> Any:
    """Which inputs (T, B) a prediction needs: as the task says, or else the one at its longest lag."""
    if hasattr(task, "needed"):
        return task.needed(xs)
    leaf = jax.tree.leaves(xs)[0]
    return jnp.broadcast_to(jnp.arange(len(leaf))[:, None] == len(leaf) - 1 - task.lag, leaf.shape[:2])


def openings(settings: Settings, cell: Any, params: Any, xs: Any, needed: Any) -> tuple[Any, Any]:
    """Opening (after,) by steps since the first input needed, and how much less it is at those than at distractors."""

    def step(carry: Any, u: Any) -> tuple[Any, Any]:
        v = cell.recur(params, carry, u)
        ones = jax.tree.map(jnp.ones_like, carry)
        carry, opening = jax.jvp(lambda carry: cell.pointwise(params, carry, u, v), (carry,), (ones,))
        return carry, jax.tree.leaves(opening)[-1].mean(axis=-1)

    start = cell.initial_carry(params, needed.shape[1:], jnp.float32)
    opening = jax.lax.scan(step, start, cell.project(params, xs))[1]  # (T, B)
    since = jnp.arange(len(needed))[:, None] - jnp.argmax(needed, axis=0)[None]

    def mean(where: Any) -> Any:
        return jnp.sum(opening * where) / jnp.maximum(jnp.sum(where), 1)

    by_step = jnp.stack([mean(since == k) for k in range(settings.after)])
    return by_step, mean((since > 0) & ~needed) - mean(needed)


def number(of: str, name: str, place: int, means: str = "") -> study.Number:
    return study.Number(name, of, lambda array, settings, task: array[:, place], means=means, show=study.signed)


GAP = number("gap", "gap after", 1, "opening at distractors less that at inputs needed, before and after training")
COLUMNS = (
    GAP,
    number("gap", "gap before", 0),
    number("share", "share after", 1, "of the gradient over half of the longest lag, by the memory's own path"),
    study.Number("solved", "solved", middle="fraction", show="{:.2f}".format),
)
PANELS = [
    study.Curve(
        f"{{name}}, {when} training", "opening", lambda settings, size: np.arange(size),
        "steps since the first input that is needed", "opening of the memory's own path",
        lambda opening, settings, task, place=place: opening[:, place], y_limits=(-0.1, 1.1), markers=True,
    )
    for place, when in enumerate(("before", "after"))
]  # fmt: skip
SELECTIVE = study.Claim(
    "Memory cells remember and forget selectively: trained, their memory is more open at distractors than at what is "
    "needed, by 0.2.",
    GAP,
    (study.Pair("lstm", level="LSTM"), study.Pair("gru", level="GRU")),
    delta=0.2,
    effect="value",
    depends_on="the cell",
)
EXPERIMENT = study.Experiment(
    "selective_memory",
    Settings,
    measure,
    numbers=(study.Numbers("Opening of the memory's own path, {s.hidden_size} units", COLUMNS),),
    curves=(study.Curves("selective_memory", "How open memory is, by what is read", tuple(PANELS)),),
    claims=(SELECTIVE,),
    protocol=(
        "Adam at {s.learning_rate:g} on batches of {s.batch_size}, clipped at {s.max_norm:g}, until the held-out loss "
        "says solved, at most {s.steps} steps; gates are watched on {s.rows} sequences of the kind trained on.",
    ),
    quick={"steps": 400},
    smoke={
        "cells": ("elman",), "tasks": ("recall:length=5",), "seeds": 2, "hidden_size": 8, "steps": 2, "batch_size": 4,
        "rows": 4, "after": 3,
    },
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(study.main(EXPERIMENT))
