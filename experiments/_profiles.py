"""What the experiments on gradient decay share: their cells, how they are probed, and how norms are put into words."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from _text import FoldedCharacters

from recurrax import GRU, LSTM, Elman, lag, runs, tasks, train

EPSILON = 1e-6
"""A gradient is said to have vanished below this fraction of its norm at lag 0."""


@dataclass(frozen=True)
class Arm:
    """A cell as it is initialised: what is compared. `name` goes into array names, the rest into tables."""

    name: str
    family: str
    initialisation: str
    cell: Elman | GRU | LSTM

    @property
    def label(self) -> str:
        return f"{self.family} {self.initialisation}"


def arms(hidden_size: int, t_max: int) -> tuple[Arm, ...]:
    """Elman, GRU and LSTM as libraries start them, and the LSTM as the literature says it should be started."""
    uniform = Elman(hidden_size, kernel_init="uniform", recurrent_init="uniform", bias_init="uniform")
    return (
        Arm("elman_uniform", "Elman", "uniform", uniform),
        Arm("elman_orthogonal", "Elman", "orthogonal", Elman(hidden_size)),
        Arm("gru", "GRU", "orthogonal", GRU(hidden_size)),
        Arm("lstm_0", "LSTM", "b_f=0", LSTM(hidden_size, forget_bias=0.0)),
        Arm("lstm_1", "LSTM", "b_f=1", LSTM(hidden_size, forget_bias=1.0)),
        Arm("lstm_chrono", "LSTM", "chrono", LSTM(hidden_size, forget_bias="chrono", t_max=t_max)),
    )


def interleaved(arms: Sequence[Arm]) -> list[Arm]:
    """The arms in an order that puts one of each cell class first.

    Cells that differ only in how they are drawn are the same program, so whoever comes later finds it compiled.
    """
    rank = [sum(type(before.cell) is type(arm.cell) for before in arms[:i]) for i, arm in enumerate(arms)]
    return [arms[i] for i in sorted(range(len(arms)), key=lambda i: rank[i])]


def inputs(name: str, length: int, symbols: int) -> Any:
    """A task of `length` steps by its name; `symbols` is the size of one-hot characters."""
    return FoldedCharacters(length, symbols) if name == "characters" else tasks.named(name)(length=length)


def input_scale(name: str, length: int, symbols: int) -> str:
    """What is fed to the cells, in one sentence: decay depends on it."""
    if name != "characters":
        return "Scale of the adding inputs: a value uniform in [0, 1), and a marker that is 1 at two steps, else 0."
    corpus = inputs(name, length, symbols).corpus
    return (
        f"Scale of the character inputs: one-hot over {len(corpus.vocabulary)} symbols, the most frequent characters "
        "and, unless all are kept, one for the rest. The text is the standard library's source in Python "
        f"{corpus.python_version}, its first {len(corpus.ids)} bytes, SHA-256 {corpus.sha256}."
    )


class Probed(NamedTuple):
    """xs (T, rows, D), what a network is measured on; unit (rows, H), the direction its last output is probed in."""

    xs: jax.Array
    unit: jax.Array


def probed(arm: Arm, task: Any, key: jax.Array, rows: int) -> Probed:
    """Inputs of a task and a random unit vector for each sequence, the same for every arm of one size."""
    input_key, probe_key = jax.random.split(key)
    direction = jax.random.normal(probe_key, (rows, arm.cell.hidden_size))
    return Probed(task.batch(input_key, rows).xs, direction / jnp.linalg.norm(direction, axis=1, keepdims=True))


def log_norms(arm: Arm, params: Any, on: Probed) -> jax.Array:
    """Ln ‖∂L/∂s_{T-1-k}‖ (T, rows) of one network for L = ⟨unit, h_T⟩.

    The norm is that of the whole carry: (h, c) together for an LSTM.
    """
    return lag.adjoint_profile(arm.cell, params, on.xs, on.unit).log_norm_joint


def at_initialisation(
    arm: Arm,
    task: Any,
    seeds: Sequence[int],
    rows: int,
    scale: float = 1.0,
    before_each: Callable[[], object] = lambda: None,
) -> np.ndarray:
    """`log_norms` (S, T, rows) of freshly drawn networks, inputs multiplied by `scale`.

    `before_each` network it is asked whether to go on: what it raises ends the measurement.

    One network after the other: under vmap the products of a step become batched ones, far slower on CPU. And not
    under jit, so that draws are small programs which all arms share.
    """
    measured = []
    for seed in seeds:
        before_each()
        params = arm.cell.init(train.init_key(seed), task.input_size)
        on = probed(arm, task, train.probe_key(seed), rows)
        measured.append(np.asarray(log_norms(arm, params, on._replace(xs=scale * on.xs))))
    return np.stack(measured)


def training(
    arm: Arm,
    task: Any,
    *,
    seeds: Sequence[int],
    steps: int,
    batch_size: int = 32,
    learning_rate: float = 2e-3,
    max_norm: float = 1.0,
    probes: Mapping[str, Any] | None = None,
    probe_steps: Sequence[int] = (),
) -> train.Training:
    """Adam on a task with a linear readout; a seed sees the same batches whatever the arm.

    Where several processes have joined, batches are shared among their devices.
    """
    model = train.Readout(arm.cell, task.input_size, task.output_size, task.every_step)
    return train.Training(
        loss=lambda params, batch: task.loss(model.predict(params, batch.xs), batch),
        init=model.init,
        optimizer=optax.adam(learning_rate),
        batch=partial(task.batch, batch_size=batch_size),
        seeds=seeds,
        steps=steps,
        max_norm=max_norm,
        probes=probes or {},
        probe_steps=probe_steps,
        continue_others=True,
        mesh=train.batch_mesh() if runs.several_processes() else None,
    )


def median_curves(profiles: np.ndarray) -> np.ndarray:
    """(S, T): for each seed the median over sequences of ln A(k) - ln A(0), from profiles (S, T, rows)."""
    return np.median(profiles - profiles[:, :1], axis=2)


def power(natural_log: float) -> str:
    """A norm given by its natural log: "2e-24", also where no float can hold it.

    >>> power(-230.2585), power(0.0), power(-np.inf)
    ('1e-100', '1', '0')
    """
    if natural_log == -math.inf:
        return "0"
    exponent = math.floor(natural_log / math.log(10) + 1e-9)
    leading = round(math.exp(natural_log - exponent * math.log(10)))
    if leading == 10:
        leading, exponent = 1, exponent + 1
    return f"{leading}" if exponent == 0 else f"{leading}e{exponent:+03d}"


def listed(parts: Sequence[str]) -> str:
    """Words joined by commas and a last "and"."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
