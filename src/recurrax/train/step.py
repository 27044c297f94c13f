"""The compiled part of training: one program that runs any number of steps up to a chunk, over all rows."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from recurrax import code
from recurrax.train.clip import clip_by_global_norm
from recurrax.train.compiled import Shared
from recurrax.train.devices import BATCH, ROWS, place, row_parts, split_loss, split_rows
from recurrax.train.host import HostBatches, stack_chunk, uses_its_key
from recurrax.train.keys import batch_key, init_key
from recurrax.train.training import Target, Training
from recurrax.typing import Array, Params


class Settings(NamedTuple):
    """What rows have for themselves, each (S,): arguments of the optimizer by name; max_norm, None if all share one."""

    arguments: dict[str, Any]
    max_norm: Any


class State(NamedTuple):
    """All that training carries from step to step.

    params and opt_state, every leaf (S, ...); step (), how many steps have been done; seeds (S,); failed_at (S,), the
    step a row refused because of an inf or a NaN and has stayed at, -1 where all went well; stopped_at (S,), after how
    many steps a row met the training's `stop`, -1 where it has not; settings of the rows; recent (S, window), what
    the `stop` looks at in the last steps, that of step i at i mod window, None without one.
    """

    params: Params
    opt_state: Any
    step: Array
    seeds: Array
    failed_at: Array
    stopped_at: Array
    settings: Settings
    recent: Array | None


class Metrics(NamedTuple):
    """What a step reports, each (steps, S); NaN and False at the steps that a row has not taken because of a `stop`.

    loss, before the step's update; log_gradient_norm, ln ‖∂loss/∂θ‖ of its finite entries before clipping; clipped,
    whether that was above the limit; scores, what the training's `metrics` gave, {} without them.
    """

    loss: Array
    log_gradient_norm: Array
    clipped: Array
    scores: Any


class Step(NamedTuple):
    """One step of one row: loss () and gradient before it, parameters after it."""

    loss: Array
    gradient: Params
    parameters: Params


class Program(NamedTuple):
    """The functions of a training; those that take steps are compiled when first called.

    start: nothing to the State before the first step.
    run: (state, n), the state as `recurrax.train.placement` lays it out, to that n steps on, and Metrics of which the
        first n rows are meant; n is at most the chunk and traced, so no number of steps compiles anything new.
    retake: (state, row) to the Step that the row takes, or refused, at `state.failed_at[row]`.
    shapes: (state) to shapes and dtypes of what `run` gives.
    """

    start: Callable[[], State]
    run: Callable[[State, int], tuple[State, Metrics]]
    retake: Callable[[State, int], Step]
    shapes: Callable[[State], tuple[State, Metrics]]


class StepRow(NamedTuple):
    """The functions of one step of one row, of whose State `step` is None and every other leaf lacks the axis S.

    take: (row, batch) to a Step and the optimizer's next state.
    advance: (row, step, batch) to the row after the step, and Metrics ().
    """

    take: Callable[[State, Any], tuple[Step, Any]]
    advance: Callable[[State, Array, Any], tuple[State, Metrics]]


def make_program(training: Training) -> Program:
    """The functions of a training.

    One step of one row: g = ∂loss/∂θ on the batch of (seed, step), clipped; θ ← θ + optimizer(g). Where the loss, g or
    the new θ holds an inf or a NaN, the step is not taken, and that row stays as it is from there on.

    Raises:
        ValueError: the training's `batch` does not use its key.
    """
    code.notice(*training.functions)
    if training.batch is not None and not uses_its_key(training.batch):
        raise ValueError(
            "batch: expected something drawn with the key, got one and the same batch for every step; data from the "
            "host, and what never changes, come in by Training(batches=...), a function of (seed, step)"
        )
    mesh, count = training.mesh, len(training.all_rows)
    parts = row_parts(mesh)
    # With devices of several processes, each has to have what it wants to read.
    in_each = None if mesh is None else NamedSharding(mesh, PartitionSpec())
    side_by_side = jax.default_backend() != "cpu" if training.vmap is None else training.vmap
    over_rows = jax.vmap if side_by_side else _one_by_one
    step_row = make_step(training)

    def run_rows(rows: State, host: HostBatches | None, first: Array, n: Array) -> tuple[State, Metrics]:
        def run_row(row: State, place: Any) -> tuple[State, Metrics]:
            def advance(done: Array, row: State) -> tuple[State, Metrics]:
                step = first + done.astype(jnp.int32)
                if training.batch is not None:
                    batch = training.batch(batch_key(row.seeds, step))
                else:
                    batch = jax.tree.map(lambda leaf: leaf[place, done], host and host.arrays)
                return step_row.advance(row, step, batch)

            def body(carried: tuple[Array, State, Metrics]) -> tuple[Array, State, Metrics]:
                done, row, table = carried
                row, metrics = advance(done, row)
                return done + 1, row, jax.tree.map(lambda column, metric: column.at[done].set(metric), table, metrics)

            shapes = jax.eval_shape(advance, n, row)[1]
            table = jax.tree.map(lambda metric: _unset(training.chunk, metric.dtype), shapes)
            return _repeat(body, n, row, table, stoppable=training.stop is not None)

        return over_rows(run_row)(rows, host and host.of_row)

    def run(state: State, n: Array, host: HostBatches | None) -> tuple[State, Metrics]:
        rows, table = split_rows(run_rows, mesh, whole=2)(_rows(state), host, state.step, n)
        metrics = jax.tree.map(lambda columns: jnp.swapaxes(columns[:count], 0, 1), table)  # (chunk, S)
        return rows._replace(step=state.step + n.astype(jnp.int32)), metrics

    def retake(state: State, row: Array, batch: Any) -> Step:
        picked = jax.tree.map(lambda leaf: leaf[row], _rows(state))
        if training.batch is not None:
            batch = training.batch(batch_key(picked.seeds, picked.failed_at))
        return step_row.take(picked, batch)[0]

    def host_batches(state: State, n: int) -> HostBatches | None:
        if training.batches is None:
            return None
        first = min(int(state.step), max(training.steps - 1, 0))  # a call of no steps needs shapes all the same
        seeds, live = np.asarray(state.seeds), np.asarray(state.stopped_at) < 0
        made = stack_chunk(training.batches, seeds, live, first, max(n, 1), training.chunk, parts)
        return made if mesh is None or parts == 1 else place(NamedSharding(mesh, PartitionSpec(ROWS)), made)

    def shapes(state: State) -> tuple[State, Metrics]:
        seeds = np.array([row.seed for row in training.all_rows])
        host = training.batches and stack_chunk(training.batches, seeds, seeds >= 0, 0, 1, training.chunk)
        return jax.eval_shape(run, state, jnp.int32(0), host)

    def refused(state: State, row: int) -> Any:
        return training.batches and training.batches(int(state.seeds[row]), int(state.failed_at[row]))

    shared_run = Shared(run, None if mesh is None else (layout(mesh), in_each))
    shared_retake = Shared(retake, in_each)
    return Program(
        start=lambda: start(training),
        run=lambda state, n: shared_run(state, np.int32(n), host_batches(state, n)),
        retake=lambda state, row: shared_retake(state, np.int32(row), refused(state, row)),
        shapes=shapes,
    )


def layout(mesh: Mesh) -> Any:
    """The sharding of each field of a State: rows are split, and what the loop reads of them is whole in each process.

    A pytree prefix of the State.
    """
    split, whole = NamedSharding(mesh, PartitionSpec(ROWS)), NamedSharding(mesh, PartitionSpec())
    read = dict.fromkeys(("step", "seeds", "failed_at", "stopped_at"), whole)
    return State(**dict.fromkeys(State._fields, split) | read)  # pyright: ignore[reportArgumentType]


def start(training: Training) -> State:
    """The state before the first step.

    Not one program, which would take seconds to compile for what is done once, but row by row: the small programs that
    this is made of are then those of any number of rows.

    Raises:
        ValueError: the rows' parameters differ in shape.
    """
    drawn = [_start_row(training, number) for number in range(len(training.all_rows))]
    shapes = [jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), params) for params, _ in drawn]
    for number, other in enumerate(shapes):
        if other != shapes[0]:
            raise ValueError(
                f"rows: expected parameters of the same shapes, got {shapes[0]} in row 0, {other} in row {number}"
            )
    # Stacked by NumPy: another number of rows would be another program of XLA.
    return _state(training, *jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *drawn))


def state_shapes(training: Training) -> State:
    """Shapes and dtypes of the training's state, nothing drawn."""
    rows = len(training.all_rows)
    one = jax.eval_shape(lambda: _start_row(training, 0))
    stacked = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((rows, *leaf.shape), leaf.dtype), one)
    return jax.eval_shape(partial(_state, training), *stacked)


def _start_row(training: Training, number: int) -> tuple[Params, Any]:
    """Parameters of one row and the optimizer's state before the first step."""
    row = training.all_rows[number]
    settings = jax.tree.map(lambda values: jnp.asarray(values[number]), row_settings(training))
    params = training.init_of(row)(init_key(row.seed))
    return params, _optimizer(training, settings).init(params)


def _state(training: Training, params: Params, opt_state: Any) -> State:
    rows = training.all_rows
    none = jnp.full(len(rows), -1, jnp.int32)
    return State(
        params=params,
        opt_state=opt_state,
        step=jnp.zeros((), jnp.int32),
        seeds=jnp.asarray(np.array([row.seed for row in rows], np.uint32)),
        failed_at=none,
        stopped_at=none,
        settings=jax.tree.map(jnp.asarray, row_settings(training)),
        recent=None if training.stop is None else jnp.full((len(rows), training.stop.window), jnp.inf),
    )


def row_settings(training: Training) -> Settings:
    """The settings of the training's rows, in NumPy arrays of the default precision."""
    rows = training.all_rows
    limits = [training.max_norm if row.max_norm is None else row.max_norm for row in rows]
    dtype = jnp.result_type(float)
    return Settings(
        arguments={name: np.array([row.arguments[name] for row in rows], dtype) for name in rows[0].arguments},
        max_norm=None if all(row.max_norm is None for row in rows) else np.array(limits, dtype),
    )


def make_step(training: Training, *, split: bool = True) -> StepRow:
    """The functions of one step of one row; with `split`, over the training's mesh if it has one."""
    loss, scores, stop = training.loss, training.metrics, training.stop
    if training.mesh is not None and training.mesh.shape[BATCH] > 1 and split:
        loss = split_loss(loss, training.mesh, axes=training.batch_axes, mean=True)
        scores = scores and split_loss(scores, training.mesh, axes=training.batch_axes, mean=True)

    def take(row: State, batch: Any) -> tuple[Step, Any]:
        value, gradient = jax.value_and_grad(loss)(row.params, batch)
        update, opt_state = _optimizer(training, row.settings).update(gradient, row.opt_state, row.params)
        return Step(value, gradient, optax.apply_updates(row.params, update)), opt_state

    def advance(row: State, step: Array, batch: Any) -> tuple[State, Metrics]:
        taken, next_opt_state = take(row, batch)
        monitor = next_opt_state[0]
        finite = jnp.isfinite(taken.loss) & (monitor.nonfinite == 0)
        finite &= jnp.all(jnp.isfinite(ravel_pytree(taken.parameters)[0]))
        healthy = row.failed_at < 0
        metrics = Metrics(
            taken.loss, monitor.log_norm, monitor.clipped, {} if scores is None else _scalars(scores(row.params, batch))
        )
        params, opt_state = jax.tree.map(
            lambda new, old: jnp.where(healthy & finite, new, old),
            (taken.parameters, next_opt_state),
            (row.params, row.opt_state),
        )
        row = row._replace(
            params=params, opt_state=opt_state, failed_at=jnp.where(healthy & ~finite, step, row.failed_at)
        )
        if stop is not None and row.recent is not None:
            recent = row.recent.at[step % stop.window].set(_watched(stop, metrics).astype(row.recent.dtype))
            # Infinite until the window is full, and NaN from a refused step on.
            reached = (jnp.mean(recent) <= stop.loss) & healthy & finite
            row = row._replace(recent=recent, stopped_at=jnp.where(reached, step + 1, row.stopped_at))
        return row, metrics

    return StepRow(take, advance)


def _repeat(
    body: Callable[[Any], Any], n: Array, row: State, table: Metrics, *, stoppable: bool
) -> tuple[State, Metrics]:
    """Row and table after n steps, or after those until the row has ended."""

    # A traced bound, where a scan has a fixed one: a short chunk, before a probe, is the same program.
    def goes_on(carried: tuple[Array, State, Metrics]) -> Array:
        done, row, _ = carried
        return (done < n) & ~has_ended(row) if stoppable else done < n

    return jax.lax.while_loop(goes_on, body, (jnp.zeros_like(n), row, table))[1:]


def has_ended(state: State) -> Array:
    """Whether a row of a training with a `stop` takes no more steps: it has met its target, or failed."""
    return (state.stopped_at >= 0) | (state.failed_at >= 0)


def _optimizer(training: Training, settings: Settings) -> optax.GradientTransformation:
    """The optimizer of one row, behind the clipping."""
    limit = training.max_norm if settings.max_norm is None else settings.max_norm
    optimizer = training.optimizer
    if not isinstance(optimizer, optax.GradientTransformation):
        optimizer = optimizer(**settings.arguments)
    return optax.chain(clip_by_global_norm(limit), optimizer)


def _rows(state: State) -> State:
    """The state without its one leaf that has no axis S."""
    return state._replace(step=None)  # pyright: ignore[reportArgumentType]


def _watched(stop: Target, metrics: Metrics) -> Array:
    if stop.metric is None:
        return metrics.loss
    if not isinstance(metrics.scores, Mapping) or stop.metric not in metrics.scores:
        raise ValueError(f"metrics: expected {stop.metric!r}, as stop needs it, got {metrics.scores}")
    return metrics.scores[stop.metric]


def _scalars(scores: Any) -> Any:
    for path, leaf in jax.tree.leaves_with_path(scores):
        if jnp.shape(leaf) != ():
            raise ValueError(f"metrics: expected scalars, got shape {jnp.shape(leaf)} in {jax.tree_util.keystr(path)}")
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(leaf, jnp.float32)), scores)


def _unset(chunk: int, dtype: Any) -> Array:
    """A column (chunk,) of steps not taken."""
    return jnp.full(chunk, jnp.nan if jnp.issubdtype(dtype, jnp.inexact) else 0, dtype)


def _one_by_one(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: jax.lax.map(lambda row: function(*row), args)
