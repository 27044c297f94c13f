"""The training loop: chunks of compiled steps, metrics leaving the device once per chunk, probes between chunks."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from recurrax.train.compiled import Shared
from recurrax.train.devices import local_copy, row_parts, split_rows
from recurrax.train.keys import probe_key
from recurrax.train.nonfinite import NonFiniteError, describe
from recurrax.train.placement import place_state, to_whole
from recurrax.train.progress import bar
from recurrax.train.step import Metrics, Program, State, has_ended, make_program, row_settings, state_shapes
from recurrax.train.training import Probe, Training
from recurrax.typing import Array, Params


class Chunk(NamedTuple):
    """What is known after a chunk.

    state, on the devices that trained it, in each process all of it; metrics, NumPy arrays (n, S) of its n steps, those
    before `state.step`; probes, name to a pytree of NumPy arrays (S, ...), None where `state.step` is not a probe step.
    """

    state: State
    metrics: Metrics
    probes: dict[str, Any] | None


class Fitted(NamedTuple):
    """A finished training.

    state; metrics, NumPy arrays (steps, S); probes, name to a pytree of NumPy arrays (P, S, ...) for the P
    `probe_steps`, which are in order.
    """

    state: State
    metrics: Metrics
    probe_steps: np.ndarray
    probes: dict[str, Any]


def log_spaced(steps: int, count: int) -> tuple[int, ...]:
    """At most `count` steps from 0 to `steps`, both included, evenly spaced in log(1 + step).

    >>> log_spaced(1000, 6)
    (0, 3, 15, 62, 250, 1000)
    """
    exponents = np.linspace(0, math.log1p(steps), max(count, 2))
    return tuple(sorted({round(math.expm1(exponent)) for exponent in exponents}))


def chunks(training: Training, state: State | None = None) -> Iterator[Chunk]:
    """Trains, yielding after every chunk.

    Chunks end at multiples of `training.chunk`, at probe steps and at the end. Cutting training anywhere and going on
    from the yielded state gives what the uncut training gives, bit for bit on CPU.

    Args:
        training: what to do.
        state: where to go on from; from the start if None, in which case probes at step 0 come first, in a chunk of no
            steps.

    Yields:
        A Chunk after each chunk.

    Raises:
        NonFiniteError: after yielding the chunk in which a row met an inf or a NaN; with `continue_others`, once no
            row is left.
        ValueError: `state` is of other seeds or beyond the last step.
    """
    program = make_program(training)
    measure = _measure(training)
    probe_steps = set(training.probe_steps) if training.probes else set()
    probe_start = state is None and 0 in probe_steps
    state = program.start() if state is None else state
    _check_state(training, state)
    placed, whole = place_state(training, state), to_whole(training)
    state = whole(placed)
    if probe_start:
        yield Chunk(state, _no_metrics(program, placed, 0), measure(placed))
    _check_finite(training, program, state)
    step = int(state.step)
    while step < training.steps:
        following = [probe_step for probe_step in probe_steps if probe_step > step]
        if training.stop is not None and np.asarray(has_ended(placed)).all():
            # No row takes another step: what is left to do are probes.
            end = min([training.steps, *following])
            metrics = _no_metrics(program, placed, end - step)
            placed = placed._replace(step=placed.step + (end - step))
        else:
            end = min([step - step % training.chunk + training.chunk, training.steps, *following])
            placed, table = program.run(placed, end - step)
            metrics = jax.tree.map(lambda column, n=end - step: column[:n], jax.device_get(table))
        step, state = end, whole(placed)
        yield Chunk(state, metrics, measure(placed) if step in probe_steps else None)
        _check_finite(training, program, state)


def fit(training: Training, state: State | None = None, *, progress: bool = True) -> Fitted:
    """Trains to the end.

    Args:
        training: what to do.
        state: where to go on from; from the start if None. Metrics and probes are then those of the steps done here.
        progress: whether to draw a bar.

    Returns:
        The last state, metrics of every step and probes at every probe step.

    Raises:
        NonFiniteError: a row met an inf or a NaN; its `state` holds the last finite parameters.

    >>> import jax.numpy as jnp, optax
    >>> fitted = fit(
    ...     Training(
    ...         loss=lambda w, target: (w - target) ** 2,
    ...         init=lambda key: jnp.zeros(()),
    ...         optimizer=optax.sgd(0.25),
    ...         batch=lambda key: 3.0 + 0.1 * jax.random.normal(key),
    ...         seeds=(0, 1),
    ...         steps=20,
    ...     ),
    ...     progress=False,
    ... )
    >>> fitted.metrics.loss.shape, fitted.state.params.round().tolist()
    ((20, 2), [3.0, 3.0])
    """
    parts: list[Chunk] = []
    with bar(training.steps, show=progress) as advance:
        for part in chunks(training, state):
            parts.append(part)
            advance(int(part.state.step), np.asarray(part.metrics.loss))
    if not parts:
        raise ValueError(f"steps: nothing to do, the state is already at step {training.steps}")
    return join(parts)


def join(parts: Sequence[Chunk], before: Fitted | None = None) -> Fitted:
    """Everything measured in `parts`, at least one, and `before` them."""
    metrics = [part.metrics for part in parts]
    probe_steps = [int(part.state.step) for part in parts if part.probes is not None]
    probes = [jax.tree.map(lambda value: value[None], part.probes) for part in parts if part.probes is not None]
    if before is not None:
        metrics = [before.metrics, *metrics]
        probe_steps = [*before.probe_steps.tolist(), *probe_steps]
        probes = [before.probes, *probes] if len(before.probe_steps) else probes
    return Fitted(
        state=parts[-1].state,
        metrics=jax.tree.map(lambda *columns: np.concatenate(columns), *metrics),
        probe_steps=np.array(probe_steps, np.int64),
        probes=jax.tree.map(lambda *values: np.concatenate(values), *probes) if probes else {},
    )


def fitted_like(training: Training, steps: int, probed: int) -> Fitted:
    """Shapes and dtypes of what `training` has measured after `steps` steps and `probed` probe steps."""
    state = state_shapes(training)
    metrics = make_program(replace(training, mesh=None)).shapes(state)[1]
    probes = jax.eval_shape(_over_rows(training.probes), state.params, state.seeds) if probed else {}
    return Fitted(
        state=state,
        metrics=jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((steps, *leaf.shape[1:]), leaf.dtype), metrics),
        probe_steps=np.zeros(probed, np.int64),
        probes=jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((probed, *leaf.shape), leaf.dtype), probes),
    )


def _measure(training: Training) -> Callable[[State], dict[str, Any]]:
    """What the probes give of a placed state, NumPy arrays (S, ...); each device looks at rows of its own."""
    mesh, count, parts = training.mesh, len(training.all_rows), row_parts(training.mesh)
    in_each = None if mesh is None or parts == 1 else NamedSharding(mesh, PartitionSpec())
    measure = Shared(split_rows(_over_rows(training.probes), mesh), in_each)

    def measured(state: State) -> dict[str, Any]:
        seen = state.params, state.seeds
        found = measure(*(local_copy(seen) if mesh is not None and parts == 1 else seen))
        return jax.tree.map(lambda leaf: leaf[:count], jax.device_get(found))

    return measured


def _over_rows(probes: Mapping[str, Probe]) -> Callable[[Params, Array], dict[str, Any]]:
    def probe_row(params: Params, seed: Array) -> dict[str, Any]:
        return {name: probe(params, probe_key(seed)) for name, probe in probes.items()}

    return jax.vmap(probe_row)


def _no_metrics(program: Program, state: State, steps: int) -> Metrics:
    """Metrics (steps, S) of steps that no row takes."""
    table = jax.device_get(program.run(state, 0)[1])
    return jax.tree.map(lambda column: np.repeat(column[:1], steps, axis=0), table)


def _check_state(training: Training, state: State) -> None:
    seeds = [row.seed for row in training.all_rows]
    if np.asarray(state.seeds).tolist() != seeds:
        raise ValueError(f"state: it is of seeds {np.asarray(state.seeds).tolist()}, not {seeds}")
    saved, expected = (
        jax.tree.map(lambda leaf: np.asarray(leaf).tolist(), settings)
        for settings in (state.settings, row_settings(training))
    )
    if saved != expected:
        raise ValueError(f"state: its rows have {saved}, not {expected}")
    if int(state.step) > training.steps:
        raise ValueError(f"state: it is at step {int(state.step)}, beyond the last, {training.steps}")


def _check_finite(training: Training, program: Program, state: State) -> None:
    failed = np.asarray(state.failed_at) >= 0
    if failed.all() or (failed.any() and not training.continue_others):
        raise NonFiniteError(describe(program, state), state)
