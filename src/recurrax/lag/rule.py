"""The gradient lost by lag: what a learning rule keeps of the parameter gradient of each step."""

from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from recurrax import code, norms
from recurrax.kernels.columns import from_columns
from recurrax.lag import arguments, scaled, walk
from recurrax.lag.credit import RULES, Credit, credit, pattern, uoro, walk_back
from recurrax.lag.layers import takes_layers
from recurrax.lag.notebook import html
from recurrax.lag.scaled import ScaledVector
from recurrax.lag.stack import at
from recurrax.lag.walk import Trajectory
from recurrax.typing import Array, Carry, Cell, Key, Params

Rule: TypeAlias = Literal["truncated", "snap-1", "e-prop", "uoro"]


class RuleProfile(NamedTuple):
    """Ĝ(k), what a learning rule takes the step k steps before the loss to add to ∂L/∂θ, beside G(k), what it adds.

    lag: (T,) ints 0..T-1, steps back from the last one.
    log_norm_joint: (T, *batch), ln ‖E Ĝ(k)‖, all parameters together.
    log_exact: (T, *batch), ln ‖G(k)‖.
    log_bias: (T, *batch), ln ‖E Ĝ(k) - G(k)‖.
    log_deviation: (T, *batch), ½ ln E ‖Ĝ(k) - E Ĝ(k)‖², of one draw; -inf for rules without chance.
    share: (T, *batch), ⟨E Ĝ(k), G(k)⟩ / ‖G(k)‖²: 1 where all is kept, 0 where all is lost; NaN where G(k) is 0.
    gradient: params, Σ_k E Ĝ(k) summed over rows; None for integers, bools and keys.

    -inf is a norm that is zero. With chance, E is a mean over the draws: a bias of no more than
    log_deviation - ½ ln draws is chance.
    """

    lag: Array
    log_norm_joint: Array
    log_exact: Array
    log_bias: Array
    log_deviation: Array
    share: Array
    gradient: Params
    at = at
    _repr_html_ = html


@takes_layers
def rule_profile(
    cell: Cell,
    params: Params,
    xs: Any,
    rule: Rule,
    cotangent: Array | None = None,
    carry: Carry | None = None,
    *,
    window: int | None = None,
    draws: int | None = None,
    key: Key | None = None,
) -> RuleProfile:
    """Measures what a learning rule keeps of G(k), for a loss of the last output: bias and deviation at each lag.

    With M_t = ∂s_t/∂θ = J_t M_tm1 + I_t, J_t = ∂s_t/∂s_tm1 and I_t = ∂s_t/∂θ at fixed s_tm1, the exact gradient is
    M_{T-1}ᵀ ∂L/∂s_{T-1}, and step T-1-k adds G(k) = (J_{T-1} ⋯ J_{T-k} I_{T-1-k})ᵀ ∂L/∂s_{T-1}; see
    `parameter_profile`. What a rule has instead of M_t:

    truncated: backpropagation through the last `window` steps: G(k) for k < window, 0 beyond.
    snap-1: M_t = (J_t M_tm1 + I_t) where I_t has an entry at some step, 0 elsewhere: no parameter is followed into
    units that it does not act on itself. Exact where units do not see each other.
    e-prop: M_t = D_t M_tm1 + I_t, where D_t = ∂s_t/∂s_tm1 with the cell's products v_t = recur(θ, s_tm1, u_t) held
    fixed: credit stays on the unit's own path. The learning signal ∂L/∂s_{T-1} is exact (symmetric e-prop).
    uoro: M_t = a_t b_tᵀ of rank one by random signs, unbiased at every lag.

    One walk forward and one back; "snap-1" holds n P numbers per row, n the size of the state and P of the parameters,
    and costs n² P at a step, "uoro" holds T P and walks forward once for each draw. Gradients of
    other instruments are checked, those of this one are not.

    Args:
        cell: any cell of the contract, or a layer of Flax, see `recurrax.lag`.
        params: its parameters, finite.
        xs: (T, *batch, D) inputs without padding, or any tree of arrays (T, *batch, ...) that the cell reads.
        rule: "truncated", "snap-1", "e-prop" or "uoro".
        cotangent: (*batch, H) for the last output; ones if None.
        carry: the carry before the first step; the cell's initial carry if None.
        window: K >= 1 steps, of "truncated" alone.
        draws: N >= 2, of "uoro" alone.
        key: draws the signs of "uoro".

    Raises:
        ValueError: an unknown rule, what another rule needs or what this one lacks, a cotangent for every output, or
            what `parameter_profile` refuses.

    References: Williams & Peng (1990) for truncation; Menick et al. (2021), SnAp with n = 1; Bellec et al. (2020),
    eqs. 13, 14; Tallec & Ollivier (2018), algorithm 1.

    >>> import recurrax
    >>> cell = recurrax.LSTM(4)
    >>> params, xs = cell.init(jax.random.key(0), input_size=2), jax.random.normal(jax.random.key(1), (12, 3, 2))
    >>> profile = recurrax.lag.rule_profile(cell, params, xs, "truncated", window=5)
    >>> profile.share[:, 0].round(3).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    start, _ = arguments.check(cell, params, xs, carry)
    _check(rule, window, draws, key)
    like = arguments.output_like(cell, params, xs, start)
    cotangent = arguments.output_cotangent(cell, params, xs, start, None, cotangent, None)
    if cotangent.shape != like.shape:
        raise ValueError(f"cotangent: expected that of the last output, {like.shape}, got {cotangent.shape}")
    return _profile(cell, rule, window or 0, draws or 0, params, xs, cotangent, start, key)


def _check(rule: str, window: int | None, draws: int | None, key: Key | None) -> None:
    if rule not in RULES:
        raise ValueError(f"rule: expected one of {', '.join(RULES)}, got {rule!r}")
    for name, value, owner, least in (("window", window, "truncated", 1), ("draws", draws, "uoro", 2)):
        if rule == owner and (not isinstance(value, int) or value < least):
            raise ValueError(f"{name}: expected an int of at least {least} for {rule!r}, got {value!r}")
        if rule != owner and value is not None:
            raise ValueError(f"{name}: expected None, it is of {owner!r} alone, got {value!r} for {rule!r}")
    if (key is None) == (rule == "uoro"):
        raise ValueError(f"key: expected one for 'uoro' and none for other rules, got {key!r} for {rule!r}")


@partial(code.jit, static_argnums=(0, 1, 2, 3))
def _profile(
    cell: Cell,
    rule: str,
    window: int,
    draws: int,
    params: Params,
    xs: Any,
    cotangent: Array,
    carry: Carry,
    key: Key | None,  # of "uoro" alone
) -> RuleProfile:
    steps, batch_shape = arguments.sequence_shape(cell, params, xs)
    count = int(np.prod(batch_shape))
    with jax.default_matmul_precision("highest"):
        trajectory, last = walk.record(cell, params, xs, carry, None)
        # The rows on one axis in front of all others.
        rows = jax.tree.map(
            lambda leaf: jnp.moveaxis(leaf.reshape(steps, count, *leaf.shape[1 + len(batch_shape) :]), 1, 0), trajectory
        )
        last, cotangent = jax.tree.map(
            lambda leaf: leaf.reshape(count, *leaf.shape[len(batch_shape) :]), (last, cotangent)
        )
        x_last = jax.tree.map(lambda leaf: leaf[:, -1], rows.x)
        asked = jax.vmap(partial(credit, cell, params))(last, x_last, cotangent)
        mask = jax.vmap(partial(pattern, cell, params))(rows).any(axis=0) if rule == "snap-1" else None
        # Chance needs the exact terms alone, which a window as long as the sequence gives.
        plain, window = ("truncated", steps) if rule == "uoro" else (rule, window)
        exact, found = jax.vmap(lambda row, asked: walk_back(cell, params, plain, window, row, asked, mask))(
            rows, asked
        )
        log_deviation = jnp.full((count, steps), -jnp.inf, exact.value.dtype)
        if key is not None:
            keys = jax.random.split(key, count)
            over_draws = jax.vmap(
                lambda key, row, asked, exact: _over_draws(cell, draws, params, key, row, asked, exact)
            )
            found, log_deviation = over_draws(keys, rows, asked, exact)
    bias = scaled.add(found, ScaledVector(-exact.value, exact.exponent))
    logs = [scaled.log_norm_joint(term) for term in (found, exact, bias)]
    share = scaled.cosine(found, exact) * jnp.exp(logs[0] - logs[1])
    # A rule that keeps nothing has no direction; where G(k) is 0 there is nothing to keep.
    share = jnp.where(jnp.isneginf(logs[1]), jnp.nan, jnp.where(jnp.isneginf(logs[0]), 0, share))
    total = scaled.times_power(found.value, found.exponent).sum(axis=(0, 1))
    fields = jax.tree.map(
        lambda field: jnp.moveaxis(field, 0, 1).reshape(steps, *batch_shape), [*logs, log_deviation, share]
    )
    gradient = from_columns(total, walk.differentiable(params), leading=0)
    return RuleProfile._make([jnp.arange(steps), *fields, gradient])


def _over_draws(
    cell: Cell, draws: int, params: Params, key: Key, row: Trajectory, asked: Credit, exact: ScaledVector
) -> tuple[ScaledVector, Array]:
    """The mean over draws of Ĝ(k), values (T, P), and the log of one draw's deviation (T,)."""
    truth = scaled.times_power(exact.value, exact.exponent)
    shape = len(truth), asked.adjoint.size

    def body(sums: tuple[Array, Array], key: Key) -> tuple[tuple[Array, Array], None]:
        signs = jax.random.rademacher(key, shape, truth.dtype)
        # From the truth: a mean of squares less a squared mean would cancel.
        error = uoro(cell, params, row, asked, signs) - truth
        return (sums[0] + error, sums[1] + jnp.square(error)), None

    zeros = jnp.zeros_like(truth)
    (total, squares), _ = jax.lax.scan(body, (zeros, zeros), jax.random.split(key, draws))
    bias = total / draws
    variance = jnp.maximum(squares / draws - jnp.square(bias), 0) * draws / (draws - 1)
    found = jax.vmap(scaled.rescale)(truth + bias, jnp.zeros(len(truth), jnp.int32))
    return found, norms.log_norm(jnp.sqrt(variance), axis=1)
