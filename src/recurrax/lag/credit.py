"""Learning rules as approximations of one recursion, that of the state's dependence on the parameters; for one row.

M_t = ∂s_t/∂θ = J_t M_tm1 + I_t,  J_t = ∂s_t/∂s_tm1,  I_t = ∂s_t/∂θ with s_tm1 held fixed

That is real-time recurrent learning (Williams & Zipser 1989). A loss of the last output has the gradient
M_{T-1}ᵀ δ + (∂y/∂θ)ᵀ ∂L/∂y with δ = ∂L/∂s_{T-1}. A rule puts another A_t in place of J_t, so that step T-1-k adds
Ĝ(k) = (A_{T-1} ⋯ A_{T-k} I_{T-1-k})ᵀ δ, which is walked backwards here whatever the direction in which a rule runs.
States and parameters are columns of real numbers, n and P of them.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from recurrax.kernels.columns import as_columns, from_columns
from recurrax.lag import scaled, walk
from recurrax.lag.scaled import ScaledVector
from recurrax.lag.walk import Trajectory
from recurrax.typing import Array, Carry, Cell, Params

RULES = ("truncated", "snap-1", "e-prop", "uoro")


class Credit(NamedTuple):
    """What one row's loss asks of its last step: adjoint δ (n,), and direct (∂y/∂θ)ᵀ ∂L/∂y (P,)."""

    adjoint: Array
    direct: Array


def numbers(tree: Any) -> Array:
    """The real numbers of what can be differentiated of a tree without batch axes."""
    return as_columns(walk.differentiable(tree), leading=0)


def credit(cell: Cell, params: Params, last: Carry, x: Any, cotangent: Array) -> Credit:
    """What a cotangent (H,) of the last output asks, `last` being the carry and x the input of the last step."""

    def output(state: Array, theta: Array) -> Array:
        of_theta = _with(params, theta)
        return cell.output(of_theta, _with(last, state), cell.project(of_theta, x))

    # As in every adjoint here, the projection is held fixed for the state and is the parameters' own.
    return Credit(*jax.vjp(output, numbers(last), numbers(params))[1](cotangent))


def walk_back(
    cell: Cell,
    params: Params,
    rule: str,
    window: int,
    trajectory: Trajectory,
    asked: Credit,
    mask: Array | None,
) -> tuple[ScaledVector, ScaledVector]:
    """G(k) and Ĝ(k) of a rule without chance, values (T, P) and exponents (T,), the last step first.

    truncated: A_t = J_t in the last `window` - 1 steps before the loss, 0 before them.
    e-prop: A_t = ∂s_t/∂s_tm1 with the products v_t = recur(θ, s_tm1, u_t) held fixed.
    snap-1: A_t = J_t, of whose products with a column of M the entries are kept that `mask` (n, P) has.
    """
    start = jnp.zeros((), jnp.int32)
    of_rule = asked.adjoint if mask is None else jnp.where(mask, asked.adjoint[:, None], 0)  # (n,) or (n, P)

    def body(carried: Any, at_t: Trajectory) -> Any:
        exact, found, lag = carried
        gradient, before = _pull(cell, params, at_t, exact.value)
        if mask is None:
            estimate, found_before = _pull(cell, params, at_t, found.value, cut=rule == "e-prop")
        else:
            estimate, found_before = _pull_masked(cell, params, at_t, found.value, mask)
        if rule == "truncated":
            found_before = jnp.where(lag + 1 < window, found_before, 0)
        direct = ScaledVector(jnp.where(lag == 0, asked.direct, 0), start)
        terms = (scaled.add(scaled.rescale(g, s.exponent), direct) for g, s in ((gradient, exact), (estimate, found)))
        next_ = scaled.rescale(before, exact.exponent), scaled.rescale(found_before, found.exponent)
        return (*next_, lag + 1), tuple(terms)

    first = scaled.rescale(asked.adjoint, start), scaled.rescale(of_rule, start)
    backwards = jax.tree.map(lambda leaf: leaf[::-1], trajectory)
    return jax.lax.scan(body, (*first, 0), backwards)[1]


def pattern(cell: Cell, params: Params, trajectory: Trajectory) -> Array:
    """Which entries of I_t (n, P) are not zero at one step at least; those of a complex number go together."""

    def body(found: Array, at_t: Trajectory) -> tuple[Array, None]:
        immediate = jax.jacrev(partial(_after, cell, params, at_t))(numbers(params), numbers(at_t.before))
        return found | (immediate != 0), None

    state = jax.tree.map(lambda leaf: leaf[0], trajectory.before)
    zeros = jnp.zeros((numbers(state).size, numbers(params).size), bool)
    found = jax.lax.scan(body, zeros, trajectory)[0].T.astype(numbers(state).dtype)
    magnitudes = jax.tree.map(jnp.abs, from_columns(found, walk.differentiable(state), leading=0))
    both = jax.tree.map(
        lambda size, leaf: jax.lax.complex(size, size) if jnp.iscomplexobj(leaf) else size,
        magnitudes,
        walk.differentiable(state),
    )
    return as_columns(both, leading=1).T > 0


def uoro(cell: Cell, params: Params, trajectory: Trajectory, asked: Credit, signs: Array) -> Array:
    """One draw of Ĝ(k) (T, P), the last step first, by unbiased online recurrent optimisation.

    M_t ≈ a_t b_tᵀ:  a_t = ρ J_t a_tm1 + σ ν_t,  b_t = b_tm1 / ρ + I_tᵀ ν_t / σ
    ρ² = ‖b_tm1‖ / ‖J_t a_tm1‖,  σ² = ‖I_tᵀ ν_t‖ / ‖ν_t‖

    Step t's part of b_{T-1} is I_tᵀ ν_t / (σ_t ρ_{t+1} ⋯ ρ_{T-1}). No ρ_t depends on ν_t and σ_t is even in it, so the
    expectation over signs ν is G(k) at each lag, not only in the sum.

    The signs ν (T, n) are -1 or 1.

    References: Tallec & Ollivier (2018), algorithm 1 and proposition 1.
    """

    def ratio(over: Array, under: Array) -> Array:
        some = (over > 0) & (under > 0)  # at the first step there is nothing to balance
        return jnp.where(some, jnp.sqrt(jnp.where(some, over, 1) / jnp.where(some, under, 1)), 1)

    def body(carried: tuple[Array, Array], at_t: tuple[Trajectory, Array]) -> Any:
        (a, b), (used, sign) = carried, at_t
        theta, state = numbers(params), numbers(used.before)
        step = partial(_after, cell, params, used)
        pushed = jax.jvp(partial(step, theta), (state,), (a,))[1]  # J_t a
        (drawn,) = jax.vjp(lambda theta: step(theta, state), theta)[1](sign)  # I_tᵀ ν
        rho = ratio(jnp.linalg.norm(b), jnp.linalg.norm(pushed))
        sigma = ratio(jnp.linalg.norm(drawn), jnp.linalg.norm(sign))
        return (rho * pushed + sigma * sign, b / rho + drawn / sigma), (drawn, rho, sigma)

    zeros = jnp.zeros_like(asked.adjoint), jnp.zeros_like(asked.direct)
    (a, _), (drawn, rho, sigma) = jax.lax.scan(body, zeros, (trajectory, signs))
    after = jnp.cumsum(jnp.log(rho)[::-1])[::-1] - jnp.log(rho)  # Σ of ln ρ over the steps after each
    parts = drawn * (jnp.exp(-after) / sigma * jnp.dot(asked.adjoint, a))[:, None]
    return parts[::-1].at[0].add(asked.direct)


def _after(cell: Cell, params: Params, at_t: Trajectory, theta: Array, state: Array, *, cut: bool = False) -> Array:
    """s_t (n,) as a function of θ (P,) and s_tm1 (n,); `cut` holds the carry fixed that the products read."""
    of_theta, before = _with(params, theta), _with(at_t.before, state)
    u = cell.project(of_theta, at_t.x)
    v = cell.recur(of_theta, jax.lax.stop_gradient(before) if cut else before, u)
    return numbers(walk.where_valid(None, cell.pointwise(of_theta, before, u, v), before))


def _with(tree: Any, values: Array) -> Any:
    """The tree with these real numbers in it."""
    return walk.merge(from_columns(values, walk.differentiable(tree), leading=0), tree)


def _pull(cell: Cell, params: Params, at_t: Trajectory, adjoint: Array, *, cut: bool = False) -> tuple[Array, Array]:
    """I_tᵀ δ_t (P,) and A_tᵀ δ_t (n,)."""
    step = partial(_after, cell, params, at_t, cut=cut)
    return jax.vjp(step, numbers(params), numbers(at_t.before))[1](adjoint)


def _pull_masked(cell: Cell, params: Params, at_t: Trajectory, adjoint: Array, mask: Array) -> tuple[Array, Array]:
    """The same of an adjoint (n, P) per parameter, whose entries outside the mask are dropped."""
    step = partial(_after, cell, params, at_t)
    immediate, jacobian = jax.jacrev(step, argnums=(0, 1))(numbers(params), numbers(at_t.before))  # (n, P), (n, n)
    return jnp.sum(immediate * adjoint, axis=0), jnp.where(mask, jacobian.T @ adjoint, 0)
