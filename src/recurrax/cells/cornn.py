"""Coupled oscillators: a recurrent network whose units swing."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from recurrax.cells import initializers
from recurrax.cells.gated import Gated
from recurrax.cells.products import project_gates, recur_gates
from recurrax.typing import Array, DTypeLike, Key, Shape

__all__ = ["CoRNN", "CoRNNCarry", "CoRNNParams"]


class CoRNNParams(NamedTuple):
    """kernel W (D, 1, H), recurrent_kernel U (2H, 1, H), rows of h above rows of z, bias b (1, H)."""

    kernel: Array
    recurrent_kernel: Array
    bias: Array


class CoRNNCarry(NamedTuple):
    """h (*batch, H), where the units are; z (*batch, H), how fast they move."""

    h: Array
    z: Array


@dataclass(frozen=True)
class CoRNN(Gated[CoRNNParams, CoRNNCarry]):
    """z_t = z_tm1 + Δt (tanh(x_t W + [h_tm1, z_tm1] U + b) - γ h_tm1 - ε z_tm1)
    h_t = h_tm1 + Δt z_t,  y_t = h_t

    Fields: `hidden_size` H; `step_size` Δt; `frequency` γ, the square of each unit's own; `damping` ε; initialisers per
    `recurrax.cells.initializers`. The defaults are the authors' for sequential MNIST.

    Differs from: the paper writes y for h and allows ε z_t in place of ε z_tm1; this is its explicit form, which the
    authors run.
    Gradient: ∂(h_t, z_t)/∂(h_tm1, z_tm1) is I + O(Δt), at most 1 + Δt (1 + (γ + ε + |U|) (1 + Δt)) in the maximum norm;
    with U = 0 each pair (h, z) is turned and damped by one matrix of determinant 1 - Δt ε.

    References: Rusch & Mishra (2021), eqs. 1-3 and proposition 3.2.

    >>> CoRNN(3).init(jax.random.key(0), input_size=2).recurrent_kernel.shape
    (6, 1, 3)
    """

    step_size: float = 0.042
    frequency: float = 2.7
    damping: float = 4.7

    def __post_init__(self):
        super().__post_init__()
        for field in ("step_size", "frequency", "damping"):
            initializers.check_finite(field, getattr(self, field))

    def init(self, key: Key, input_size: int, dtype: DTypeLike = jnp.float32) -> CoRNNParams:
        keys = jax.random.split(key, 3)
        return CoRNNParams(*self.draw(keys, 1, input_size, dtype, recurrent_size=2 * self.hidden_size))

    def initial_carry(self, params: CoRNNParams, batch_shape: Shape, dtype: DTypeLike) -> CoRNNCarry:
        return CoRNNCarry(*self.zeros(2, batch_shape, dtype))

    def project(self, params: CoRNNParams, x: Array) -> Array:
        (u,) = project_gates(x, params.kernel, params.bias)
        return u

    def recur(self, params: CoRNNParams, carry: CoRNNCarry, u: Array) -> Array:
        (v,) = recur_gates(jnp.concatenate([carry.h, carry.z], axis=-1), params.recurrent_kernel)
        return u + v

    def pointwise(self, params: CoRNNParams, carry: CoRNNCarry, u: Array, v: Array) -> CoRNNCarry:
        z = carry.z + self.step_size * (jnp.tanh(v) - self.frequency * carry.h - self.damping * carry.z)
        return CoRNNCarry(h=carry.h + self.step_size * z, z=z)
