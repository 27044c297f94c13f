"""The simple recurrent network of Elman (1990)."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp

from recurrax.cells import initializers
from recurrax.cells.activations import FUNCTIONS
from recurrax.cells.gated import Gated
from recurrax.cells.products import project_gates, recur_gates
from recurrax.typing import Array, DTypeLike, Key, Shape

__all__ = ["Elman", "ElmanCarry", "ElmanParams"]

Activation = Literal["tanh", "relu", "identity"]


class ElmanParams(NamedTuple):
    """kernel W (D, 1, H), recurrent_kernel U (H, 1, H), bias b (1, H)."""

    kernel: Array
    recurrent_kernel: Array
    bias: Array


class ElmanCarry(NamedTuple):
    """h (*batch, H)."""

    h: Array


@dataclass(frozen=True)
class Elman(Gated[ElmanParams, ElmanCarry]):
    """h_t = φ(x_t W + h_tm1 U + b), y_t = h_t, with φ tanh, relu or the identity.

    Fields: `hidden_size` H; `activation` φ; `recurrent_gain` multiplies the drawn U; initialisers per
    `recurrax.cells.initializers`. "uniform" in all three is PyTorch's default up to its second bias; "lecun" and
    "orthogonal" with zero bias are Flax's.

    Differs from: PyTorch and cuDNN keep two biases whose sum is b here; Keras and Flax keep one.
    Gradient: ∂h_t/∂h_tm1 = diag(φ'(a_t)) Uᵀ in column form, so norms decay or grow like the singular values of U
    thinned by φ' (Pascanu, Mikolov & Bengio 2013, eq. 5); with φ the identity and U = σQ, Q orthogonal, exactly σ^k.

    References: Elman (1990), Cognitive Science 14(2). Le, Jaitly & Hinton (2015) for relu with the identity.

    >>> cell = Elman(3, activation="relu")
    >>> params = cell.init(jax.random.key(0), input_size=2)
    >>> params.kernel.shape, params.recurrent_kernel.shape, params.bias.shape
    ((2, 1, 3), (3, 1, 3), (1, 3))
    """

    activation: Activation = "tanh"
    recurrent_gain: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        initializers.check_choice("activation", self.activation, get_args(Activation))
        initializers.check_finite("recurrent_gain", self.recurrent_gain)

    def init(self, key: Key, input_size: int, dtype: DTypeLike = jnp.float32) -> ElmanParams:
        kernel, recurrent_kernel, bias = self.draw(jax.random.split(key, 3), 1, input_size, dtype)
        return ElmanParams(kernel, self.recurrent_gain * recurrent_kernel, bias)

    def initial_carry(self, params: ElmanParams, batch_shape: Shape, dtype: DTypeLike) -> ElmanCarry:
        return ElmanCarry(*self.zeros(1, batch_shape, dtype))

    def project(self, params: ElmanParams, x: Array) -> Array:
        (u,) = project_gates(x, params.kernel, params.bias)
        return u

    def recur(self, params: ElmanParams, carry: ElmanCarry, u: Array) -> Array:
        (v,) = recur_gates(carry.h, params.recurrent_kernel)
        return u + v

    def pointwise(self, params: ElmanParams, carry: ElmanCarry, u: Array, v: Array) -> ElmanCarry:
        return ElmanCarry(h=FUNCTIONS[self.activation](v))
