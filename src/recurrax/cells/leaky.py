"""Leaky units: a simple recurrent network that follows its input slowly."""

from dataclasses import dataclass
from typing import NamedTuple, get_args

import jax
import jax.numpy as jnp

from recurrax.cells import initializers
from recurrax.cells.activations import FUNCTIONS, Activation
from recurrax.cells.gated import Gated
from recurrax.cells.products import project_gates, recur_gates, scale
from recurrax.typing import Array, DTypeLike, Key, Shape

__all__ = ["Leaky", "LeakyCarry", "LeakyParams"]


class LeakyParams(NamedTuple):
    """kernel W (D, 1, H), recurrent_kernel U (H, 1, H), bias b (1, H), leak (H,), the logit of α, or None if fixed."""

    kernel: Array
    recurrent_kernel: Array
    bias: Array
    leak: Array | None = None


class LeakyCarry(NamedTuple):
    """h (*batch, H)."""

    h: Array


@dataclass(frozen=True)
class Leaky(Gated[LeakyParams, LeakyCarry]):
    """h_t = (1 - α) h_tm1 + α φ(x_t W + h_tm1 U + b), y_t = h_t

    Fields: `hidden_size` H; `alpha` α in (0, 1]; `learned`: α is a parameter of each unit, σ(leak), which starts there;
    `activation` φ; initialisers per `recurrax.cells.initializers`.

    Differs from: echo state networks train neither W nor U; a continuous-time network is this with α = dt/τ. Some put
    the leak outside of φ's argument and the factor α nowhere. α = 1 is Elman.
    Gradient: along the unit alone ∂h_t/∂h_tm1 = 1 - α, so it holds (1 - α)^k, with a time constant of about 1/α steps.

    References: Mozer (1992); Jaeger, Lukoševičius, Popovici & Siewert (2007), eq. 2.

    >>> params = Leaky(3, alpha=0.25, learned=True).init(jax.random.key(0), input_size=2)
    >>> jax.nn.sigmoid(params.leak).tolist()
    [0.25, 0.25, 0.25]
    """

    alpha: float = 0.1
    learned: bool = False
    activation: Activation = "tanh"

    def __post_init__(self):
        super().__post_init__()
        initializers.check_bool("learned", self.learned)
        initializers.check_choice("activation", self.activation, get_args(Activation))
        if not isinstance(self.alpha, int | float) or not 0 < self.alpha <= (0.999 if self.learned else 1):
            most = "at most 0.999 where learned" if self.learned else "at most 1"
            raise ValueError(f"alpha: expected a float above 0 and {most}, got {self.alpha!r}")

    def init(self, key: Key, input_size: int, dtype: DTypeLike = jnp.float32) -> LeakyParams:
        leak = jax.scipy.special.logit(jnp.full(self.hidden_size, self.alpha)).astype(dtype) if self.learned else None
        return LeakyParams(*self.draw(jax.random.split(key, 3), 1, input_size, dtype), leak=leak)

    def initial_carry(self, params: LeakyParams, batch_shape: Shape, dtype: DTypeLike) -> LeakyCarry:
        return LeakyCarry(*self.zeros(1, batch_shape, dtype))

    def project(self, params: LeakyParams, x: Array) -> Array:
        (u,) = project_gates(x, params.kernel, params.bias)
        return u

    def recur(self, params: LeakyParams, carry: LeakyCarry, u: Array) -> Array:
        (v,) = recur_gates(carry.h, params.recurrent_kernel)
        return u + v

    def pointwise(self, params: LeakyParams, carry: LeakyCarry, u: Array, v: Array) -> LeakyCarry:
        moved = FUNCTIONS[self.activation](v) - carry.h
        return LeakyCarry(
            h=carry.h + (self.alpha * moved if params.leak is None else self._learned(params.leak, moved))
        )

    def _learned(self, leak: Array, moved: Array) -> Array:
        return scale(moved, jax.nn.sigmoid(leak.astype(moved.dtype)))
