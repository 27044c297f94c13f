"""The compiled part of training: one program that runs any number of steps up to a chunk, over all seeds."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jax.sharding import Sharding

from recurrax.train.clip import clip_by_global_norm
from recurrax.train.keys import batch_key, init_key
from recurrax.typing import Array, Params


class State(NamedTuple):
    """All that training carries from step to step.

    params and opt_state, every leaf (S, ...); step (), how many steps have been done; seeds (S,); failed_at (S,), the
    step a seed refused because of an inf or a NaN and has stayed at, -1 where all went well.
    """

    params: Params
    opt_state: Any
    step: Array
    seeds: Array
    failed_at: Array


class Metrics(NamedTuple):
    """What a step reports, each (steps, S).

    loss, before the step's update; log_gradient_norm, ln ‖∂loss/∂θ‖ of its finite entries before clipping; clipped,
    whether that was above the limit.
    """

    loss: Array
    log_gradient_norm: Array
    clipped: Array


class Step(NamedTuple):
    """One step of one seed: loss () and gradient before it, parameters after it."""

    loss: Array
    gradient: Params
    parameters: Params


class Program(NamedTuple):
    """The compiled functions of a training.

    start: seeds (S,) to the State before the first step.
    run: (state, n) to the state n steps on, and Metrics of which the first n rows are meant; n is at most the chunk and
        traced, so no number of steps compiles anything new.
    retake: (state, row) to the Step that the seed of that row takes, or refused, at `state.failed_at[row]`.
    """

    start: Callable[[Array], State]
    run: Callable[[State, np.integer | Array], tuple[State, Metrics]]
    retake: Callable[[State, int], Step]


def compile_program(
    loss: Callable[[Params, Any], Array],
    init: Callable[[Array], Params],
    optimizer: optax.GradientTransformation,
    batch: Callable[[Array], Any],
    *,
    max_norm: float,
    chunk: int,
    vmap: bool,
    sharding: Sharding | None = None,
) -> Program:
    """Builds the functions of a training; those that take steps are compiled when first called.

    One step of one seed: g = ∂loss/∂θ on the batch of (seed, step), clipped; θ ← θ + optimizer(g). Where the loss, g or
    the new θ holds an inf or a NaN, the step is not taken, and that seed stays as it is from there on. `sharding` is
    that of all results: with devices of several processes, each has to have what it wants to read.
    """
    optimizer = optax.chain(clip_by_global_norm(max_norm), optimizer)

    over_seeds = jax.vmap if vmap else _one_by_one

    def start_seed(seed: Array) -> tuple[Params, Any, Array]:
        params = init(init_key(seed))
        return params, optimizer.init(params), jnp.array(-1, jnp.int32)

    def start(seeds: Array) -> State:
        # Not one program: seconds of compiling for what is done once, and its parts, the draws, are compiled anyway.
        params, opt_state, failed_at = jax.vmap(start_seed)(seeds)
        return State(params, opt_state, jnp.zeros((), jnp.int32), seeds, failed_at)

    def take(seed: Array, step: Array, params: Params, opt_state: Any) -> tuple[Step, Any]:
        value, gradient = jax.value_and_grad(loss)(params, batch(batch_key(seed, step)))
        update, opt_state = optimizer.update(gradient, opt_state, params)
        return Step(value, gradient, optax.apply_updates(params, update)), opt_state

    def step_seed(seed: Array, step: Array, params: Params, opt_state: Any, failed_at: Array) -> tuple[Any, Metrics]:
        taken, next_opt_state = take(seed, step, params, opt_state)
        monitor = next_opt_state[0]
        finite = jnp.isfinite(taken.loss) & (monitor.nonfinite == 0)
        finite &= jnp.all(jnp.isfinite(ravel_pytree(taken.parameters)[0]))
        healthy = failed_at < 0
        params, opt_state = jax.tree.map(
            lambda new, old: jnp.where(healthy & finite, new, old),
            (taken.parameters, next_opt_state),
            (params, opt_state),
        )
        failed_at = jnp.where(healthy & ~finite, step, failed_at)
        return (params, opt_state, failed_at), Metrics(taken.loss, monitor.log_norm, monitor.clipped)

    def run(state: State, n: Array) -> tuple[State, Metrics]:
        def run_seed(seed: Array, *begun: Any) -> tuple[Any, Metrics]:
            def body(row: Array, carried: tuple[Any, Metrics]) -> tuple[Any, Metrics]:
                current, table = carried
                current, metrics = step_seed(seed, state.step + row.astype(jnp.int32), *current)
                return current, jax.tree.map(lambda column, metric: column.at[row].set(metric), table, metrics)

            shapes = jax.eval_shape(step_seed, seed, state.step, *begun)[1]
            table = jax.tree.map(lambda metric: jnp.zeros(chunk, metric.dtype), shapes)
            # A traced bound, where a scan has a fixed one: a short chunk, before a probe, is the same program.
            return jax.lax.fori_loop(0, n, body, (begun, table))

        begun = (state.seeds, state.params, state.opt_state, state.failed_at)
        (params, opt_state, failed_at), table = over_seeds(run_seed)(*begun)
        metrics = jax.tree.map(lambda columns: jnp.swapaxes(columns, 0, 1), table)
        return State(params, opt_state, state.step + n.astype(jnp.int32), state.seeds, failed_at), metrics

    def retake(state: State, row: int) -> Step:
        seed, step, params, opt_state = jax.tree.map(
            lambda leaf: leaf[row], (state.seeds, state.failed_at, state.params, state.opt_state)
        )
        return take(seed, step, params, opt_state)[0]

    return Program(
        start=start, run=jax.jit(run, out_shardings=sharding), retake=jax.jit(retake, out_shardings=sharding)
    )


def _one_by_one(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: jax.lax.map(lambda row: function(*row), args)
