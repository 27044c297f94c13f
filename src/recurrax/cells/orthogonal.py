"""A recurrence that keeps norms: the exponential of a skew-symmetric matrix."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp

from recurrax.cells import initializers
from recurrax.cells.activations import FUNCTIONS
from recurrax.cells.gated import Units
from recurrax.cells.products import add_bias, project_gates, recur_gates
from recurrax.typing import Array, DTypeLike, Key, Shape

__all__ = ["OrthogonalRNN", "OrthogonalRNNCarry", "OrthogonalRNNParams"]

Activation = Literal["modrelu", "tanh", "relu", "identity"]


class OrthogonalRNNParams(NamedTuple):
    """kernel W (D, 1, H), skew A (H, H), of which what lies above the diagonal is read, bias b (1, H)."""

    kernel: Array
    skew: Array
    bias: Array


class OrthogonalRNNCarry(NamedTuple):
    """h (*batch, H)."""

    h: Array


@dataclass(frozen=True)
class OrthogonalRNN(Units[OrthogonalRNNParams, OrthogonalRNNCarry]):
    """h_t = φ(x_t W + h_tm1 Q, b), y_t = h_t, with Q = exp(S), S = triu(A) - triu(A)ᵀ

    φ(a, b) = sign(a) relu(|a| + b) for "modrelu", which is a for b = 0, and φ(a + b) for others. Q is orthogonal with
    determinant 1 whatever A is; it is made once per scan, forward and backward.

    Fields: `hidden_size` H; `activation` φ; initialisers per `recurrax.cells.initializers`. A starts as rotations of
    pairs of units by angles from U(-π, π).

    Differs from: Helfrich, Willmott & Ye (2018) take a Cayley transform, which reaches no rotation by π; projections
    and penalties hold a kernel near the orthogonal ones instead. Rounding costs about 1e-7 a step in float32.
    Gradient: ∂h_t/∂h_tm1 = diag(φ') Qᵀ, so its norm falls only by φ': exactly 1 at every lag for the identity.

    References: Lezcano-Casado & Martínez-Rubio (2019), section 3; Arjovsky, Shah & Bengio (2016), eq. 8, for modrelu;
    Henaff, Szlam & LeCun (2016) for the initial angles.

    >>> params = OrthogonalRNN(4).init(jax.random.key(0), input_size=2)
    >>> Q = orthogonal(params.skew)
    >>> bool(jnp.allclose(Q.T @ Q, jnp.eye(4), atol=1e-5))
    True
    """

    activation: Activation = "modrelu"

    def __post_init__(self):
        super().__post_init__()
        initializers.check_choice("activation", self.activation, get_args(Activation))

    def init(self, key: Key, input_size: int, dtype: DTypeLike = jnp.float32) -> OrthogonalRNNParams:
        keys = jax.random.split(key, 3)
        kernel, bias = self.draw_input(keys[:2], 1, input_size, dtype)
        angles = jax.random.uniform(keys[2], (self.hidden_size - 1,), minval=-jnp.pi, maxval=jnp.pi)
        # The first unit with the second, the third with the fourth: every other entry beside the diagonal.
        angles = angles * (jnp.arange(self.hidden_size - 1) % 2 == 0)
        return OrthogonalRNNParams(kernel, jnp.diag(angles, 1).astype(dtype), bias)

    def initial_carry(self, params: OrthogonalRNNParams, batch_shape: Shape, dtype: DTypeLike) -> OrthogonalRNNCarry:
        return OrthogonalRNNCarry(*self.zeros(1, batch_shape, dtype))

    def project(self, params: OrthogonalRNNParams, x: Array) -> Array:
        (u,) = project_gates(x, params.kernel, self._outside(params))
        return u

    def recur(self, params: OrthogonalRNNParams, carry: OrthogonalRNNCarry, u: Array) -> Array:
        (v,) = recur_gates(carry.h, orthogonal(params.skew)[:, None])
        return u + v

    def pointwise(
        self, params: OrthogonalRNNParams, carry: OrthogonalRNNCarry, u: Array, v: Array
    ) -> OrthogonalRNNCarry:
        if self.activation != "modrelu":
            return OrthogonalRNNCarry(h=FUNCTIONS[self.activation](v))
        return OrthogonalRNNCarry(h=jnp.sign(v) * jax.nn.relu(add_bias(jnp.abs(v), params.bias[0])))

    def output(self, params: OrthogonalRNNParams, carry: OrthogonalRNNCarry, u: Array) -> Array:
        return carry.h

    def _outside(self, params: OrthogonalRNNParams) -> Array:
        """The bias that is added before φ: modrelu's stands within it."""
        return jnp.zeros_like(params.bias) if self.activation == "modrelu" else params.bias


def orthogonal(skew: Array) -> Array:
    """exp(S) (H, H), S = triu(A) - triu(A)ᵀ, in at least float32: the exponential has no half-precision form."""
    upper = jnp.triu(skew.astype(jnp.promote_types(skew.dtype, jnp.float32)), 1)
    return jax.scipy.linalg.expm(upper - upper.T)
