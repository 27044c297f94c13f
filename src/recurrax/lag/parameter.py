"""The parameter gradient G(k): what the step k steps ago adds to the gradient the optimiser sees."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from recurrax import code, norms
from recurrax.kernels import scan
from recurrax.lag import arguments, outer, scaled, walk
from recurrax.lag.layers import takes_layers
from recurrax.lag.notebook import html
from recurrax.lag.scaled import ScaledVector
from recurrax.lag.stack import at
from recurrax.lag.walk import Loss, Trajectory
from recurrax.typing import Array, Carry, Cell, Params


class ParameterProfile(NamedTuple):
    """What each step adds to ∂L/∂θ, row by row of the batch.

    lag: (T,) ints 0..T-1, steps back from each row's last step.
    log_norm: params with (T, *batch) in place of each leaf, ln ‖G_leaf(k)‖; None for integers, bools and keys.
    log_norm_joint: (T, *batch), all parameters together.
    horizon: (*batch), Σ_k k ‖G(k)‖ / Σ_k ‖G(k)‖ in steps: how far back the gradient looks.
    gradient: params, Σ_k G(k) summed over rows, which is ∂L/∂θ; None for integers, bools and keys.

    -inf is a norm that is zero; NaN marks the lags a row is too short for.
    """

    lag: Array
    log_norm: Params
    log_norm_joint: Array
    horizon: Array
    gradient: Params
    at = at
    _repr_html_ = html


@takes_layers
def parameter_profile(
    cell: Cell,
    params: Params,
    xs: Any,
    cotangent: Array | None = None,
    carry: Carry | None = None,
    *,
    lengths: Array | None = None,
    loss: Loss | None = None,
) -> ParameterProfile:
    """Measures G(k) = (∂s_t/∂θ)ᵀ δs_t + (∂y_t/∂θ)ᵀ ∂L/∂y_t at t = T-1-k, for one row each: Σ_k G(k) = ∂L/∂θ.

    ∂y_t/∂θ holds s_t fixed: what `output` does with parameters, and with the projection, of its own.

    For a dense kernel ‖G(k)‖_F = ‖δ_pre(t)‖ ‖h_tm1‖, and so it is computed; a gradient that is no outer product exists
    for one step at a time, a copy per row. A carry learned by the cell adds its share to `gradient` and to no lag.

    Args:
        cell: any cell of the contract, or a layer of Flax, see `recurrax.lag`.
        params: its parameters, finite.
        xs: (T, *batch, D) inputs, or any tree of arrays (T, *batch, ...) that the cell reads.
        cotangent: (*batch, H) for the last output or (T, *batch, H) for every one; ones for the last if None.
        carry: the carry before the first step; the cell's initial carry if None.
        lengths: (*batch,) ints in 0..T; lag 0 is then each row's own last step.
        loss: L as a function of the outputs (T, *batch, H) to a scalar, in place of a cotangent.

    Raises:
        ValueError: an argument has the wrong shape, dtype or structure, or params is not finite.

    References: Werbos (1990) for the sum over steps; Pascanu, Mikolov & Bengio (2013), eq. 4, for its terms.

    >>> import recurrax
    >>> cell = recurrax.LSTM(4)
    >>> params = cell.init(jax.random.key(0), input_size=2)
    >>> profile = recurrax.lag.parameter_profile(cell, params, jnp.ones((30, 3, 2)))
    >>> profile.log_norm.kernel.shape, profile.horizon.shape, profile.gradient.kernel.shape
    ((30, 3), (3,), (2, 4, 4))
    """
    start, valid = arguments.check(cell, params, xs, carry, lengths)
    cotangent = arguments.output_cotangent(cell, params, xs, start, valid, cotangent, loss)
    return _profile(cell, carry is None, params, xs, cotangent, start, valid, lengths)


@partial(code.jit, static_argnums=(0, 1))
def _profile(
    cell: Cell,
    carry_is_initial: bool,
    params: Params,
    xs: Any,
    cotangent: Array,
    carry: Carry,
    valid: Array | None,
    lengths: Array | None,
) -> ParameterProfile:
    steps, batch_shape = arguments.sequence_shape(cell, params, xs)

    def read(memo: None, at_t: Trajectory, adjoint: ScaledVector, cotangent: Array) -> tuple[None, tuple]:
        adjoint = adjoint._replace(value=walk.zero_padding(at_t.valid, adjoint.value))
        both = scaled.join(adjoint, ScaledVector(cotangent, jnp.zeros_like(adjoint.exponent)))
        of_row = partial(outer.log_norms, partial(_gradient, cell, params))
        for _ in batch_shape:
            of_row = jax.vmap(of_row)
        log_norm = of_row(at_t._replace(valid=None), both.value)
        log_norm = jax.tree.map(lambda log: log + scaled.log_scale(both, log.dtype), log_norm)
        # In logarithms, since the norms themselves are below any float's range.
        joint = norms.log_joint(jnp.stack(jax.tree.leaves(log_norm)), axis=0)  # (*batch)
        return memo, (log_norm, joint)

    def outputs(params: Params) -> Array:
        return scan(cell, params, xs, None if carry_is_initial else carry, lengths=lengths).outputs

    with jax.default_matmul_precision("highest"):
        trajectory, last = walk.record(cell, params, xs, carry, valid)
        # The output's own parameters act at the steps the loss reads, so every step is told what it is to read.
        if cotangent.ndim == arguments.output_like(cell, params, xs, carry).ndim:
            cotangent = walk.at_every_step(cotangent, steps, valid)
        by_step = walk.walk_back(cell, params, trajectory, last, cotangent, len(batch_shape), read)[2]
        (gradient,) = walk.vjp(outputs, params)(cotangent)
    log_norm, joint = jax.tree.map(lambda norm: walk.by_lag(norm, lengths), by_step)
    return ParameterProfile(jnp.arange(steps), log_norm, joint, effective_horizon(joint), gradient)


def effective_horizon(log_norm: Array) -> Array:
    """Σ_k k e^{log_norm(k)} / Σ_k e^{log_norm(k)} in steps, (T, *batch) to (*batch); lags that are NaN do not count."""
    weight = jax.nn.softmax(jnp.where(jnp.isnan(log_norm), -jnp.inf, log_norm), axis=0)
    lag = jnp.arange(log_norm.shape[0], dtype=log_norm.dtype)
    return jnp.tensordot(lag, weight, axes=1)


def _gradient(cell: Cell, params: Params, at_t: Trajectory, adjoints: tuple[Carry, Array]) -> Params:
    """(∂s_t/∂θ)ᵀ δs_t + (∂y_t/∂θ)ᵀ ∂L/∂y_t of one row, in at least float32."""
    x, before, u, v, _ = at_t

    def rest(params: Params, u: Any, v: Any) -> tuple[Carry, Array]:
        after = walk.where_valid(None, cell.pointwise(params, before, u, v), before)
        # What reaches the loss through s_t is in δs_t already.
        return after, cell.output(params, jax.lax.stop_gradient(after), u)

    # Part by part from what was recorded, so that no product is computed again.
    direct, u_adjoint, v_adjoint = walk.vjp(rest, params, u, v)(adjoints)
    through_v, beside = walk.vjp(lambda params, u: cell.recur(params, before, u), params, u)(v_adjoint)
    (through_u,) = walk.vjp(lambda params: cell.project(params, x), params)(jax.tree.map(jnp.add, u_adjoint, beside))
    gradient = jax.tree.map(lambda *parts: sum(parts[1:], parts[0]), direct, through_v, through_u)
    return jax.tree.map(lambda g: g.astype(_wide(g)), gradient)


def _wide(leaf: Any) -> Any:
    return jnp.promote_types(leaf.dtype, jnp.float32)
