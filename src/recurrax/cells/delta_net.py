"""The gated delta rule: a matrix memory that replaces what it held under a key."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from recurrax.cells import initializers
from recurrax.cells.heads import HeadInputs, HeadParams, Heads, read
from recurrax.typing import Array, DTypeLike, Shape

__all__ = ["DeltaNet", "DeltaNetCarry"]


class DeltaNetCarry(NamedTuple):
    """S (*batch, N, H/N, H/N), rows of values, columns of keys."""

    S: Array


@dataclass(frozen=True)
class DeltaNet(Heads[DeltaNetCarry]):
    """S_t = α_t S_tm1 (I - β_t k_t k_tᵀ) + β_t v_t k_tᵀ
    y_t = σ(o_t) * (S_t q_t)

    head by head, with q, k, v, o = x_t W + b, k and q scaled to length 1, β_t = σ(i_t), and α_t = σ(f_t) if gated,
    else 1; one i and f a head from a kernel of their own.

    Fields: `hidden_size` H; `heads` N, a divisor of H; `forget_bias` is added to the drawn bias of f; `gated`;
    initialisers per `recurrax.cells.initializers`.

    Differs from: Yang, Kautz & Hatamizadeh take Mamba-2's form for α, normalise what is read before it is gated, and
    put a convolution and SiLU before q, k and v.
    Gradient: ∂L/∂S_tm1 = α_t ∂L/∂S_t (I - β_t k_t k_tᵀ): never longer than α_t times what came, shorter by 1 - β_t
    along the key that was written, so what is never overwritten is kept.

    References: Schlag, Irie & Schmidhuber (2021); Yang et al. (2024), Parallelizing linear transformers with the delta
    rule, eq. 6; Yang, Kautz & Hatamizadeh (2025), Gated delta networks, eq. 10.

    >>> DeltaNet(4, heads=2).init(jax.random.key(0), input_size=3).kernel.shape
    (3, 4, 4)
    """

    gated: bool = True

    def __post_init__(self):
        super().__post_init__()
        initializers.check_bool("gated", self.gated)

    def initial_carry(self, params: HeadParams, batch_shape: Shape, dtype: DTypeLike) -> DeltaNetCarry:
        return DeltaNetCarry(S=jnp.zeros((*batch_shape, self.heads, self.head_size, self.head_size), dtype))

    def project(self, params: HeadParams, x: Array) -> HeadInputs:
        u = super().project(params, x)
        return u._replace(query=_direction(u.query), key=_direction(u.key))

    def recur(self, params: HeadParams, carry: DeltaNetCarry, u: HeadInputs) -> Array:
        """What the memory holds under the key: S_tm1 k_t, (..., N, H/N)."""
        return jnp.einsum("...vk,...k->...v", carry.S, u.key.astype(carry.S.dtype))

    def pointwise(self, params: HeadParams, carry: DeltaNetCarry, u: HeadInputs, v: Array) -> DeltaNetCarry:
        kept, held = carry.S, v
        if self.gated:
            alpha = jax.nn.sigmoid(u.forget)[..., None]  # (..., N, 1)
            kept, held = alpha[..., None] * kept, alpha * held
        change = jax.nn.sigmoid(u.write)[..., None] * (u.value - held)
        return DeltaNetCarry(S=kept + change[..., :, None] * u.key[..., None, :])

    def output(self, params: HeadParams, carry: DeltaNetCarry, u: HeadInputs) -> Array:
        return self.joined(u, read(carry.S, u.query))


def _direction(x: Array) -> Array:
    """X (..., d) scaled to length 1; of nothing, nothing, with a derivative."""
    return x * jax.lax.rsqrt(jnp.sum(x * x, axis=-1, keepdims=True) + 1e-6)
