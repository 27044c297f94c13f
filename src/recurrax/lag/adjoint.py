"""The adjoint norm A(k): how much a change of the state k steps ago changes the loss now."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from recurrax import code
from recurrax.lag import arguments, scaled, walk
from recurrax.lag.layers import takes_layers
from recurrax.lag.notebook import html
from recurrax.lag.scaled import ScaledVector
from recurrax.lag.stack import at
from recurrax.lag.walk import Loss, Trajectory
from recurrax.typing import Array, Carry, Cell, Params


class LagProfile(NamedTuple):
    """Natural logs of gradient norms by lag.

    lag: (T,) ints 0..T-1, steps back from each row's last step.
    log_norm: a carry with an array (T, *batch) for each field, ln ‖∂L/∂field‖ with the other fields held fixed; None
        for integers, bools and keys, which have no gradient.
    log_norm_joint: (T, *batch), all fields together.
    log_norm_bptt: (T, *batch), ln ‖dL/dc‖ with h formed from the changed c; None for cells without a memory cell.

    -inf is a norm that is zero; NaN marks the lags a row is too short for.
    """

    lag: Array
    log_norm: Carry
    log_norm_joint: Array
    log_norm_bptt: Array | None
    at = at
    _repr_html_ = html


@takes_layers
def adjoint_profile(
    cell: Cell,
    params: Params,
    xs: Any,
    cotangent: Array | None = None,
    carry: Carry | None = None,
    *,
    lengths: Array | None = None,
    loss: Loss | None = None,
) -> LagProfile:
    """Measures ln A(k) = ln ‖∂L/∂s_{T-1-k}‖₂ for L = ⟨cotangent, y_{T-1}⟩ at every lag k, in one backward walk.

    δs_{T-1} = (∂y_{T-1}/∂s_{T-1})ᵀ ∂L/∂y_{T-1},  δs_tm1 = J_tᵀ δs_t + (∂y_tm1/∂s_tm1)ᵀ ∂L/∂y_tm1,  J_t = ∂s_t/∂s_tm1

    δs is kept as a vector near 1 and a power of two, per row of the batch, so no lag underflows: float32 reaches
    1e-403 and far beyond. A unit so saturated that its derivative rounds to 0 counts as 0.

    Two readings of a memory cell's gradient exist. `log_norm.c` is the state adjoint: h_t and c_t are perturbed
    independently. `log_norm_bptt` is the classic one, dL/dc_t = δc_t + (∂h_t/∂c_t)ᵀ δh_t, c_t being perturbed before
    h_t is formed; it is measured for cells with a method `expose(params, carry, v) -> carry`, which forms a carry from
    its memory alone (see `LSTM.expose`).

    Args:
        cell: any cell of the contract, or a layer of Flax, see `recurrax.lag`.
        params: its parameters, finite.
        xs: (T, *batch, D) inputs, or any tree of arrays (T, *batch, ...) that the cell reads.
        cotangent: (*batch, H), the gradient of the loss with respect to the last output; ones if None. With one more
            axis in front, (T, *batch, H), with respect to every output: L = Σ_t ⟨cotangent_t, y_t⟩, zeros where it
            does not look.
        carry: the carry before the first step; the cell's initial carry if None.
        lengths: (*batch,) ints in 0..T; lag 0 is then each row's own last step.
        loss: L as a function of the outputs (T, *batch, H) to a scalar, in place of a cotangent.

    Returns:
        A LagProfile in the carry's dtype.

    Raises:
        ValueError: an argument has the wrong shape, dtype or structure, or params is not finite.

    References: Pascanu, Mikolov & Bengio (2013), eqs. 3-5; Gers, Schmidhuber & Cummins (2000) for the classic reading.

    >>> import recurrax
    >>> cell = recurrax.LSTM(4)
    >>> params = jax.tree.map(jnp.zeros_like, cell.init(jax.random.key(0), input_size=2))
    >>> profile = recurrax.lag.adjoint_profile(cell, params, jnp.ones((1000, 3, 2)))
    >>> profile.log_norm_bptt.shape, round(float(profile.log_norm_bptt[999, 0] - profile.log_norm_bptt[0, 0]), 2)
    ((1000, 3), -692.45)
    """
    carry, valid = arguments.check(cell, params, xs, carry, lengths)
    cotangent = arguments.output_cotangent(cell, params, xs, carry, valid, cotangent, loss)
    return _profile(cell, params, xs, cotangent, carry, valid, lengths)


@code.jit
def _profile(
    cell: Cell, params: Params, xs: Any, cotangent: Array, carry: Carry, valid: Array | None, lengths: Array | None
) -> LagProfile:
    def read(_: None, at_t: Trajectory, adjoint: ScaledVector, __: Array | None) -> tuple[None, tuple]:
        norms = scaled.log_norms(adjoint), scaled.log_norm_joint(adjoint), _classic(cell, params, at_t, adjoint)
        return None, norms

    steps, batch_shape = arguments.sequence_shape(cell, params, xs)

    # Reduced-precision products bend slopes near the critical point; an accelerator uses them unless told not to.
    with jax.default_matmul_precision("highest"):
        trajectory, last = walk.record(cell, params, xs, carry, valid)
        _, _, by_step = walk.walk_back(cell, params, trajectory, last, cotangent, len(batch_shape), read)
    log_norm, joint, classic = jax.tree.map(lambda norm: walk.by_lag(norm, lengths), by_step)
    return LagProfile(jnp.arange(steps), log_norm, joint, classic)


def _classic(cell: Cell, params: Params, at_t: Trajectory, adjoint: ScaledVector) -> Array | None:
    """Ln ‖dL/dc_t‖: the adjoint of the whole carry pulled back through the forming of that carry from its memory."""
    expose = getattr(cell, "expose", None)
    if expose is None:
        return None
    # (∂(h, c)/∂c)ᵀ (δh, δc) = δc + (∂h/∂c)ᵀ δh; of h itself nothing is asked, since it follows c.
    after = walk.carry_after(cell, params, at_t)
    pull = walk.vjp(lambda carry: walk.where_valid(None, expose(params, carry, at_t.v), carry), after)
    (total,) = pull(adjoint.value)
    return scaled.log_norm_joint(scaled.rescale(total, adjoint.exponent))
