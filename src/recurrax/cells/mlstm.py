"""The mLSTM of xLSTM: a matrix memory with exponential gates."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from recurrax.cells.heads import HeadInputs, HeadParams, Heads, read
from recurrax.typing import Array, DTypeLike, Shape

__all__ = ["MLSTM", "HeadParams", "MLSTMCarry"]


class MLSTMCarry(NamedTuple):
    """C (*batch, N, H/N, H/N), the memory; n (*batch, N, H/N), its normaliser; m (*batch, N), the stabiliser."""

    C: Array
    n: Array
    m: Array


@dataclass(frozen=True)
class MLSTM(Heads[MLSTMCarry]):
    """C_t = f'_t C_tm1 + i'_t v_t k_tᵀ,  n_t = f'_t n_tm1 + i'_t k_t
    y_t = σ(o_t) * (C_t q_t) / max(|n_t · q_t|, exp(-m_t))

    m_t = max(log σ(f_t) + m_tm1, i_t),  f'_t = exp(log σ(f_t) + m_tm1 - m_t),  i'_t = exp(i_t - m_t)

    head by head, with q, k, v, o = x_t W + b, k divided by √(H/N), and one i and f a head from a kernel of their own.
    The carry is exp(-m_t) times that of the equations without m, so no exponential overflows; y does not depend on m.

    Fields: `hidden_size` H; `heads` N, a divisor of H; `forget_bias` is added to the drawn bias of f; initialisers per
    `recurrax.cells.initializers`.

    Differs from: xLSTM starts the gates' kernels at zero and f's bias between 3 and 6, and has convolutions and norms
    around the cell. exp for f is left out.
    Gradient: ∂C_t/∂C_tm1 = f'_t, nothing else: k steps hold the product of k forget gates times exp(m_tmk - m_t).

    References: Beck et al. (2024), xLSTM, eqs. 19-27.

    >>> MLSTM(4, heads=2).init(jax.random.key(0), input_size=3).gate_kernel.shape
    (3, 2, 2)
    """

    def initial_carry(self, params: HeadParams, batch_shape: Shape, dtype: DTypeLike) -> MLSTMCarry:
        shape, size = (*batch_shape, self.heads), self.head_size
        return MLSTMCarry(*(jnp.zeros((*shape, *sizes), dtype) for sizes in ((size, size), (size,), ())))

    def recur(self, params: HeadParams, carry: MLSTMCarry, u: HeadInputs) -> None:
        return None

    def pointwise(self, params: HeadParams, carry: MLSTMCarry, u: HeadInputs, v: None) -> MLSTMCarry:
        kept = jax.nn.log_sigmoid(u.forget) + carry.m
        m = jnp.maximum(kept, u.write)
        f, i = jnp.exp(kept - m)[..., None], jnp.exp(u.write - m)[..., None]  # (..., N, 1)
        key = i * u.key / self.head_size**0.5
        C = f[..., None] * carry.C + u.value[..., :, None] * key[..., None, :]
        return MLSTMCarry(C=C, n=f * carry.n + key, m=m)

    def output(self, params: HeadParams, carry: MLSTMCarry, u: HeadInputs) -> Array:
        total = jnp.sum(carry.n * u.query, axis=-1)
        # Where all gates close m falls without end, and exp(-m) with its derivative would be infinite.
        least = -0.9 * jnp.log(jnp.finfo(carry.m.dtype).max)
        floor = jnp.exp(-jnp.maximum(carry.m, least))
        return self.joined(u, read(carry.C, u.query) / jnp.maximum(jnp.abs(total), floor)[..., None])
