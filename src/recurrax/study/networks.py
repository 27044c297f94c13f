"""Networks of a study: freshly drawn and probed, or trained on a task. Every draw is a function of the seed.

A seed sees the same inputs, probes and batches whatever the cell, so seeds are paired between cells.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from recurrax import lag, runs, train
from recurrax.study.settings import TrainingSettings
from recurrax.tasks import Batch, Task
from recurrax.typing import Array, Cell, Key, Params

_CHANCE = 0x6368616E
"""Folded into the key of a batch, of which tasks make their data by splitting it."""


class Probe(NamedTuple):
    """xs (T, rows, D), what a network reads; unit (rows, H), the direction in which its last output is probed."""

    xs: Array
    unit: Array


def probe(cell: Cell, task: Task, key: Key, rows: int) -> Probe:
    """Inputs of a task and a random unit vector for each sequence, the same for all cells whose outputs are as wide.

    A batch's mask is not looked at: what stands before a shorter sequence is silence, as what `with_lag` adds after it
    is, and is read like it, so that every sequence has every lag.
    """
    input_key, unit_key = jax.random.split(key)
    xs = task.batch(input_key, rows).xs
    direction = jax.random.normal(unit_key, (rows, output_size(cell, task.input_size)))
    return Probe(xs, direction / jnp.linalg.norm(direction, axis=1, keepdims=True))


def output_size(cell: Cell, input_size: int) -> int:
    """H, the features of a cell's output, found without drawing anything."""

    def output(key: Key) -> Array:
        params = cell.init(key, input_size)
        return cell.step(params, cell.initial_carry(params, (), jnp.float32), jnp.zeros(input_size))[1]

    return jax.eval_shape(output, jax.random.key(0)).shape[-1]


def step_text(cell: Cell) -> str:
    """What a cell computes in a step: the same text for cells that differ only in how they are drawn.

    >>> from recurrax import LSTM
    >>> step_text(LSTM(2)) == step_text(LSTM(2, forget_bias=3.0)) != step_text(LSTM(2, coupled=True))
    True
    """
    params = jax.eval_shape(lambda key: cell.init(key, 1), jax.random.key(0))

    def step(params: Params, x: Array) -> Any:
        return cell.step(params, cell.initial_carry(params, (), jnp.float32), x)

    return str(jax.make_jaxpr(step)(params, jax.ShapeDtypeStruct((1,), jnp.float32)))


def log_norms(cell: Cell, params: Params, at: Probe) -> Array:
    """Ln ‖∂L/∂s_{T-1-k}‖ (T, rows) for L = ⟨unit, y_T⟩, s being the whole carry: (h, c) together for an LSTM."""
    return lag.adjoint_profile(cell, params, at.xs, at.unit).log_norm_joint


def drawn(cell: Cell, task: Task, seed: int) -> Params:
    """The parameters that a seed draws."""
    return cell.init(train.init_key(seed), task.input_size)


def drawn_curves(
    cell: Cell,
    task: Task,
    lags: int,
    seeds: Sequence[int],
    rows: int,
    scale: float = 1.0,
    before_each: Callable[[], object] = lambda: None,
) -> np.ndarray:
    """`median_curves` (S, lags + 1) of freshly drawn networks, inputs that are floating multiplied by `scale`.

    `before_each` network it is asked whether to go on: what it raises ends the measurement.

    One network after the other: under vmap the products of a step become batched ones, far slower on CPU. And not
    under jit, so that draws are small programs which all cells share.
    """
    measured, task = [], task.with_lag(lags)
    for seed in seeds:
        before_each()
        at = probe(cell, task, train.probe_key(seed), rows)
        at = at._replace(xs=jax.tree.map(partial(_scaled, scale), at.xs))
        measured.append(np.asarray(log_norms(cell, drawn(cell, task, seed), at)))
    return median_curves(np.stack(measured), lags)


def memory_lags(longest: int) -> np.ndarray:
    """Lags of ratio 2^(1/4), rounded, from 1 to the longest.

    >>> memory_lags(20).tolist()
    [1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 13, 16, 19]
    """
    return np.unique(np.round(2.0 ** np.arange(0, np.log2(longest) + 1e-9, 0.25)).astype(int))


def drawn_memory(
    cell: Cell,
    task: Task,
    longest: int,
    seeds: Sequence[int],
    steps: int,
    before_each: Callable[[], object] = lambda: None,
) -> np.ndarray:
    """R² (S, K) at `memory_lags` of a linear decoder of the inputs from the state of freshly drawn networks.

    The decoder is fitted to and tried on some `steps` steps of sequences six times as long as the longest lag, in
    float64: some directions of a state vary too little for float32.
    """
    lags, task, curves = memory_lags(longest), task.with_lag(6 * longest), []
    for seed in seeds:
        before_each()
        key = train.probe_key(seed)
        rows = -(-steps // (len(task.batch(key, 1).xs) - 2 * int(lags[-1])))
        xs = task.batch(key, rows).xs
        with jax.enable_x64(True):  # holds for this thread alone
            params = cell.init(train.init_key(jnp.asarray(seed)), task.input_size, jnp.float64)
            curves.append(np.asarray(lag.memory_curve(cell, params, xs.astype(jnp.float64), lags=lags.tolist()).r2))
    return np.stack(curves)


def trained_curves(
    cell: Cell,
    task: Task,
    settings: Any,
    seeds: Sequence[int],
    fit: Callable[[train.Training], train.Fitted],
) -> tuple[train.Fitted, np.ndarray]:
    """A training, and the `median_curves` (S, P, lags + 1) at its `settings.probe_steps`."""
    longer = task.with_lag(settings.lags)

    def look(params: train.ReadoutParams, key: Key) -> Array:
        return log_norms(cell, params.cell, probe(cell, longer, key, settings.rows))

    fitted = fit(training(cell, task, settings, seeds, {"log_norm": look}, settings.probe_steps))
    return fitted, np.stack([median_curves(at, settings.lags) for at in fitted.probes["log_norm"]], axis=1)


def _scaled(scale: float, leaf: Array) -> Array:
    return scale * leaf if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf


def median_curves(profiles: np.ndarray, lags: int) -> np.ndarray:
    """(S, lags + 1): for each seed the median over sequences of ln A(k) - ln A(0), from profiles (S, T, rows)."""
    return np.median(profiles - profiles[:, :1], axis=2)[:, : lags + 1]


def loss(model: train.Readout, task: Task) -> Callable[[train.ReadoutParams, Batch], Array]:
    """A model's loss on a batch of a task, under chance where the batch has keys."""
    return lambda params, batch: task.loss(model.predict(params, batch.xs, batch.mask, batch.keys), batch)


def batches(model: train.Readout, task: Task, batch_size: int) -> Callable[[Key], Batch]:
    """What draws the batches of a training, with a key for each row where the model's cell needs chance."""
    draw = partial(task.batch, batch_size=batch_size)
    if not model.needs_keys:
        return draw
    return lambda key: draw(key).with_keys(jax.random.fold_in(key, _CHANCE))


def training(
    cell: Cell,
    task: Task,
    settings: TrainingSettings,
    seeds: Sequence[int],
    probes: Mapping[str, Callable[[Any, Key], Any]] | None = None,
    probe_steps: Sequence[int] = (),
) -> train.Training:
    """Adam on a task with a linear readout; a cell that needs chance has it here, and in no probe.

    Where several processes have joined, batches are shared among their devices.
    """
    model = train.Readout(cell, task.input_size, task.output_size, task.every_step)
    return train.Training(
        loss=loss(model, task),
        init=model.init,
        optimizer=optax.adam(settings.learning_rate),
        batch=batches(model, task, settings.batch_size),
        seeds=seeds,
        steps=settings.steps,
        max_norm=settings.max_norm,
        probes=probes or {},
        probe_steps=probe_steps,
        continue_others=True,
        mesh=train.batch_mesh() if runs.several_processes() else None,
    )
