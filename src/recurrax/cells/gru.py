"""The gated recurrent unit, resetting after or before the recurrent product."""

from dataclasses import dataclass
from typing import NamedTuple, get_args

import jax
import jax.numpy as jnp

from recurrax.cells import initializers
from recurrax.cells.activations import FUNCTIONS, Activation
from recurrax.cells.gated import Gated
from recurrax.cells.products import add_bias, project_gates, recur_gates
from recurrax.typing import Array, DTypeLike, Key, Shape

__all__ = ["GRU", "GRUCarry", "GRUParams"]


class GRUParams(NamedTuple):
    """kernel W (D, 3, H), recurrent_kernel U (H, 3, H), bias b (3, H); gates in the order r, z, n.

    `recurrent_bias` b' (H,) stands inside the reset product; None where the reset comes before the product, since
    there it would only add to b_n.
    """

    kernel: Array
    recurrent_kernel: Array
    bias: Array
    recurrent_bias: Array | None


class GRUCarry(NamedTuple):
    """h (*batch, H)."""

    h: Array


class GRUGates(NamedTuple):
    """r, z, n, each (..., H)."""

    r: Array
    z: Array
    n: Array


@dataclass(frozen=True)
class GRU(Gated[GRUParams, GRUCarry]):
    """h_t = (1 - z_t) n_t + z_t h_tm1, y_t = h_t, with

    r_t = σ(x_t W_r + h_tm1 U_r + b_r),  z_t = σ(x_t W_z + h_tm1 U_z + b_z)
    n_t = tanh(x_t W_n + b_n + r_t (h_tm1 U_n + b'))      reset_after=True, one recurrent product per step
    n_t = tanh(x_t W_n + b_n + (r_t h_tm1) U_n)           reset_after=False, two, one waiting for the other

    Fields: `hidden_size` H; `reset_after`; `update_bias` is added to the drawn bias of z; `gate` and `candidate`: other
    functions for σ and tanh; initialisers per `recurrax.cells.initializers`.

    Differs from: Flax's nnx `GRUCell` has no b'; PyTorch and cuDNN keep a second bias for r and z too, which only adds
    to b; Keras and ONNX order the gates z, r, n. Cho et al. write z for what is 1 - z here.
    Gradient: along the unit alone ∂h_t/∂h_tm1 = diag(z_t), which is 1/2 per step where z has no bias;
    an update bias b holds exp(k log σ(b)) after k steps.

    References: Cho et al. (2014), eqs. 5-8, reset before; the reset-after form is cuDNN's (2016).

    >>> params = GRU(3).init(jax.random.key(0), input_size=2)
    >>> params.recurrent_bias.shape, GRU(3, reset_after=False).init(jax.random.key(0), 2).recurrent_bias
    ((3,), None)
    """

    reset_after: bool = True
    update_bias: float = 0.0
    gate: Activation = "sigmoid"
    candidate: Activation = "tanh"

    def __post_init__(self):
        super().__post_init__()
        initializers.check_bool("reset_after", self.reset_after)
        initializers.check_finite("update_bias", self.update_bias)
        initializers.check_choice("gate", self.gate, get_args(Activation))
        initializers.check_choice("candidate", self.candidate, get_args(Activation))

    def init(self, key: Key, input_size: int, dtype: DTypeLike = jnp.float32) -> GRUParams:
        keys = jax.random.split(key, 4)
        one = "uniform" if self.bias_init == "torch" else self.bias_init  # b_n and b' are PyTorch's two, kept apart
        kernel, recurrent_kernel, bias = self.draw(keys[:3], 3, input_size, dtype)
        bias = bias.at[1].add(self.update_bias)
        if not self.reset_after:
            return GRUParams(kernel, recurrent_kernel, bias, recurrent_bias=None)
        if self.bias_init == "torch":
            bias = bias.at[2].set(initializers.bias(one, jax.random.fold_in(keys[3], 1), (self.hidden_size,), dtype))
        inner = initializers.bias(one, keys[3], (self.hidden_size,), dtype)
        return GRUParams(kernel, recurrent_kernel, bias, recurrent_bias=inner)

    def initial_carry(self, params: GRUParams, batch_shape: Shape, dtype: DTypeLike) -> GRUCarry:
        return GRUCarry(*self.zeros(1, batch_shape, dtype))

    def project(self, params: GRUParams, x: Array) -> GRUGates:
        return GRUGates(*project_gates(x, params.kernel, params.bias))

    def recur(self, params: GRUParams, carry: GRUCarry, u: GRUGates) -> GRUGates:
        """Pre-activations of r and z, and of n all but what `reset_after` still has to multiply by r."""
        if self.reset_after:
            if params.recurrent_bias is None:
                raise ValueError("params: expected a recurrent_bias (H,) with reset_after=True, got None")
            r, z, n = recur_gates(carry.h, params.recurrent_kernel)
            return GRUGates(r=u.r + r, z=u.z + z, n=add_bias(n, params.recurrent_bias))
        r, z = recur_gates(carry.h, params.recurrent_kernel[:, :2])
        (n,) = recur_gates(FUNCTIONS[self.gate](u.r + r) * carry.h, params.recurrent_kernel[:, 2:])
        return GRUGates(r=u.r + r, z=u.z + z, n=u.n + n)

    def pointwise(self, params: GRUParams, carry: GRUCarry, u: GRUGates, v: GRUGates) -> GRUCarry:
        gate = FUNCTIONS[self.gate]
        n = FUNCTIONS[self.candidate](u.n + gate(v.r) * v.n if self.reset_after else v.n)
        z = gate(v.z)
        return GRUCarry(h=(1 - z) * n + z * carry.h)
