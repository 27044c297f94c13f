"""Lyapunov exponents of the joint state: the rates at which a driven recurrence stretches and forgets."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from recurrax import code
from recurrax.kernels.columns import as_columns, column_counts, from_columns
from recurrax.lag import arguments, walk
from recurrax.lag.layers import takes_layers
from recurrax.lag.linalg import orthonormal
from recurrax.lag.notebook import html
from recurrax.typing import Array, Carry, Cell, Params

Step = Callable[[Any, Any], Any]
"""(state, x) to the next state."""


class LyapunovSpectrum(NamedTuple):
    """Lyapunov exponents in nats per step.

    exponents: (N,), from the largest down as QR orders them; -inf where a direction is lost to rounding.
    standard_error: (N,), from the means of contiguous batches of blocks.
    lost: how many exponents are -inf: count them, do not average them.
    steps: how many steps were averaged over.
    running: (M, N), the exponents that the first 1, 2, ..., M intervals after the burn-in give: where they still drift,
        T is too small. `plot.draw(spectrum, field="running")` draws them in the band of the last.
    """

    exponents: Array
    standard_error: Array
    lost: Array
    steps: int
    running: Array | None = None
    _repr_html_ = html


@takes_layers
def lyapunov_spectrum(
    cell: Cell,
    params: Params,
    xs: Any,
    carry: Carry | None = None,
    *,
    exponents: int | None = None,
    interval: int = 1,
    burn_in: int | None = None,
) -> LyapunovSpectrum:
    """Measures λ_i = lim 1/T Σ_t ln R_ii of a cell driven by xs, over its whole carry: (h, c) of an LSTM.

    J_t Q_tm1 = Q_t R_t with J_t = ∂s_t/∂s_tm1. Leaving c out of s_t, as is sometimes done, measures another system.

    Args:
        cell: any cell of the contract, or a layer of Flax, see `recurrax.lag`.
        params: its parameters, finite. float64 is needed for the tail of a spectrum.
        xs: (T, D), one input sequence without padding, or any tree of arrays (T, ...) that the cell reads: exponents
            are conditional on it.
        carry: the carry before the first step; the cell's initial carry if None.
        exponents: N, how many of the largest; all if None.
        interval: steps between two orthonormalisations; T and `burn_in` are multiples of it.
        burn_in: steps left out while the directions turn; about a tenth of T if None.

    Raises:
        ValueError: xs has batch axes, or one of the last three is out of range.

    References: Benettin et al. (1980); Engelken, Wolf & Abbott (2023) for recurrent networks.

    >>> import recurrax
    >>> cell = recurrax.LSTM(4)
    >>> params = cell.init(jax.random.key(0), input_size=2)
    >>> spectrum = recurrax.lag.lyapunov_spectrum(cell, params, jnp.ones((200, 2)))
    >>> spectrum.exponents.shape, spectrum.steps, bool(spectrum.exponents[0] < 0)
    ((8,), 180, True)
    """
    carry, steps = one_sequence(cell, params, xs, carry)
    plan = plan_of(steps, size_of(carry), exponents, interval, burn_in)
    return _spectrum(CellStep(cell), plan, params, carry, xs)._replace(steps=plan.averaged)


def lyapunov_of_step(
    step: Step,
    state: Any,
    xs: Any,
    *,
    exponents: int | None = None,
    interval: int = 1,
    burn_in: int | None = None,
) -> LyapunovSpectrum:
    """Measures the same for any s_t = step(s_tm1, x_t): a map, or one step of an integrator.

    Args:
        step: (state, x) to the next state; the same function object does not compile twice.
        state: any tree of arrays, the state before the first step; its floating and complex leaves are perturbed.
        xs: any tree of arrays (T, ...); for an autonomous system `jnp.arange(T)` will do.
        exponents: N, how many of the largest; all if None.
        interval: steps between two orthonormalisations.
        burn_in: steps left out while the directions turn; about a tenth of T if None.

    Raises:
        ValueError: one of the last three is out of range.

    >>> logistic = lyapunov_of_step(lambda x, _: 4 * x * (1 - x), jnp.array([0.3]), jnp.arange(20_000))
    >>> round(float(logistic.exponents[0]), 1)  # ln 2
    0.7
    """
    plan = plan_of(len(jax.tree.leaves(xs)[0]), size_of(state), exponents, interval, burn_in)
    return _spectrum(_PlainStep(step), plan, None, state, xs)._replace(steps=plan.averaged)


def one_sequence(cell: Cell, params: Params, xs: Any, carry: Carry | None) -> tuple[Carry, int]:
    """The carry to start from and T.

    Raises:
        ValueError: xs has batch axes, or what `scan` refuses.
    """
    carry, _ = arguments.check(cell, params, xs, carry)
    steps, batch_shape = arguments.sequence_shape(cell, params, xs)
    if batch_shape:
        raise ValueError(f"xs: expected one sequence (T, D), got batch axes {batch_shape}")
    return carry, steps


class CellStep(NamedTuple):
    """A cell's step without its output."""

    cell: Cell

    def __call__(self, params: Params, state: Carry, x: Array) -> Carry:
        return self.cell.step(params, state, x)[0]


class _PlainStep(NamedTuple):
    step: Step

    def __call__(self, params: None, state: Any, x: Any) -> Any:
        return self.step(state, x)


class Plan(NamedTuple):
    """exponents N; blocks of `interval` steps; how many of them are burn-in, at the start and at the end."""

    exponents: int
    interval: int
    blocks: int
    burn_in: int
    burn_out: int = 0

    @property
    def averaged(self) -> int:
        """Steps left."""
        return (self.blocks - self.burn_in - self.burn_out) * self.interval


def size_of(state: Any) -> int:
    """How many real numbers of a state can be perturbed."""
    return sum(column_counts(walk.differentiable(state), leading=0))


def plan_of(steps: int, size: int, exponents: int | None, interval: int, burn_in: int | None) -> Plan:
    """How T steps of a state of `size` numbers are gone through.

    Raises:
        ValueError: the last three are out of range.
    """
    if exponents is not None and not 1 <= exponents <= size:
        raise ValueError(f"exponents: expected None or an int in 1..{size}, the size of the state, got {exponents!r}")
    if not isinstance(interval, int) or interval < 1 or steps % interval:
        raise ValueError(f"interval: expected a positive int that divides T = {steps}, got {interval!r}")
    blocks = steps // interval
    if burn_in is None:
        burn_in = max(blocks // 10, 1) * interval
    if burn_in < interval or burn_in % interval:
        raise ValueError(f"burn_in: expected a multiple of the interval, at least {interval} steps, got {burn_in}")
    if blocks - burn_in // interval < 2:
        raise ValueError(f"burn_in: expected at least two intervals left of T = {steps} steps, got {burn_in}")
    return Plan(exponents or size, interval, blocks, burn_in // interval)


class Frames(NamedTuple):
    """What every block of `interval` steps did to the frame that moves with the state.

    growth: (blocks, N), ln |R_ii|, -inf where a direction is lost to rounding.
    before: (blocks, N, n), the orthonormal vectors before the block, and triangle (blocks, N, N), R; None if not kept.
    """

    growth: Array
    before: Array | None
    triangle: Array | None


def frames(step: Any, plan: Plan, params: Params, state: Any, xs: Any, *, keep: bool) -> Frames:
    """Moves N orthonormal vectors along a driven recurrence: P_m Q_{m-1} = Q_m R_m, P_m the Jacobian of a block."""
    like = as_columns(walk.differentiable(state), leading=0)  # (n,)

    def one_step(carried: tuple[Any, Array], x: Any) -> tuple[tuple[Any, Array], None]:
        state, frame = carried
        part = walk.differentiable(state)  # counters and keys go along and are not perturbed

        def numbers_after(numbers: Array) -> tuple[Array, Any]:
            before = walk.merge(from_columns(numbers, part, leading=0), state)
            after = walk.where_valid(None, step(params, before, x), state)
            return as_columns(walk.differentiable(after), leading=0), after

        # Trick: one linearisation serves the step itself and all N tangents.
        _, push, after = jax.linearize(numbers_after, as_columns(part, leading=0), has_aux=True)
        return (after, jax.vmap(push)(frame)), None

    def block(carried: tuple[Any, Array], xs: Any) -> tuple[tuple[Any, Array], Frames]:
        before = carried[1]
        (state, pushed), _ = jax.lax.scan(one_step, carried, xs)
        frame, growth = orthonormal(pushed)  # (N, n), (N,)
        # Below rounding of the largest one, a direction is noise and not a small exponent.
        lost = growth <= growth.max() + np.log(like.size * float(jnp.finfo(like.dtype).eps))
        kept = (before, jnp.triu(frame @ pushed.T)) if keep else (None, None)
        return (state, frame), Frames(jnp.where(lost, -jnp.inf, growth), *kept)

    # A generic frame: columns of the identity may lie in a subspace that never leaves itself.
    frame, _ = orthonormal(jax.random.normal(jax.random.key(0), (plan.exponents, like.size), like.dtype))
    # (blocks, interval, ...)
    blocked = jax.tree.map(lambda x: x.reshape(plan.blocks, plan.interval, *x.shape[1:]), xs)
    return jax.lax.scan(block, (state, frame), blocked)[1]


def averages(growth: Array, steps: int) -> LyapunovSpectrum:
    """Exponents and their errors from the growth (M, N) of M intervals, in nats per step, over so many steps."""
    count = growth.shape[0]
    exponents = growth.mean(axis=0)
    # Some twenty batches: fewer leave the error itself uncertain, more leave neighbouring batches correlated.
    batches = min(20, count)
    length = count // batches
    means = growth[count - batches * length :].reshape(batches, length, -1).mean(axis=1)
    error = jnp.where(jnp.isinf(exponents), jnp.nan, means.std(axis=0, ddof=1) / np.sqrt(batches))
    running = jnp.cumsum(growth, axis=0) / jnp.arange(1, count + 1, dtype=growth.dtype)[:, None]
    return LyapunovSpectrum(exponents, error, jnp.isneginf(exponents).sum(), steps, running)


@partial(code.jit, static_argnums=(0, 1))
def _spectrum(step: Any, plan: Plan, params: Params, state: Any, xs: Any) -> LyapunovSpectrum:
    with jax.default_matmul_precision("highest"):
        growth = frames(step, plan, params, state, xs, keep=False).growth
        return averages(growth[plan.burn_in :] / plan.interval, plan.averaged)
