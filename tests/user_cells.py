"""Cells a user of the library might write: what the contract allows beyond the library's own cells."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from recurrax import Cell
from recurrax.cells.products import add_bias, project_gates, recur_gates


class PeepholeParams(NamedTuple):
    kernel: Any
    recurrent_kernel: Any
    bias: Any
    peepholes: Any  # (3, H): i and f look at c_tm1, o at c_t


class PeepholeCarry(NamedTuple):
    h: Any
    c: Any


@dataclass(frozen=True)
class PeepholeLSTM(Cell):
    """An LSTM whose pointwise part has parameters of its own; gates in the order i, f, g, o."""

    hidden_size: int

    def init(self, key, input_size, dtype=jnp.float32):
        size = self.hidden_size
        shapes = PeepholeParams((input_size, 4, size), (size, 4, size), (4, size), (3, size))
        return PeepholeParams(
            *(0.3 * jax.random.normal(k, s, dtype) for k, s in zip(jax.random.split(key, 4), shapes, strict=True))
        )

    def initial_carry(self, params, batch_shape, dtype):
        zeros = jnp.zeros((*batch_shape, self.hidden_size), dtype)
        return PeepholeCarry(zeros, zeros)

    def project(self, params, x):
        return project_gates(x, params.kernel, params.bias)

    def recur(self, params, carry, u):
        return tuple(u_g + v_g for u_g, v_g in zip(u, recur_gates(carry.h, params.recurrent_kernel), strict=True))

    def pointwise(self, params, carry, u, v):
        i, f, g, o = v

        def peep(row, c):
            weight = params.peepholes[row].astype(c.dtype)
            return c * weight.reshape((1,) * (c.ndim - 1) + weight.shape)

        c = jax.nn.sigmoid(f + peep(1, carry.c)) * carry.c + jax.nn.sigmoid(i + peep(0, carry.c)) * jnp.tanh(g)
        return PeepholeCarry(h=jax.nn.sigmoid(o + peep(2, c)) * jnp.tanh(c), c=c)

    def output(self, params, carry, u):
        return carry.h


class NormState(NamedTuple):
    pre: Any


@dataclass(frozen=True)
class PreActivationRNN(Cell):
    """An Elman network that carries its pre-activation, so that the output is a nonlinear function of the carry."""

    hidden_size: int

    def init(self, key, input_size, dtype=jnp.float32):
        size = self.hidden_size
        kernel_key, recurrent_key = jax.random.split(key)
        return {
            "kernel": 0.5 * jax.random.normal(kernel_key, (input_size, 1, size), dtype),
            "recurrent_kernel": 0.5 * jax.random.normal(recurrent_key, (size, 1, size), dtype),
            "bias": jnp.zeros((1, size), dtype),
        }

    def initial_carry(self, params, batch_shape, dtype):
        return NormState(jnp.zeros((*batch_shape, self.hidden_size), dtype))

    def project(self, params, x):
        return project_gates(x, params["kernel"], params["bias"])[0]

    def recur(self, params, carry, u):
        return recur_gates(jnp.tanh(carry.pre), params["recurrent_kernel"])[0]

    def pointwise(self, params, carry, u, v):
        return NormState(u + v)

    def output(self, params, carry, u):
        return jnp.tanh(carry.pre)


class LeakyParams(NamedTuple):
    kernel: Any
    recurrent_kernel: Any
    bias: Any
    rate: Any  # (H,)
    start: Any  # (H,), the learned initial carry


class LeakyCarry(NamedTuple):
    h: Any


@dataclass(frozen=True)
class LearnedStart:
    """A leaky unit with a learned initial carry, written without inheriting from anything."""

    hidden_size: int

    def init(self, key, input_size, dtype=jnp.float32):
        size = self.hidden_size
        shapes = LeakyParams((input_size, 1, size), (size, 1, size), (1, size), (size,), (size,))
        return LeakyParams(
            *(0.5 * jax.random.normal(k, s, dtype) for k, s in zip(jax.random.split(key, 5), shapes, strict=True))
        )

    def initial_carry(self, params, batch_shape, dtype):
        return LeakyCarry(jnp.broadcast_to(params.start.astype(dtype), (*batch_shape, self.hidden_size)))

    def project(self, params, x):
        return project_gates(x, params.kernel, params.bias)[0]

    def recur(self, params, carry, u):
        return add_bias(u + recur_gates(carry.h, params.recurrent_kernel)[0], params.bias[0])

    def pointwise(self, params, carry, u, v):
        rate = jax.nn.sigmoid(params.rate).astype(v.dtype).reshape((1,) * (v.ndim - 1) + (-1,))
        return LeakyCarry((1 - rate) * carry.h + rate * jnp.tanh(v))

    def output(self, params, carry, u):
        return carry.h

    def step(self, params, carry, x):
        u = self.project(params, x)
        carry = self.pointwise(params, carry, u, self.recur(params, carry, u))
        return carry, self.output(params, carry, u)


class UnevenParams(NamedTuple):
    kernel: Any
    recurrent_kernel: Any


class UnevenCarry(NamedTuple):
    h: Any


@dataclass(frozen=True)
class UnevenGates(Cell):
    """h_t = σ(a_t) tanh(b_t) + σ(c_t) tanh(d_t) h_tm1, with (b, d) as one gate of 2H and computed between a and c."""

    hidden_size: int

    def init(self, key, input_size, dtype=jnp.float32):
        shapes = UnevenParams((input_size, 4 * self.hidden_size), (self.hidden_size, 4 * self.hidden_size))
        keys = jax.random.split(key)
        return UnevenParams(*(0.5 * jax.random.normal(k, s, dtype) for k, s in zip(keys, shapes, strict=True)))

    def initial_carry(self, params, batch_shape, dtype):
        return UnevenCarry(jnp.zeros((*batch_shape, self.hidden_size), dtype))

    def project(self, params, x):
        return jnp.split(x @ params.kernel, [self.hidden_size, 2 * self.hidden_size], axis=-1)

    def recur(self, params, carry, u):
        product = carry.h.astype(params.recurrent_kernel.dtype) @ params.recurrent_kernel
        v = jnp.split(product, [self.hidden_size, 2 * self.hidden_size], axis=-1)
        return [u_g + v_g for u_g, v_g in zip(u, v, strict=True)]

    def pointwise(self, params, carry, u, v):
        a, pair, c = jax.nn.sigmoid(v[0]), jnp.tanh(v[2]), jax.nn.sigmoid(v[1])
        return UnevenCarry(a * pair[..., : self.hidden_size] + c * pair[..., self.hidden_size :] * carry.h)

    def output(self, params, carry, u):
        return carry.h


ALL = (PeepholeLSTM(4), PreActivationRNN(4), LearnedStart(4), UnevenGates(4))
