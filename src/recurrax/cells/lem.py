"""Long expressive memory: two states, each with a time step that the input sets."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from recurrax.cells import initializers
from recurrax.cells.gated import Gated
from recurrax.cells.products import project_gates, recur_gates
from recurrax.typing import Array, DTypeLike, Key, Shape

__all__ = ["LEM", "LEMCarry", "LEMParams"]


class LEMParams(NamedTuple):
    """kernel W (D, 4, H), recurrent_kernel U (H, 4, H), bias b (4, H); gates in the order s, r, z, h."""

    kernel: Array
    recurrent_kernel: Array
    bias: Array


class LEMCarry(NamedTuple):
    """h (*batch, H), what the layer above sees; z (*batch, H)."""

    h: Array
    z: Array


class LEMGates(NamedTuple):
    """r and h, pre-activations, and the new z, each (..., H)."""

    r: Array
    z: Array
    h: Array


@dataclass(frozen=True)
class LEM(Gated[LEMParams, LEMCarry]):
    """z_t = (1 - s_t) z_tm1 + s_t tanh(x_t W_z + h_tm1 U_z + b_z)
    h_t = (1 - r_t) h_tm1 + r_t tanh(x_t W_h + z_t U_h + b_h),  y_t = h_t

    s_t = Δt σ(x_t W_s + h_tm1 U_s + b_s),  r_t = Δt σ(x_t W_r + h_tm1 U_r + b_r)

    Fields: `hidden_size` H; `step_size` Δt; initialisers per `recurrax.cells.initializers`.

    Differs from: the paper writes y for h, and Δt_n and its barred twin for s and r. h reads the new z, so a step has
    two products, one waiting for the other; `torchrecurrent` reads the old one.
    Gradient: along the units alone ∂h_t/∂h_tm1 = diag(1 - r_t) and ∂z_t/∂z_tm1 = diag(1 - s_t): 1 - Δt/2 per step where
    the gates have no bias, and slower the smaller Δt.

    References: Rusch, Mishra, Erichson & Mahoney (2022), eq. 3.

    >>> LEM(3).init(jax.random.key(0), input_size=2).kernel.shape
    (2, 4, 3)
    """

    step_size: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        initializers.check_finite("step_size", self.step_size)

    def init(self, key: Key, input_size: int, dtype: DTypeLike = jnp.float32) -> LEMParams:
        return LEMParams(*self.draw(jax.random.split(key, 3), 4, input_size, dtype))

    def initial_carry(self, params: LEMParams, batch_shape: Shape, dtype: DTypeLike) -> LEMCarry:
        return LEMCarry(*self.zeros(2, batch_shape, dtype))

    def project(self, params: LEMParams, x: Array) -> tuple[Array, ...]:
        return project_gates(x, params.kernel, params.bias)

    def recur(self, params: LEMParams, carry: LEMCarry, u: tuple[Array, ...]) -> LEMGates:
        s, r, z = (u_g + v for u_g, v in zip(u, recur_gates(carry.h, params.recurrent_kernel[:, :3]), strict=False))
        s = self.step_size * jax.nn.sigmoid(s)
        z = (1 - s) * carry.z + s * jnp.tanh(z)
        (h,) = recur_gates(z, params.recurrent_kernel[:, 3:])
        return LEMGates(r=r, z=z, h=u[3] + h)

    def pointwise(self, params: LEMParams, carry: LEMCarry, u: tuple[Array, ...], v: LEMGates) -> LEMCarry:
        r = self.step_size * jax.nn.sigmoid(v.r)
        return LEMCarry(h=(1 - r) * carry.h + r * jnp.tanh(v.h), z=v.z)
