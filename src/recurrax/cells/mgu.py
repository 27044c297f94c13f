"""The minimal gated unit, one gate that forgets and resets."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from recurrax.cells.gated import Gated
from recurrax.cells.products import project_gates, recur_gates
from recurrax.typing import Array, DTypeLike, Key, Shape

__all__ = ["MGU", "MGUCarry", "MGUParams"]


class MGUParams(NamedTuple):
    """kernel W (D, 2, H), recurrent_kernel U (H, 2, H), bias b (2, H); gates in the order f, n."""

    kernel: Array
    recurrent_kernel: Array
    bias: Array


class MGUCarry(NamedTuple):
    """h (*batch, H)."""

    h: Array


@dataclass(frozen=True)
class MGU(Gated[MGUParams, MGUCarry]):
    """h_t = (1 - f_t) h_tm1 + f_t n_t, y_t = h_t, with

    f_t = σ(x_t W_f + h_tm1 U_f + b_f),  n_t = tanh(x_t W_n + (f_t h_tm1) U_n + b_n)

    Fields: `hidden_size` H; initialisers per `recurrax.cells.initializers`.

    Differs from: a GRU has two gates where this has one.
    Gradient: along the unit alone ∂h_t/∂h_tm1 = diag(1 - f_t), which is 1/2 per step where f has no bias.

    References: Zhou, Wu, Zhang & Zhou (2016), International Journal of Automation and Computing 13(3).
    """

    def init(self, key: Key, input_size: int, dtype: DTypeLike = jnp.float32) -> MGUParams:
        return MGUParams(*self.draw(jax.random.split(key, 3), 2, input_size, dtype))

    def initial_carry(self, params: MGUParams, batch_shape: Shape, dtype: DTypeLike) -> MGUCarry:
        return MGUCarry(*self.zeros(1, batch_shape, dtype))

    def project(self, params: MGUParams, x: Array) -> tuple[Array, ...]:
        return project_gates(x, params.kernel, params.bias)

    def recur(self, params: MGUParams, carry: MGUCarry, u: tuple[Array, ...]) -> tuple[Array, Array]:
        (f,) = recur_gates(carry.h, params.recurrent_kernel[:, :1])
        f = u[0] + f
        (n,) = recur_gates(jax.nn.sigmoid(f) * carry.h, params.recurrent_kernel[:, 1:])
        return f, u[1] + n

    def pointwise(self, params: MGUParams, carry: MGUCarry, u: tuple[Array, ...], v: tuple[Array, Array]) -> MGUCarry:
        f = jax.nn.sigmoid(v[0])
        return MGUCarry(h=(1 - f) * carry.h + f * jnp.tanh(v[1]))
