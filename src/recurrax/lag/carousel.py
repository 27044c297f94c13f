"""The carousel: how much of a gradient stays on the memory's own path and never passes a recurrent product."""

from functools import partial
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


class CarouselShare(NamedTuple):
    """The adjoint by the direct path alone beside the whole adjoint, (T, *batch) each.

    lag: (T,) ints 0..T-1.
    log_norm: ln of the norm by the direct path; -inf where nothing takes it.
    log_norm_whole: ln of the norm by all paths.
    log_share: ln of their ratio; above 0 where the paths cancel, NaN where both are zero.
    cosine: between the two, in -1..1; NaN where either is zero.
    """

    lag: Array
    log_norm: Array
    log_norm_whole: Array
    log_share: Array
    cosine: Array
    at = at
    _repr_html_ = html


@takes_layers
def carousel_share(
    cell: Cell,
    params: Params,
    xs: Any,
    cotangent: Array | None = None,
    carry: Carry | None = None,
    *,
    lengths: Array | None = None,
    loss: Loss | None = None,
    field: str | None = None,
) -> CarouselShare:
    """Compares δs_tm1 = J_tᵀ δs_t with δ'_tm1 = (∂s_t/∂s_tm1)ᵀ δ'_t in which v_t = recur(θ, s_tm1, u_t) is held fixed.

    Every product with the carry is held fixed, inside gates and candidates alike. What is left of an LSTM is
    c_tm1 → c_t with factor f_t, Π f over k steps; of a GRU h_tm1 → h_t with z_t; of an Elman network nothing. The two
    parts, Π f and the paths through h, are the A and B of h-detach.

    Args:
        cell: any cell of the contract, or a layer of Flax, see `recurrax.lag`.
        params: its parameters, finite.
        xs: (T, *batch, D) inputs, or any tree of arrays (T, *batch, ...) that the cell reads.
        cotangent: (*batch, H) for the last output or (T, *batch, H) for every one; ones for the last if None.
        carry: the carry before the first step; the cell's initial carry if None.
        lengths: (*batch,) ints in 0..T; lag 0 is then each row's own last step.
        loss: L as a function of the outputs (T, *batch, H) to a scalar, in place of a cotangent.
        field: the carry field to compare; the whole carry if None.

    Raises:
        ValueError: an unknown field, or what `adjoint_profile` refuses.

    References: Hochreiter & Schmidhuber (1997) for the carousel; Arpit et al. (2019) for cutting the paths through h.

    >>> import recurrax
    >>> cell = recurrax.LSTM(4)
    >>> params = cell.init(jax.random.key(0), input_size=2)
    >>> share = recurrax.lag.carousel_share(cell, params, jnp.ones((30, 2)), field="c")
    >>> bool((abs(share.cosine[1:]) <= 1).all()), share.log_share.shape
    (True, (30,))
    """
    carry, valid = arguments.check(cell, params, xs, carry, lengths)
    arguments.check_field(carry, field)
    cotangent = arguments.output_cotangent(cell, params, xs, carry, valid, cotangent, loss)
    return _share(cell, field, params, xs, cotangent, carry, valid, lengths)


@partial(code.jit, static_argnums=(0, 1))
def _share(
    cell: Cell,
    field: str | None,
    params: Params,
    xs: Any,
    cotangent: Array,
    carry: Carry,
    valid: Array | None,
    lengths: Array | None,
) -> CarouselShare:
    def read(_: None, at_t: Trajectory, adjoint: ScaledVector, __: Array | None) -> tuple[None, ScaledVector]:
        return None, scaled.rescale(arguments.part(adjoint.value, field), adjoint.exponent)

    steps, batch_shape = arguments.sequence_shape(cell, params, xs)
    with jax.default_matmul_precision("highest"):
        trajectory, last = walk.record(cell, params, xs, carry, valid)
        back = partial(walk.walk_back, cell, params, trajectory, last, cotangent, len(batch_shape), read)
        # Trick: both walks go over one recorded trajectory; its products are made once.
        whole, direct = back()[2], back(before=walk.direct_adjoint_before)[2]  # exponents (T, *batch)
    norms = scaled.log_norm_joint(direct), scaled.log_norm_joint(whole), scaled.cosine(direct, whole)
    log_norm, log_norm_whole, cosine = (walk.by_lag(norm, lengths) for norm in norms)
    # -inf less -inf, where nothing arrives by any path, is NaN as it should be.
    return CarouselShare(jnp.arange(steps), log_norm, log_norm_whole, log_norm - log_norm_whole, cosine)
