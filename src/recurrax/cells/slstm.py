"""The sLSTM of xLSTM: exponential gates that compete, and heads."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from recurrax.cells import initializers
from recurrax.cells.gated import Gated
from recurrax.cells.products import project_gates
from recurrax.typing import Array, DTypeLike, Key, Shape

__all__ = ["SLSTM", "SLSTMCarry", "SLSTMParams"]


class SLSTMParams(NamedTuple):
    """kernel W (D, 4, H), recurrent_kernel U (N, H/N, 4, H/N), bias b (4, H); gates in the order i, f, g, o."""

    kernel: Array
    recurrent_kernel: Array
    bias: Array


class SLSTMCarry(NamedTuple):
    """h (*batch, H), what the layer above sees; c (*batch, H), the memory; weight (*batch, H), log of all written."""

    h: Array
    c: Array
    weight: Array


@dataclass(frozen=True)
class SLSTM(Gated[SLSTMParams, SLSTMCarry]):
    """c_t = (1 - w_t) c_tm1 + w_t tanh(g_t),  w_t = exp(i_t - n_t)
    n_t = log(σ(f_t) exp(n_tm1) + exp(i_t))
    h_t = σ(o_t) c_t,  y_t = h_t

    with i, f, g, o = x_t W + h_tm1 U + b, each head's units seeing their own head alone. c is the mean of all that was
    written, weighted by exp(i) and what the forget gates left of it; n, the field `weight`, is the log of the weights'
    sum, so no exponential overflows.

    Fields: `hidden_size` H; `heads` N, a divisor of H; `forget_bias` is added to the drawn bias of f; initialisers per
    `recurrax.cells.initializers`.

    Differs from: Beck et al. keep c and n times exp(-m) with a running maximum m; their c/n is this c, their
    log n + m this n, h is the same, and gradients do not depend on where m happens to stand. They start f's bias
    between 3 and 6 and have convolutions and norms around the cell. exp for f is left out.
    Gradient: along the memory alone ∂c_t/∂c_tm1 = diag(1 - w_t), and k of those are the product of k forget gates times
    exp(n_tmk - n_t): what is written later dilutes what was there.

    References: Beck et al. (2024), xLSTM, eqs. 8-17.

    >>> params = SLSTM(4, heads=2).init(jax.random.key(0), input_size=3)
    >>> params.recurrent_kernel.shape
    (2, 2, 4, 2)
    """

    heads: int = 1
    forget_bias: float = 3.0

    def __post_init__(self):
        super().__post_init__()
        initializers.check_heads(self.heads, self.hidden_size)
        initializers.check_finite("forget_bias", self.forget_bias)

    def init(self, key: Key, input_size: int, dtype: DTypeLike = jnp.float32) -> SLSTMParams:
        keys = jax.random.split(key, 3)
        kernel, bias = self.draw_input(keys[:2], 4, input_size, dtype)
        size = self.hidden_size // self.heads
        per_head = jax.random.split(keys[2], self.heads)
        drawn = [self.draw_recurrent(k, size, 4, size, dtype) for k in per_head]
        return SLSTMParams(kernel, jnp.stack(drawn), bias.at[1].add(self.forget_bias))

    def initial_carry(self, params: SLSTMParams, batch_shape: Shape, dtype: DTypeLike) -> SLSTMCarry:
        h, c, weight = self.zeros(3, batch_shape, dtype)
        # The log of nothing written, as a number: of minus infinity derivatives are not.
        return SLSTMCarry(h=h, c=c, weight=weight + jnp.finfo(dtype).min / 2)

    def project(self, params: SLSTMParams, x: Array) -> tuple[Array, ...]:
        return project_gates(x, params.kernel, params.bias)

    def recur(self, params: SLSTMParams, carry: SLSTMCarry, u: tuple[Array, ...]) -> tuple[Array, ...]:
        U, batch_shape = params.recurrent_kernel, carry.h.shape[:-1]
        h = carry.h.reshape(*batch_shape, self.heads, -1).astype(U.dtype)
        wide = jnp.promote_types(U.dtype, jnp.float32)
        v = jnp.einsum("...nd,ndge->...gne", h, U, preferred_element_type=wide)  # (*batch, 4, N, H/N)
        v = v.reshape(*batch_shape, 4, self.hidden_size)
        return tuple(u_g + v[..., g, :] for g, u_g in enumerate(u))

    def pointwise(
        self, params: SLSTMParams, carry: SLSTMCarry, u: tuple[Array, ...], v: tuple[Array, ...]
    ) -> SLSTMCarry:
        i, f, g, _ = v
        weight = jnp.logaddexp(jax.nn.log_sigmoid(f) + carry.weight, i)
        w = jnp.exp(i - weight)
        c = (1 - w) * carry.c + w * jnp.tanh(g)
        return self.expose(params, SLSTMCarry(h=carry.h, c=c, weight=weight), v)

    def expose(self, params: SLSTMParams, carry: SLSTMCarry, v: tuple[Array, ...]) -> SLSTMCarry:
        """The carry formed from its memory alone: h = σ(o) c."""
        return carry._replace(h=jax.nn.sigmoid(v[3]) * carry.c)
