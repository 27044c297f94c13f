"""Gated cells as papers give them: LSTMs and GRUs with a difference."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import sigmoid

from zoo.base import Gated, Small, draw


class HC(NamedTuple):
    h: Any
    c: Any


class TextbookLSTM(Gated):
    """Its output is h * c, which no field of the carry holds."""

    def initial_carry(self, params, batch_shape, dtype):
        return HC(self.zeros(batch_shape, dtype), self.zeros(batch_shape, dtype))

    def recur(self, params, carry, u):
        return u + jnp.dot(carry.h, params["recurrent_kernel"])

    def pointwise(self, params, carry, u, v):
        i, f, g, o = self.split(v)
        c = sigmoid(f) * carry.c + sigmoid(i) * jnp.tanh(g)
        return HC(sigmoid(o) * jnp.tanh(c), c)

    def output(self, params, carry, u):
        return carry.h * carry.c


class PeepholeParams(NamedTuple):
    kernel: Any  # (D, 4, H)
    recurrent_kernel: Any  # (H, 4, H)
    bias: Any  # (4, H)
    peepholes: Any  # (3, H): i and f look at c_tm1, o at c_t


@dataclass(frozen=True)
class PeepholeLSTM(Small):
    """Its pointwise part has parameters of its own; gates in the order i, f, g, o."""

    def shapes(self, input_size):
        size = self.hidden_size
        return PeepholeParams((input_size, 4, size), (size, 4, size), (4, size), (3, size))

    def initial_carry(self, params, batch_shape, dtype):
        return HC(self.zeros(batch_shape, dtype), self.zeros(batch_shape, dtype))

    def project(self, params, x):
        return jnp.einsum("...d,dgh->...gh", x, params.kernel) + params.bias

    def recur(self, params, carry, u):
        return u + jnp.einsum("...k,kgh->...gh", carry.h, params.recurrent_kernel)

    def pointwise(self, params, carry, u, v):
        p_i, p_f, p_o = params.peepholes.astype(carry.c.dtype)
        i, f = sigmoid(v[..., 0, :] + p_i * carry.c), sigmoid(v[..., 1, :] + p_f * carry.c)
        c = f * carry.c + i * jnp.tanh(v[..., 2, :])
        return HC(sigmoid(v[..., 3, :] + p_o * c) * jnp.tanh(c), c)

    def output(self, params, carry, u):
        return carry.h


@dataclass(frozen=True)
class ProjectedLSTM(Gated):
    """h = (σ(o) tanh(c)) P with fewer units than c: a product after the gates, inside the step."""

    projection_size: int = 2

    def shapes(self, input_size):
        recurrent = {"recurrent_kernel": (self.projection_size, 4 * self.hidden_size)}
        return super().shapes(input_size) | recurrent | {"projection": (self.hidden_size, self.projection_size)}

    def initial_carry(self, params, batch_shape, dtype):
        return HC(jnp.zeros((*batch_shape, self.projection_size), dtype), self.zeros(batch_shape, dtype))

    def recur(self, params, carry, u):
        return u + carry.h @ params["recurrent_kernel"]

    def pointwise(self, params, carry, u, v):
        i, f, g, o = self.split(v)
        c = sigmoid(f) * carry.c + sigmoid(i) * jnp.tanh(g)
        return HC((sigmoid(o) * jnp.tanh(c)) @ params["projection"], c)

    def output(self, params, carry, u):
        return carry.h


class Uneven(Small):
    """h_t = σ(a_t) tanh(b_t) + σ(c_t) tanh(d_t) h_tm1, with (b, d) as one gate of 2H and computed between a and c."""

    def shapes(self, input_size):
        width = 4 * self.hidden_size
        return {"kernel": (input_size, width), "recurrent_kernel": (self.hidden_size, width)}

    def cut(self, joined):
        return jnp.split(joined, [self.hidden_size, 2 * self.hidden_size], axis=-1)

    def project(self, params, x):
        return self.cut(x @ params["kernel"])

    def recur(self, params, h, u):
        return [u_g + v_g for u_g, v_g in zip(u, self.cut(h @ params["recurrent_kernel"]), strict=True)]

    def pointwise(self, params, h, u, v):
        a, pair, c = sigmoid(v[0]), jnp.tanh(v[2]), sigmoid(v[1])
        return a * pair[..., : self.hidden_size] + c * pair[..., self.hidden_size :] * h


class MGU(Gated):
    """The minimal gated unit: its second product reads what the first one gives."""

    gates = 2

    def recur(self, params, h, u):
        u_f, u_n = self.split(u)
        kernel_f, kernel_n = self.split(params["recurrent_kernel"])
        f = sigmoid(u_f + h @ kernel_f)
        return f, u_n + (f * h) @ kernel_n

    def pointwise(self, params, h, u, v):
        f, n = v
        return (1 - f) * h + f * jnp.tanh(n)


class ResetBeforeGRU(Gated):
    """Projects to a dict, one entry per gate."""

    gates = 3

    def project(self, params, x):
        return dict(zip("rzn", self.split(super().project(params, x)), strict=True))

    def recur(self, params, h, u):
        kernel_r, kernel_z, kernel_n = self.split(params["recurrent_kernel"])
        r = sigmoid(u["r"] + h @ kernel_r)
        return {"z": u["z"] + h @ kernel_z, "n": u["n"] + (r * h) @ kernel_n}

    def pointwise(self, params, h, u, v):
        z = sigmoid(v["z"])
        return (1 - z) * jnp.tanh(v["n"]) + z * h


class ResetAfterGRU(Gated):
    """Projection and product stay apart, since r multiplies the product alone."""

    gates = 3

    def recur(self, params, h, u):
        return h @ params["recurrent_kernel"]

    def pointwise(self, params, h, u, v):
        (u_r, u_z, u_n), (v_r, v_z, v_n) = self.split(u), self.split(v)
        z = sigmoid(u_z + v_z)
        return (1 - z) * jnp.tanh(u_n + sigmoid(u_r + v_r) * v_n) + z * h


class Multiplicative(Small):
    """m = (x A) * (h B), v = x W + m U: a product of the projection and the carry between two products."""

    def shapes(self, input_size):
        size = self.hidden_size
        return super().shapes(input_size) | {"factor": (input_size, size), "recurrent_factor": (size, size)}

    def project(self, params, x):
        return x @ params["factor"], super().project(params, x)

    def recur(self, params, h, u):
        return u[1] + (u[0] * (h @ params["recurrent_factor"])) @ params["recurrent_kernel"]

    def pointwise(self, params, h, u, v):
        return jnp.tanh(v)


class SLSTMCarry(NamedTuple):
    h: Any
    c: Any
    n: Any
    m: Any


class SLSTM(Gated):
    """Exponential gates, kept finite by a running maximum m."""

    def initial_carry(self, params, batch_shape, dtype):
        return SLSTMCarry(*(self.zeros(batch_shape, dtype) for _ in range(4)))

    def recur(self, params, carry, u):
        return u + carry.h @ params["recurrent_kernel"]

    def pointwise(self, params, carry, u, v):
        i, f, z, o = self.split(v)
        f = jax.nn.log_sigmoid(f)
        m = jnp.maximum(f + carry.m, i)
        forget, write = jnp.exp(f + carry.m - m), jnp.exp(i - m)
        c, n = forget * carry.c + write * jnp.tanh(z), forget * carry.n + write
        return SLSTMCarry(sigmoid(o) * c / (jnp.abs(n) + 1), c, n, m)

    def output(self, params, carry, u):
        return carry.h


class OutputGate(Gated):
    """The output gate is the projection's alone and meets the carry in `output`; the memory sees no gate of h."""

    gates = 3

    def recur(self, params, c, u):
        i, g, _ = self.split(u)
        kernel_i, kernel_g, _ = self.split(params["recurrent_kernel"])
        return i + c @ kernel_i, g + c @ kernel_g

    def pointwise(self, params, c, u, v):
        i = sigmoid(v[0])
        return (1 - i) * c + i * jnp.tanh(v[1])

    def output(self, params, c, u):
        return sigmoid(self.split(u)[2]) * jnp.tanh(c)


class QuasiRNN(Gated):
    """No product with the carry: `recur` gives None, all gates come from the input."""

    gates = 2

    def recur(self, params, c, u):
        return None

    def pointwise(self, params, c, u, v):
        f, g = self.split(u)
        return sigmoid(f) * c + (1 - sigmoid(f)) * jnp.tanh(g)


class IndependentRNN(Small):
    """`recur` gives what it was given; the recurrent weights are a vector that `pointwise` uses."""

    def init(self, key, input_size, dtype=jnp.float32):
        size = self.hidden_size
        return draw(key, {"kernel": (input_size, size), "bias": (size,), "recurrent": (size,)}, dtype)

    def recur(self, params, h, u):
        return u

    def pointwise(self, params, h, u, v):
        return jax.nn.relu(v + params["recurrent"] * h)


class LSTMInLSTM(Gated):
    """A carry of dicts in tuples: an outer memory whose content an inner one gates."""

    def initial_carry(self, params, batch_shape, dtype):
        outer, inner = (self.zeros(batch_shape, dtype) for _ in range(2))
        return {"h": self.zeros(batch_shape, dtype), "memory": (outer, {"inner": inner})}

    def recur(self, params, carry, u):
        return u + carry["h"] @ params["recurrent_kernel"]

    def pointwise(self, params, carry, u, v):
        i, f, g, o = self.split(v)
        outer, within = carry["memory"]
        inner = 0.7 * within["inner"] + sigmoid(i) * jnp.tanh(g)
        outer = sigmoid(f) * outer + jnp.sin(inner)
        return {"h": sigmoid(o) * jnp.tanh(outer), "memory": (outer, {"inner": inner})}

    def output(self, params, carry, u):
        return carry["h"]


CELLS = (
    TextbookLSTM(),
    PeepholeLSTM(),
    ProjectedLSTM(),
    Uneven(),
    MGU(),
    ResetBeforeGRU(),
    ResetAfterGRU(),
    Multiplicative(),
    SLSTM(),
    OutputGate(),
    QuasiRNN(),
    IndependentRNN(),
    LSTMInLSTM(),
)
