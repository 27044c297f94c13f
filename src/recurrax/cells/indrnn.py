"""Independent units: each sees its own past alone."""

from dataclasses import dataclass
from typing import NamedTuple, get_args

import jax
import jax.numpy as jnp

from recurrax.cells import initializers
from recurrax.cells.activations import FUNCTIONS, Activation
from recurrax.cells.gated import Units
from recurrax.cells.products import project_gates, scale
from recurrax.typing import Array, DTypeLike, Key, Shape

__all__ = ["IndRNN", "IndRNNCarry", "IndRNNParams"]


class IndRNNParams(NamedTuple):
    """kernel W (D, 1, H), recurrent u (H,), bias b (1, H)."""

    kernel: Array
    recurrent: Array
    bias: Array


class IndRNNCarry(NamedTuple):
    """h (*batch, H)."""

    h: Array


@dataclass(frozen=True)
class IndRNN(Units[IndRNNParams, IndRNNCarry]):
    """h_t = φ(x_t W + u * h_tm1 + b), y_t = h_t

    Fields: `hidden_size` H; `t_max`, steps: u is drawn from U(0, 2^(1/t_max)), so no unit more than doubles a gradient
    over so many; `activation` φ; initialisers per `recurrax.cells.initializers`.

    Differs from: the authors clip |u| to 2^(1/t_max) while they train, which is left to the optimiser here; they draw
    u near that bound in the last layer, and normalise batches.
    Gradient: ∂h_t/∂h_tm1 = diag(φ'(a_t) u), unit by unit: with φ relu |u|^k for a unit that stays on.

    References: Li, Li, Cook, Zhu & Gao (2018), eqs. 2-5.

    >>> params = IndRNN(3).init(jax.random.key(0), input_size=2)
    >>> params.recurrent.shape, bool((params.recurrent <= 2 ** (1 / 200)).all())
    ((3,), True)
    """

    t_max: int = 200
    activation: Activation = "relu"

    def __post_init__(self):
        super().__post_init__()
        initializers.check_size("t_max", self.t_max)
        initializers.check_choice("activation", self.activation, get_args(Activation))

    def init(self, key: Key, input_size: int, dtype: DTypeLike = jnp.float32) -> IndRNNParams:
        keys = jax.random.split(key, 3)
        kernel, bias = self.draw_input(keys[:2], 1, input_size, dtype)
        recurrent = jax.random.uniform(keys[2], (self.hidden_size,), maxval=2 ** (1 / self.t_max))
        return IndRNNParams(kernel, recurrent.astype(dtype), bias)

    def initial_carry(self, params: IndRNNParams, batch_shape: Shape, dtype: DTypeLike) -> IndRNNCarry:
        return IndRNNCarry(*self.zeros(1, batch_shape, dtype))

    def project(self, params: IndRNNParams, x: Array) -> Array:
        (u,) = project_gates(x, params.kernel, params.bias)
        return u

    def recur(self, params: IndRNNParams, carry: IndRNNCarry, u: Array) -> Array:
        return u

    def pointwise(self, params: IndRNNParams, carry: IndRNNCarry, u: Array, v: Array) -> IndRNNCarry:
        return IndRNNCarry(h=FUNCTIONS[self.activation](v + scale(carry.h, params.recurrent)))

    def output(self, params: IndRNNParams, carry: IndRNNCarry, u: Array) -> Array:
        return carry.h
