"""Long short-term memory with a forget gate."""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from recurrax.cells import initializers
from recurrax.cells.gated import Gated
from recurrax.cells.products import project_gates, recur_gates
from recurrax.typing import Array, DTypeLike, Key, Shape

__all__ = ["LSTM", "LSTMCarry", "LSTMParams"]


class LSTMParams(NamedTuple):
    """kernel W (D, 4, H), recurrent_kernel U (H, 4, H), bias b (4, H); gates in the order i, f, g, o."""

    kernel: Array
    recurrent_kernel: Array
    bias: Array


class LSTMCarry(NamedTuple):
    """h (*batch, H), what the layer above sees; c (*batch, H), the memory cell."""

    h: Array
    c: Array


class LSTMGates(NamedTuple):
    """Pre-activations i, f, g, o, each (..., H)."""

    i: Array
    f: Array
    g: Array
    o: Array


@dataclass(frozen=True)
class LSTM(Gated[LSTMParams, LSTMCarry]):
    """The LSTM with a forget gate and without peepholes.

    a_t = x_t W + h_tm1 U + b, cut into gates i, f, g, o
    c_t = σ(f_t) c_tm1 + σ(i_t) tanh(g_t)
    h_t = σ(o_t) tanh(c_t),  y_t = h_t

    Fields: `hidden_size` H; `forget_bias` is added to the drawn bias of f, or is "chrono": T ~ U(1, t_max - 1) per
    unit, b_f = log T and b_i = -b_f, in the one bias there is; `t_max` is the longest lag chrono should span, in steps;
    initialisers per `recurrax.cells.initializers`.

    Differs from: PyTorch and cuDNN keep two biases whose sum is b here, Flax and PyTorch start b_f at 0, Keras at 1.
    Flax's `OptimizedLSTMCell` for nnx draws one orthogonal (H, 4H) block, so its gates are not orthogonal; these are.
    Gradient: along the cell alone ∂c_t/∂c_tm1 = diag(σ(f_t)), so a forget bias b holds exp(k log σ(b)) after k steps;
    the paths through h add to it. At b_f = 0 that is 2^-k, faster decay than an orthogonal Elman network.

    References: Hochreiter & Schmidhuber (1997); Gers, Schmidhuber & Cummins (2000) for the forget gate; Jozefowicz,
    Zaremba & Sutskever (2015) for b_f = 1; Tallec & Ollivier (2018), eq. 16, for chrono.

    >>> cell = LSTM(3, forget_bias=1.0)
    >>> params = cell.init(jax.random.key(0), input_size=2)
    >>> params.bias.tolist()[1]
    [1.0, 1.0, 1.0]
    """

    forget_bias: float | Literal["chrono"] = 1.0
    t_max: int = 200

    def __post_init__(self):
        super().__post_init__()
        if isinstance(self.forget_bias, str):
            initializers.check_choice("forget_bias", self.forget_bias, ("chrono",))
        elif not isinstance(self.forget_bias, int | float) or not math.isfinite(self.forget_bias):
            raise ValueError(f"forget_bias: expected a finite float or 'chrono', got {self.forget_bias!r}")
        if not isinstance(self.t_max, int) or self.t_max < 3:
            raise ValueError(f"t_max: expected an int of at least 3 steps, got {self.t_max!r}")

    def init(self, key: Key, input_size: int, dtype: DTypeLike = jnp.float32) -> LSTMParams:
        keys = jax.random.split(key, 4)
        kernel, recurrent_kernel, bias = self.draw(keys[:3], 4, input_size, dtype)
        return LSTMParams(kernel, recurrent_kernel, bias + self._gate_bias(keys[3]).astype(dtype))

    def _gate_bias(self, key: Key) -> Array:
        """What initialisation adds to the bias (4, H): only the forget gate's, or chrono's pair."""
        zeros = jnp.zeros(self.hidden_size)
        if self.forget_bias == "chrono":
            # T steps are remembered where σ(b_f) = T/(1 + T), so b_f = log T.
            b_f = jnp.log(jax.random.uniform(key, (self.hidden_size,), minval=1.0, maxval=self.t_max - 1.0))
            return jnp.stack([-b_f, b_f, zeros, zeros])
        return jnp.stack([zeros, zeros + self.forget_bias, zeros, zeros])

    def initial_carry(self, params: LSTMParams, batch_shape: Shape, dtype: DTypeLike) -> LSTMCarry:
        return LSTMCarry(*self.zeros(2, batch_shape, dtype))

    def project(self, params: LSTMParams, x: Array) -> LSTMGates:
        return LSTMGates(*project_gates(x, params.kernel, params.bias))

    def recur(self, params: LSTMParams, carry: LSTMCarry, u: LSTMGates) -> LSTMGates:
        v = recur_gates(carry.h, params.recurrent_kernel)
        return LSTMGates(*(u_g + v_g for u_g, v_g in zip(u, v, strict=True)))

    def pointwise(self, params: LSTMParams, carry: LSTMCarry, u: LSTMGates, v: LSTMGates) -> LSTMCarry:
        c = jax.nn.sigmoid(v.f) * carry.c + jax.nn.sigmoid(v.i) * jnp.tanh(v.g)
        return self.expose(params, LSTMCarry(h=carry.h, c=c), v)

    def expose(self, params: LSTMParams, carry: LSTMCarry, v: LSTMGates) -> LSTMCarry:
        """The carry formed from its memory alone: c and h = σ(o) tanh(c).

        `recurrax.lag` differentiates it for the classic dL/dc, in which h follows a change of c.
        """
        return LSTMCarry(h=jax.nn.sigmoid(v.o) * jnp.tanh(carry.c), c=carry.c)
