"""The real-gated linear recurrent unit of Griffin."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from recurrax.cells import initializers
from recurrax.cells.linear import Linear
from recurrax.cells.products import project_gates
from recurrax.typing import Array, DTypeLike, Key, Shape

__all__ = ["RGLRU", "RGLRUCarry", "RGLRUParams"]

_SHARPNESS = 8.0
"""c of De et al. (2024): how far a gate that is open beats one that is half closed."""


class RGLRUParams(NamedTuple):
    """kernel W (D, 3, H), bias b (3, H), gates in the order r, i, v; decay Λ (H,)."""

    kernel: Array
    bias: Array
    decay: Array


class RGLRUCarry(NamedTuple):
    """h (*batch, H)."""

    h: Array


@dataclass(frozen=True)
class RGLRU(Linear[RGLRUParams, RGLRUCarry]):
    """h_t = a_t h_tm1 + √(1 - a_t²) σ(i_t) v_t, y_t = h_t, with gates r, i, v = x_t W + b and

    a_t = σ(Λ)^(8 σ(r_t))

    Fields: `hidden_size` H; at the start σ(Λ)^8, the decay where r is fully open, is U(`decay_min`, `decay_max`) per
    unit; `kernel_init` per `recurrax.cells.initializers`.

    Differs from: in De et al. v_t is what a layer below gives, and r and i are linear in v_t; here all three are linear
    in x_t, which is theirs for W_v = I. RecurrentGemma drops √(1 - a²) at the first step, and so does not this.
    Gradient: ∂h_t/∂h_tm1 = diag(a_t), exactly: between σ(Λ)^8 and 1 per step, about σ(Λ)^4 at the start.

    References: De et al. (2024), Griffin, eqs. 1-4 and section 2.4.

    >>> params = RGLRU(3).init(jax.random.key(0), input_size=2)
    >>> params.kernel.shape, bool((jax.nn.sigmoid(params.decay) ** 8 > 0.89).all())
    ((2, 3, 3), True)
    """

    decay_min: float = 0.9
    decay_max: float = 0.999

    def __post_init__(self):
        super().__post_init__()
        initializers.check_interval("decay_min", self.decay_min, "decay_max", self.decay_max)

    def init(self, key: Key, input_size: int, dtype: DTypeLike = jnp.float32) -> RGLRUParams:
        keys = jax.random.split(key)
        decay = jax.random.uniform(keys[1], (self.hidden_size,), minval=self.decay_min, maxval=self.decay_max)
        # σ(Λ)^8 = decay, so e^-Λ = decay^(-1/8) - 1.
        decay = -jnp.log(jnp.expm1(-jnp.log(decay) / _SHARPNESS)).astype(dtype)
        kernel = self.draw(keys[0], input_size, 3, dtype)
        return RGLRUParams(kernel, jnp.zeros((3, self.hidden_size), dtype), decay)

    def initial_carry(self, params: RGLRUParams, batch_shape: Shape, dtype: DTypeLike) -> RGLRUCarry:
        return RGLRUCarry(h=jnp.zeros((*batch_shape, self.hidden_size), dtype))

    def project(self, params: RGLRUParams, x: Array) -> tuple[Array, ...]:
        return project_gates(x, params.kernel, params.bias)

    def coefficients(self, params: RGLRUParams, u: tuple[Array, ...]) -> tuple[RGLRUCarry, RGLRUCarry]:
        r, i, v = u
        rate = _SHARPNESS * jax.nn.log_sigmoid(params.decay.astype(r.dtype))
        log_a = rate.reshape((1,) * (r.ndim - 1) + rate.shape) * jax.nn.sigmoid(r)
        # The root has no derivative at 0, where a gate that underflows puts it.
        gain = jnp.sqrt(jnp.maximum(-jnp.expm1(2 * log_a), jnp.finfo(r.dtype).tiny))
        return RGLRUCarry(h=jnp.exp(log_a)), RGLRUCarry(h=gain * jax.nn.sigmoid(i) * v)

    def output(self, params: RGLRUParams, carry: RGLRUCarry, u: tuple[Array, ...]) -> Array:
        return carry.h
