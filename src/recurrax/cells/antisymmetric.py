"""A recurrence on the edge of stability: small steps along an antisymmetric matrix."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from recurrax.cells import initializers
from recurrax.cells.gated import Gated
from recurrax.cells.products import project_gates, recur_gates
from recurrax.typing import Array, DTypeLike, Key, Shape

__all__ = ["AntisymmetricRNN", "AntisymmetricRNNCarry", "AntisymmetricRNNParams"]


class AntisymmetricRNNParams(NamedTuple):
    """kernel W (D, G, H), recurrent_kernel U (H, 1, H), bias b (G, H); G is 1, or 2, in the order h, z, if gated."""

    kernel: Array
    recurrent_kernel: Array
    bias: Array


class AntisymmetricRNNCarry(NamedTuple):
    """h (*batch, H)."""

    h: Array


@dataclass(frozen=True)
class AntisymmetricRNN(Gated[AntisymmetricRNNParams, AntisymmetricRNNCarry]):
    """h_t = h_tm1 + ε z_t tanh(x_t W_h + h_tm1 A + b_h), y_t = h_t, with A = U - Uᵀ - γI

    z_t = 1, or σ(x_t W_z + h_tm1 A + b_z) if gated

    Fields: `hidden_size` H; `step_size` ε; `diffusion` γ; `gated`; initialisers per `recurrax.cells.initializers`.

    Differs from: the authors multiply h as a column, which turns the sign of U - Uᵀ and nothing else.
    Gradient: ∂h_t/∂h_tm1 = I + ε diag(tanh') Aᵀ without a gate. The eigenvalues ±iω of U - Uᵀ are imaginary, so those
    of the step are 1 - εγ ± iεω near h = 0: norms grow like (1 + ε²ω²)^(k/2), which γ > 0 is there to take back.

    References: Chang, Chen, Haber & Chi (2019), eqs. 10 and 11.

    >>> AntisymmetricRNN(3, gated=True).init(jax.random.key(0), input_size=2).kernel.shape
    (2, 2, 3)
    """

    step_size: float = 0.01
    diffusion: float = 0.01
    gated: bool = False

    def __post_init__(self):
        super().__post_init__()
        initializers.check_finite("step_size", self.step_size)
        initializers.check_finite("diffusion", self.diffusion)
        initializers.check_bool("gated", self.gated)

    def init(self, key: Key, input_size: int, dtype: DTypeLike = jnp.float32) -> AntisymmetricRNNParams:
        keys = jax.random.split(key, 3)
        kernel, bias = self.draw_input(keys[:2], 2 if self.gated else 1, input_size, dtype)
        size = self.hidden_size
        recurrent = self.draw_recurrent(keys[2], size, 1, size, dtype)
        return AntisymmetricRNNParams(kernel, recurrent, bias)

    def initial_carry(
        self, params: AntisymmetricRNNParams, batch_shape: Shape, dtype: DTypeLike
    ) -> AntisymmetricRNNCarry:
        return AntisymmetricRNNCarry(*self.zeros(1, batch_shape, dtype))

    def project(self, params: AntisymmetricRNNParams, x: Array) -> tuple[Array, ...]:
        return project_gates(x, params.kernel, params.bias)

    def recur(
        self, params: AntisymmetricRNNParams, carry: AntisymmetricRNNCarry, u: tuple[Array, ...]
    ) -> tuple[Array, ...]:
        U = params.recurrent_kernel[:, 0]
        A = U - U.T - self.diffusion * jnp.eye(self.hidden_size, dtype=U.dtype)
        (v,) = recur_gates(carry.h, A[:, None])
        return tuple(u_g + v for u_g in u)

    def pointwise(
        self,
        params: AntisymmetricRNNParams,
        carry: AntisymmetricRNNCarry,
        u: tuple[Array, ...],
        v: tuple[Array, ...],
    ) -> AntisymmetricRNNCarry:
        moved = jnp.tanh(v[0])
        if self.gated:
            moved = jax.nn.sigmoid(v[1]) * moved
        return AntisymmetricRNNCarry(h=carry.h + self.step_size * moved)
