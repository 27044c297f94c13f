"""The JANET: an LSTM with its forget gate alone."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from recurrax.cells import initializers
from recurrax.cells.gated import Gated
from recurrax.cells.products import project_gates, recur_gates
from recurrax.typing import Array, DTypeLike, Key, Shape

__all__ = ["JANET", "JANETCarry", "JANETParams"]


class JANETParams(NamedTuple):
    """kernel W (D, 2, H), recurrent_kernel U (H, 2, H), bias b (2, H); gates in the order f, g."""

    kernel: Array
    recurrent_kernel: Array
    bias: Array


class JANETCarry(NamedTuple):
    """h (*batch, H)."""

    h: Array


@dataclass(frozen=True)
class JANET(Gated[JANETParams, JANETCarry]):
    """h_t = σ(f_t) h_tm1 + (1 - σ(f_t - β)) tanh(g_t), y_t = h_t, with f, g = x_t W + h_tm1 U + b

    Fields: `hidden_size` H; `beta` β > 0 lets more in than is forgotten; `forget_bias` is added to the drawn bias of f,
    or is "chrono", log T with T ~ U(1, t_max - 1) per unit; initialisers per `recurrax.cells.initializers`.

    Differs from: the LSTM writes no more than it forgets only if coupled, and puts tanh and a gate between memory and
    h; this is a GRU without reset for β = 0. The paper starts with chrono, which here is chosen by `forget_bias`.
    Gradient: along the unit alone ∂h_t/∂h_tm1 = diag(σ(f_t)), so k steps multiply by the product of k forget gates.

    References: van der Westhuizen & Lasenby (2018), The unreasonable effectiveness of the forget gate, section 3.

    >>> JANET(3, forget_bias=2.0).init(jax.random.key(0), input_size=2).bias.tolist()
    [[2.0, 2.0, 2.0], [0.0, 0.0, 0.0]]
    """

    beta: float = 1.0
    forget_bias: float | Literal["chrono"] = 1.0
    t_max: int = 200

    def __post_init__(self):
        super().__post_init__()
        initializers.check_finite("beta", self.beta)
        initializers.check_forget_bias(self.forget_bias, self.t_max)

    def init(self, key: Key, input_size: int, dtype: DTypeLike = jnp.float32) -> JANETParams:
        keys = jax.random.split(key, 4)
        kernel, recurrent_kernel, bias = self.draw(keys[:3], 2, input_size, dtype)
        b_f = initializers.forget_bias(self.forget_bias, keys[3], self.hidden_size, self.t_max)
        return JANETParams(kernel, recurrent_kernel, bias.at[0].add(b_f.astype(dtype)))

    def initial_carry(self, params: JANETParams, batch_shape: Shape, dtype: DTypeLike) -> JANETCarry:
        return JANETCarry(*self.zeros(1, batch_shape, dtype))

    def project(self, params: JANETParams, x: Array) -> tuple[Array, ...]:
        return project_gates(x, params.kernel, params.bias)

    def recur(self, params: JANETParams, carry: JANETCarry, u: tuple[Array, ...]) -> tuple[Array, ...]:
        return tuple(u_g + v_g for u_g, v_g in zip(u, recur_gates(carry.h, params.recurrent_kernel), strict=True))

    def pointwise(
        self, params: JANETParams, carry: JANETCarry, u: tuple[Array, ...], v: tuple[Array, ...]
    ) -> JANETCarry:
        f, g = v
        # 1 - σ(f - β) is σ(β - f), without the difference of nearly equal numbers.
        return JANETCarry(h=jax.nn.sigmoid(f) * carry.h + jax.nn.sigmoid(self.beta - f) * jnp.tanh(g))
