"""Carries of other shapes: matrices, images, complex numbers, slots, mixed precision."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import sigmoid

from zoo.base import Gated, Small, draw


@dataclass(frozen=True)
class MatrixMemory(Small):
    """S_t = λ S_tm1 + k vᵀ read by a query: linear attention with a constant decay."""

    decay: float = 0.9

    def shapes(self, input_size):
        return {name: (input_size, self.hidden_size) for name in ("query", "key", "value")}

    def initial_carry(self, params, batch_shape, dtype):
        return jnp.zeros((*batch_shape, self.hidden_size, self.hidden_size), dtype)

    def project(self, params, x):
        return tuple(jnp.dot(x, params[name]) for name in ("query", "key", "value"))

    def recur(self, params, memory, u):
        return None

    def pointwise(self, params, memory, u, v):
        _, key, value = u
        return self.decay * memory + key[..., :, None] * value[..., None, :]

    def output(self, params, memory, u):
        return jnp.einsum("...k,...kv->...v", u[0], memory)


class DeltaRule(MatrixMemory):
    """S_t = S_tm1 + β (v - S_tm1 k) kᵀ with a key of length 1; the read of S_tm1 is a product with the carry."""

    def shapes(self, input_size):
        return super().shapes(input_size) | {"beta": (input_size, 1)}

    def project(self, params, x):
        query, key, value = super().project(params, x)
        key = key / jnp.sqrt((key**2).sum(-1, keepdims=True) + 1e-2)
        return query, key, value, sigmoid(x @ params["beta"])

    def recur(self, params, memory, u):
        return jnp.einsum("...k,...kv->...v", u[1], memory)

    def pointwise(self, params, memory, u, v):
        _, key, value, beta = u
        return memory + jnp.einsum("...k,...v->...kv", key, beta * (value - v))


class FastWeights(Small):
    """A decaying matrix of recent states that h settles on in two inner iterations."""

    def initial_carry(self, params, batch_shape, dtype):
        h = self.zeros(batch_shape, dtype)
        return {"h": h, "fast": jnp.zeros((*h.shape, self.hidden_size), dtype)}

    def recur(self, params, carry, u):
        return u + carry["h"] @ params["recurrent_kernel"]

    def pointwise(self, params, carry, u, v):
        h = jnp.tanh(v)
        fast = 0.9 * carry["fast"] + 0.5 * jnp.einsum("...i,...j->...ij", carry["h"], carry["h"])
        for _ in range(2):
            h = jnp.tanh(v + jnp.einsum("...i,...ij->...j", h, fast))
        return {"h": h, "fast": fast}

    def output(self, params, carry, u):
        return carry["h"]


class Slots(Small):
    """Four slots, read and written by attention (a small Neural Turing machine)."""

    slots = 4

    def shapes(self, input_size):
        size = self.hidden_size
        return super().shapes(input_size) | {"read": (size, size), "start": (self.slots, size)}

    def initial_carry(self, params, batch_shape, dtype):
        slots = jnp.broadcast_to(params["start"].astype(dtype), (*batch_shape, self.slots, self.hidden_size))
        return self.zeros(batch_shape, dtype), slots

    def recur(self, params, carry, u):
        h, _ = carry
        return u + h @ params["recurrent_kernel"], h @ params["read"]

    def pointwise(self, params, carry, u, v):
        _, slots = carry
        weights = jax.nn.softmax(jnp.einsum("...sh,...h->...s", slots, v[1]), axis=-1)
        h = jnp.tanh(v[0] + jnp.einsum("...s,...sh->...h", weights, slots))
        weights = weights[..., None]
        return h, slots + 0.5 * weights * (h[..., None, :] - slots)

    def output(self, params, carry, u):
        return carry[0]


class ConvolutionalGRU(Small):
    """A state (B, h, w, c) under 3 by 3 convolutions, its inputs images of h * w pixels."""

    height, width, channels = 3, 2, 2
    features = height * width

    def shapes(self, input_size):
        channels = self.channels
        return {"kernel": (3, 3, 1, 2 * channels), "recurrent_kernel": (3, 3, channels, 2 * channels)}

    def initial_carry(self, params, batch_shape, dtype):
        return jnp.zeros((*batch_shape, self.height, self.width, self.channels), dtype)

    def convolve(self, x, kernel):
        images = x.reshape(-1, *x.shape[-3:])
        dimensions = ("NHWC", "HWIO", "NHWC")
        y = jax.lax.conv_general_dilated(images, kernel.astype(x.dtype), (1, 1), "SAME", dimension_numbers=dimensions)
        return y.reshape(*x.shape[:-1], y.shape[-1])

    def project(self, params, x):
        return self.convolve(x.reshape(*x.shape[:-1], self.height, self.width, 1), params["kernel"])

    def recur(self, params, h, u):
        return u + self.convolve(h, params["recurrent_kernel"])

    def pointwise(self, params, h, u, v):
        z, n = jnp.split(v, 2, axis=-1)
        return sigmoid(z) * h + (1 - sigmoid(z)) * jnp.tanh(n)

    def inputs(self, noise, steps, batch_shape, dtype):
        return noise.standard_normal((steps, *batch_shape, self.height * self.width)).astype(dtype)


class LRU(Small):
    """A complex diagonal recurrence between real projections, with a skip connection."""

    def shapes(self, input_size):
        size = self.hidden_size
        real = {"nu": (size,), "theta": (size,), "skip": (input_size, size)}
        return real | {"B": (2, input_size, size), "C": (2, size, size)}

    def initial_carry(self, params, batch_shape, dtype):
        return self.zeros(batch_shape, jnp.result_type(dtype, jnp.complex64))

    def project(self, params, x):
        real, imaginary = params["B"]
        return jax.lax.complex(*jnp.broadcast_arrays(x @ real, x @ imaginary)), x @ params["skip"]

    def recur(self, params, s, u):
        return u[0]

    def pointwise(self, params, s, u, v):
        wide = s.real.dtype
        rate, angle = -jnp.exp(params["nu"].astype(wide)), jnp.exp(params["theta"].astype(wide))
        return jnp.exp(rate + 1j * angle) * s + v

    def output(self, params, s, u):
        real, imaginary = params["C"]
        return s.real @ real - s.imag @ imaginary + u[1]


class UnitaryRNN(Small):
    """Complex parameters too: a full complex kernel and modReLU."""

    def init(self, key, input_size, dtype=jnp.float32):
        real = draw(key, self.shapes(input_size), dtype)
        turned = real["recurrent_kernel"] * jnp.exp(1j * real["bias"].astype(jnp.promote_types(dtype, jnp.float32)))
        return real | {"recurrent_kernel": turned}

    def initial_carry(self, params, batch_shape, dtype):
        return self.zeros(batch_shape, jnp.result_type(dtype, jnp.complex64))

    def pointwise(self, params, s, u, v):
        size = jnp.sqrt(v.real**2 + v.imag**2 + 1e-2)
        return v / size * jax.nn.relu(size + params["bias"].astype(size.dtype))

    def output(self, params, s, u):
        return jnp.concatenate([s.real, s.imag], axis=-1)


class MixedPrecision(Gated):
    """A bfloat16 memory beside a state of full precision."""

    def initial_carry(self, params, batch_shape, dtype):
        return {"h": self.zeros(batch_shape, dtype), "c": self.zeros(batch_shape, jnp.bfloat16)}

    def recur(self, params, carry, u):
        return u + carry["h"] @ params["recurrent_kernel"]

    def pointwise(self, params, carry, u, v):
        i, f, g, o = self.split(v)
        c = sigmoid(f) * carry["c"].astype(f.dtype) + sigmoid(i) * jnp.tanh(g)
        return {"h": sigmoid(o) * jnp.tanh(c), "c": c.astype(jnp.bfloat16)}

    def output(self, params, carry, u):
        return carry["h"]


class LegendreMemory(Small):
    """LMU: a memory of order 3 with matrices that are NumPy constants of the class, fed by a learned scalar."""

    A = np.array([[0.9, 0.1, -0.1], [-0.3, 0.8, 0.2], [0.1, -0.4, 0.7]], np.float32)
    B = np.array([0.4, -0.2, 0.1], np.float32)

    def shapes(self, input_size):
        size = self.hidden_size
        return super().shapes(input_size) | {"write": (size, 1), "read": (3, size)}

    def initial_carry(self, params, batch_shape, dtype):
        return self.zeros(batch_shape, dtype), jnp.zeros((*batch_shape, 3), dtype)

    def recur(self, params, carry, u):
        h, memory = carry
        memory = memory @ self.A.T + (h @ params["write"]) * self.B
        return u + h @ params["recurrent_kernel"] + memory @ params["read"], memory

    def pointwise(self, params, carry, u, v):
        return jnp.tanh(v[0]), v[1]

    def output(self, params, carry, u):
        return carry[0]


@dataclass(frozen=True)
class CoupledOscillators(Small):
    """coRNN: positions y and velocities z, both in one step of size `dt`."""

    dt: float = 0.3

    def shapes(self, input_size):
        return super().shapes(input_size) | {"recurrent_velocity": (self.hidden_size, self.hidden_size)}

    def initial_carry(self, params, batch_shape, dtype):
        return {"y": self.zeros(batch_shape, dtype), "z": self.zeros(batch_shape, dtype)}

    def recur(self, params, carry, u):
        return u + carry["y"] @ params["recurrent_kernel"] + carry["z"] @ params["recurrent_velocity"]

    def pointwise(self, params, carry, u, v):
        z = carry["z"] + self.dt * (jnp.tanh(v) - 1.5 * carry["y"] - 0.5 * carry["z"])
        return {"y": carry["y"] + self.dt * z, "z": z}

    def output(self, params, carry, u):
        return carry["y"]


CELLS = (
    MatrixMemory(),
    DeltaRule(),
    FastWeights(),
    Slots(),
    ConvolutionalGRU(),
    LRU(),
    UnitaryRNN(),
    MixedPrecision(),
    LegendreMemory(),
    CoupledOscillators(),
)
