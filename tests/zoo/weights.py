"""What a cell does with its parameters: nested, tied, unused, masked, normalised, factored, exponentiated, mixed."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from zoo.base import FEATURES, WIDTH, Small, draw


class Tanh(Small):
    """The plain unit that those of this file differ from in their weights alone."""

    def pointwise(self, params, h, u, v):
        return jnp.tanh(v)


class Nested(Tanh):
    def shapes(self, input_size):
        size = self.hidden_size
        return {"cell": {"in": {"w": (input_size, size)}, "hidden": [(size, size), (size,)]}, "scale": ()}

    def project(self, params, x):
        return x @ params["cell"]["in"]["w"]

    def recur(self, params, h, u):
        kernel, bias = params["cell"]["hidden"]
        return params["scale"] * (u + h @ kernel) + bias


class Tied(Tanh):
    """One kernel for inputs, carry and output; input and state have one size."""

    features = WIDTH

    def shapes(self, input_size):
        return {"kernel": (self.hidden_size, self.hidden_size)}

    def project(self, params, x):
        return x @ params["kernel"]

    def recur(self, params, h, u):
        return u + h @ params["kernel"].T

    def output(self, params, h, u):
        return h @ params["kernel"]

    def inputs(self, noise, steps, batch_shape, dtype):
        return noise.standard_normal((steps, *batch_shape, self.hidden_size)).astype(dtype)


class Unused(Tanh):
    """Parameters that nothing reads, as an ablation leaves them behind."""

    def shapes(self, input_size):
        return super().shapes(input_size) | {"attention": {"query": (2, 2)}, "old": (3,)}


class Masked(Tanh):
    """A sparse recurrence, its mask a NumPy constant of the class."""

    MASK = np.array([[1, 0, 1], [1, 1, 0], [0, 1, 1]], bool)

    def recur(self, params, h, u):
        return u + h @ jnp.where(self.MASK, params["recurrent_kernel"], 0)


class DaleMasked(Tanh):
    """Excitatory and inhibitory units: signs times absolute weights."""

    SIGNS = np.array([1.0, 1.0, -1.0], np.float32)

    def recur(self, params, h, u):
        return u + h @ (self.SIGNS[:, None] * jnp.abs(params["recurrent_kernel"]))


class WeightNormalised(Tanh):
    def shapes(self, input_size):
        return super().shapes(input_size) | {"gain": (self.hidden_size,)}

    def recur(self, params, h, u):
        kernel = params["recurrent_kernel"]
        return u + h @ (params["gain"] * kernel / jnp.linalg.norm(kernel, axis=0, keepdims=True))


class Exponential(Tanh):
    """An orthogonal recurrence: the exponential of a skew-symmetric kernel."""

    def recur(self, params, h, u):
        kernel = params["recurrent_kernel"].astype(jnp.promote_types(params["recurrent_kernel"].dtype, jnp.float32))
        return u + h @ jax.scipy.linalg.expm(kernel - kernel.T)


@dataclass(frozen=True)
class Antisymmetric(Small):
    step_size: float = 0.3
    diffusion: float = 0.1

    def recur(self, params, h, u):
        kernel = params["recurrent_kernel"]
        return u + h @ (kernel - kernel.T - self.diffusion * jnp.eye(self.hidden_size, dtype=kernel.dtype))

    def pointwise(self, params, h, u, v):
        return h + self.step_size * jnp.tanh(v)


class Cayley(Tanh):
    """An orthogonal recurrence again, by a linear solve."""

    def recur(self, params, h, u):
        kernel = params["recurrent_kernel"].astype(jnp.promote_types(params["recurrent_kernel"].dtype, jnp.float32))
        skew, one = kernel - kernel.T, jnp.eye(self.hidden_size, dtype=kernel.dtype)
        return u + h @ jnp.linalg.solve(one + skew, one - skew)


class LowRank(Tanh):
    """U = L R of rank 1: two products with the carry in a row."""

    def shapes(self, input_size):
        shapes = super().shapes(input_size)
        del shapes["recurrent_kernel"]
        return shapes | {"left": (self.hidden_size, 1), "right": (1, self.hidden_size)}

    def recur(self, params, h, u):
        return u + h @ params["left"] @ params["right"]


class Factored(Tanh):
    """U = A B, a product of parameters, scaled by a third."""

    def shapes(self, input_size):
        size = self.hidden_size
        return {"kernel": (input_size, size), "bias": (size,), "A": (size, 2), "B": (2, size), "log_gain": ()}

    def recur(self, params, h, u):
        return u + h @ (jnp.exp(params["log_gain"]) * params["A"] @ params["B"])


class LearnedStartParams(NamedTuple):
    kernel: Any  # (D, H)
    recurrent_kernel: Any  # (H, H)
    bias: Any  # (H,)
    rate: Any  # (H,)
    start: Any  # (H,), the learned initial carry


class LearnedStartCarry(NamedTuple):
    h: Any


@dataclass(frozen=True)
class LearnedStart:
    """A leaky unit with a learned initial carry, written without inheriting from anything."""

    hidden_size: int = 3

    def init(self, key, input_size, dtype=jnp.float32):
        size = self.hidden_size
        return draw(key, LearnedStartParams((input_size, size), (size, size), (size,), (size,), (size,)), dtype)

    def initial_carry(self, params, batch_shape, dtype):
        return LearnedStartCarry(jnp.broadcast_to(params.start.astype(dtype), (*batch_shape, self.hidden_size)))

    def project(self, params, x):
        return jnp.dot(x, params.kernel)

    def recur(self, params, carry, u):
        return u + jnp.dot(carry.h, params.recurrent_kernel) + params.bias

    def pointwise(self, params, carry, u, v):
        rate = jax.nn.sigmoid(params.rate)
        return LearnedStartCarry((1 - rate) * carry.h + rate * jnp.tanh(v))

    def output(self, params, carry, u):
        return carry.h

    def step(self, params, carry, x):
        u = self.project(params, x)
        carry = self.pointwise(params, carry, u, self.recur(params, carry, u))
        return carry, self.output(params, carry, u)

    features, inputs = FEATURES, Small.inputs


class Modulated(Tanh):
    """A kernel that the state scales anew at every step, row by row: its gradient is no plain sum of products."""

    def recur(self, params, h, u):
        scale = jax.lax.stop_gradient(jax.nn.sigmoid(h))
        kernels = params["recurrent_kernel"] * scale[..., None]  # (B, H, H)
        return u + jnp.einsum("...i,...ij->...j", h, kernels)


class MixedOutput(Tanh):
    """Its output is the state times a mixing matrix, with a skip connection from the projection."""

    def shapes(self, input_size):
        return super().shapes(input_size) | {"mixing": (self.hidden_size, 2), "skip": (self.hidden_size, 2)}

    def output(self, params, h, u):
        return h @ params["mixing"] + u @ params["skip"]


class Readout(Tanh):
    """An output of logits: a projection with a bias and a softmax."""

    def shapes(self, input_size):
        return super().shapes(input_size) | {"out": {"kernel": (self.hidden_size, 4), "bias": (4,)}}

    def output(self, params, h, u):
        return jax.nn.log_softmax(h @ params["out"]["kernel"] + params["out"]["bias"], axis=-1)


class Reservoir(Tanh):
    """An echo state network: kernels that `stop_gradient` keeps as they were drawn, and a trained readout."""

    def shapes(self, input_size):
        return super().shapes(input_size) | {"out": (self.hidden_size, self.hidden_size)}

    def recur(self, params, h, u):
        return jax.lax.stop_gradient(u) + h @ jax.lax.stop_gradient(params["recurrent_kernel"])

    def output(self, params, h, u):
        return h @ params["out"] + u


class Heads(Tanh):
    """Two heads with block-diagonal recurrent kernels: a carry (B, heads, H)."""

    def shapes(self, input_size):
        size = self.hidden_size
        return {"kernel": (input_size, 2, size), "recurrent_kernel": (2, size, size)}

    def initial_carry(self, params, batch_shape, dtype):
        return jnp.zeros((*batch_shape, 2, self.hidden_size), dtype)

    def project(self, params, x):
        return jnp.einsum("...d,dnh->...nh", x, params["kernel"])

    def recur(self, params, h, u):
        return u + jnp.einsum("...nk,nkh->...nh", h, params["recurrent_kernel"])

    def output(self, params, h, u):
        return h.reshape(*h.shape[:-2], -1)


CELLS = (
    Tanh(),
    Nested(),
    Tied(),
    Unused(),
    Masked(),
    DaleMasked(),
    WeightNormalised(),
    Exponential(),
    Antisymmetric(),
    Cayley(),
    LowRank(),
    Factored(),
    LearnedStart(),
    Modulated(),
    MixedOutput(),
    Readout(),
    Reservoir(),
    Heads(),
)
