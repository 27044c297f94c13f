"""The minimal LSTM, whose gates and candidate see the input alone."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from recurrax.cells import initializers
from recurrax.cells.linear import Linear
from recurrax.cells.products import project_gates
from recurrax.typing import Array, DTypeLike, Key, Shape

__all__ = ["MinLSTM", "MinLSTMCarry", "MinLSTMParams"]


class MinLSTMParams(NamedTuple):
    """kernel W (D, 3, H), bias b (3, H); gates in the order i, f, g."""

    kernel: Array
    bias: Array


class MinLSTMCarry(NamedTuple):
    """h (*batch, H), which is memory and output in one."""

    h: Array


@dataclass(frozen=True)
class MinLSTM(Linear[MinLSTMParams, MinLSTMCarry]):
    """h_t = f'_t h_tm1 + (1 - f'_t) g_t, y_t = h_t, with gates i, f, g = x_t W + b and

    f'_t = σ(f_t) / (σ(f_t) + σ(i_t)) = σ(log σ(f_t) - log σ(i_t))

    Fields: `hidden_size` H; `forget_bias` is what b_f starts at; `kernel_init` per `recurrax.cells.initializers`.

    Differs from: Feng et al. also give a form without the division, which is two gates of an `LSTM` that see no state;
    this is the one they recommend. Their form in logarithms passes g_t through a positive function; this does not.
    Gradient: ∂h_t/∂h_tm1 = diag(f'_t), exactly; at W = 0 a forget bias b keeps (1 + (1 + e^-b)/2)^-k after k steps.

    References: Feng et al. (2024), Were RNNs All We Needed?, section 3.2.

    >>> params = MinLSTM(3, forget_bias=1.0).init(jax.random.key(0), input_size=2)
    >>> params.kernel.shape, params.bias.tolist()[1]
    ((2, 3, 3), [1.0, 1.0, 1.0])
    """

    forget_bias: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        initializers.check_finite("forget_bias", self.forget_bias)

    def init(self, key: Key, input_size: int, dtype: DTypeLike = jnp.float32) -> MinLSTMParams:
        bias = jnp.zeros((3, self.hidden_size), dtype).at[1].set(self.forget_bias)
        return MinLSTMParams(self.draw(key, input_size, 3, dtype), bias)

    def initial_carry(self, params: MinLSTMParams, batch_shape: Shape, dtype: DTypeLike) -> MinLSTMCarry:
        return MinLSTMCarry(h=jnp.zeros((*batch_shape, self.hidden_size), dtype))

    def project(self, params: MinLSTMParams, x: Array) -> tuple[Array, ...]:
        return project_gates(x, params.kernel, params.bias)

    def coefficients(self, params: MinLSTMParams, u: tuple[Array, ...]) -> tuple[MinLSTMCarry, MinLSTMCarry]:
        i, f, g = u
        # The difference of logarithms stays finite where both gates underflow, which the quotient does not.
        kept = jax.nn.sigmoid(jax.nn.log_sigmoid(f) - jax.nn.log_sigmoid(i))
        return MinLSTMCarry(h=kept), MinLSTMCarry(h=(1 - kept) * g)

    def output(self, params: MinLSTMParams, carry: MinLSTMCarry, u: tuple[Array, ...]) -> Array:
        return carry.h
