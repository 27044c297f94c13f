"""Covariant Lyapunov vectors: the directions in which each exponent stretches, at every state passed."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from recurrax import code
from recurrax.kernels.columns import from_columns
from recurrax.lag import walk
from recurrax.lag.layers import takes_layers
from recurrax.lag.lyapunov import CellStep, Plan, averages, frames, one_sequence, plan_of, size_of
from recurrax.lag.notebook import html
from recurrax.typing import Array, Carry, Cell, Params


class CovariantVectors(NamedTuple):
    """N covariant vectors at M states of a driven recurrence, and how each of them grows.

    step: (M,) ints, t: the vectors stand at s_tm1, the state before step t.
    vectors: a carry with leaves (M, N, ...), of norm 1 over the whole state, signs arbitrary; None where it has a leaf
        without gradient. NaN for a direction that is lost to rounding.
    growth: (M, N), ln |P v| / interval with P the Jacobian of the interval that begins with step t, in nats per step.
    exponents: (N,), the means of growth, from the largest down; -inf where a direction is lost.
    standard_error: (N,), from the means of contiguous batches of intervals.
    """

    step: Array
    vectors: Carry
    growth: Array
    exponents: Array
    standard_error: Array
    _repr_html_ = html


@takes_layers
def covariant_vectors(
    cell: Cell,
    params: Params,
    xs: Any,
    carry: Carry | None = None,
    *,
    exponents: int | None = None,
    interval: int = 1,
    burn_in: int | None = None,
    burn_out: int | None = None,
) -> CovariantVectors:
    """Measures the vectors v_i that the recurrence carries along, J_t v_i(t-1) ∝ v_i(t), growing at the rate λ_i.

    P_m Q_{m-1} = Q_m R_m forwards;  C_{m-1} = R_m⁻¹ C_m D_m backwards, from a drawn triangle;  V_m = Q_m C_m

    with D_m for columns of norm 1. The frames Q of `lyapunov_spectrum` are orthogonal whatever the dynamics is; these
    vectors are not: of a constant matrix they are its eigenvectors, and where two of them meet, stable and unstable
    directions touch. M N (n + N) numbers are held, with n numbers in the state.

    Args:
        cell: any cell of the contract, or a layer of Flax, see `recurrax.lag`.
        params: its parameters, finite, in float64 for vectors to more than a few digits.
        xs: (T, D), one input sequence without padding, or any tree of arrays (T, ...) that the cell reads.
        carry: the carry before the first step; the cell's initial carry if None.
        exponents: N, how many of the largest; all if None.
        interval: steps between two orthonormalisations, at whose start the vectors stand; T, `burn_in` and `burn_out`
            are multiples of it.
        burn_in: steps left out while the frame turns; about a tenth of T if None.
        burn_out: steps at the end left out while the triangle does; as many as of burn-in if None.

    Raises:
        ValueError: xs has batch axes, or one of the last four is out of range.

    References: Ginelli et al. (2007), eqs. 3-5; Kuptsov & Parlitz (2012) for their theory.

    >>> import recurrax
    >>> cell = recurrax.LSTM(4)
    >>> params = cell.init(jax.random.key(0), input_size=2)
    >>> found = covariant_vectors(cell, params, jnp.ones((200, 2)), exponents=3)
    >>> found.vectors.c.shape, found.growth.shape, bool(found.exponents[0] < 0)
    ((160, 3, 4), (160, 3), True)
    """
    carry, steps = one_sequence(cell, params, xs, carry)
    plan = plan_of(steps, size_of(carry), exponents, interval, burn_in)
    burn_out = plan.burn_in * interval if burn_out is None else burn_out
    if burn_out < interval or burn_out % interval:
        raise ValueError(f"burn_out: expected a multiple of the interval, at least {interval} steps, got {burn_out}")
    plan = plan._replace(burn_out=burn_out // interval)
    if plan.averaged < 2 * interval:
        raise ValueError(f"burn_out: expected at least two intervals left of T = {steps} steps, got {burn_out}")
    return _vectors(CellStep(cell), plan, params, carry, xs)


@partial(code.jit, static_argnums=(0, 1))
def _vectors(step: CellStep, plan: Plan, params: Params, state: Carry, xs: Any) -> CovariantVectors:
    with jax.default_matmul_precision("highest"):
        passed = frames(step, plan, params, state, xs, keep=True)
        growth, before, triangle = jax.tree.map(lambda leaf: leaf[plan.burn_in :], passed)
        assert before is not None
        assert triangle is not None
        lost = jnp.isneginf(growth).any(axis=0)  # (N,)
        # A lost direction has its own row and column alone: the leading ones do not depend on it.
        keep = ~(lost[:, None] | lost[None])
        eye = jnp.eye(plan.exponents, dtype=before.dtype)
        triangle = jnp.where(keep[None], triangle, eye[None])

        def back(columns: Array, triangle: Array) -> tuple[Array, tuple[Array, Array]]:
            columns = solve_triangular(triangle, columns)
            length = jnp.sqrt(jnp.sum(jnp.square(columns), axis=0))  # (N,)
            columns = columns / length[None]
            return columns, (columns, -jnp.log(length))

        # Generic columns: those of the identity are covariant only if the frame is.
        drawn = jnp.triu(jax.random.normal(jax.random.key(1), eye.shape, eye.dtype)) + eye
        _, (columns, growth) = jax.lax.scan(back, drawn, triangle, reverse=True)
        kept = slice(0, plan.blocks - plan.burn_in - plan.burn_out)
        columns, growth = columns[kept], jnp.where(lost[None], -jnp.inf, growth[kept]) / plan.interval
        vectors = jnp.einsum("mij,min->mjn", columns, before[kept])  # v_j = Σ_i C_ij q_i, (M, N, n)
        vectors = jnp.where(lost[None, :, None], jnp.nan, vectors)
        found = averages(growth, plan.averaged)
    first = (plan.burn_in + jnp.arange(growth.shape[0])) * plan.interval
    state = from_columns(vectors, walk.differentiable(state), leading=0)
    return CovariantVectors(first, state, growth, found.exponents, found.standard_error)
