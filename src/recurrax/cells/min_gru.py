"""The minimal gated recurrent unit, whose gate and candidate see the input alone."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from recurrax.cells import initializers
from recurrax.cells.linear import Linear
from recurrax.cells.products import project_gates
from recurrax.typing import Array, DTypeLike, Key, Shape

__all__ = ["MinGRU", "MinGRUCarry", "MinGRUParams"]


class MinGRUParams(NamedTuple):
    """kernel W (D, 2, H), bias b (2, H); gates in the order z, n."""

    kernel: Array
    bias: Array


class MinGRUCarry(NamedTuple):
    """h (*batch, H)."""

    h: Array


@dataclass(frozen=True)
class MinGRU(Linear[MinGRUParams, MinGRUCarry]):
    """h_t = z_t h_tm1 + (1 - z_t) n_t, y_t = h_t, with

    z_t = σ(x_t W_z + b_z),  n_t = x_t W_n + b_n

    Fields: `hidden_size` H; `update_bias` is what b_z starts at; `kernel_init` per `recurrax.cells.initializers`.

    Differs from: Feng et al. write z for what is 1 - z here, where it is as in `GRU`. Their form in logarithms needs
    n_t > 0 and passes it through a function that is; nothing here is computed in logarithms, and n_t has any sign.
    Gradient: ∂h_t/∂h_tm1 = diag(z_t), exactly, so the product of gates is the whole decay: 2^-k at b_z = 0 and W = 0.

    References: Feng et al. (2024), Were RNNs All We Needed?, section 3.1.

    >>> params = MinGRU(3, update_bias=2.0).init(jax.random.key(0), input_size=2)
    >>> params.kernel.shape, params.bias.tolist()
    ((2, 2, 3), [[2.0, 2.0, 2.0], [0.0, 0.0, 0.0]])
    """

    update_bias: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        initializers.check_finite("update_bias", self.update_bias)

    def init(self, key: Key, input_size: int, dtype: DTypeLike = jnp.float32) -> MinGRUParams:
        bias = jnp.zeros((2, self.hidden_size), dtype).at[0].set(self.update_bias)
        return MinGRUParams(self.draw(key, input_size, 2, dtype), bias)

    def initial_carry(self, params: MinGRUParams, batch_shape: Shape, dtype: DTypeLike) -> MinGRUCarry:
        return MinGRUCarry(h=jnp.zeros((*batch_shape, self.hidden_size), dtype))

    def project(self, params: MinGRUParams, x: Array) -> tuple[Array, ...]:
        return project_gates(x, params.kernel, params.bias)

    def coefficients(self, params: MinGRUParams, u: tuple[Array, ...]) -> tuple[MinGRUCarry, MinGRUCarry]:
        z, n = jax.nn.sigmoid(u[0]), u[1]
        return MinGRUCarry(h=z), MinGRUCarry(h=(1 - z) * n)

    def output(self, params: MinGRUParams, carry: MinGRUCarry, u: tuple[Array, ...]) -> Array:
        return carry.h
