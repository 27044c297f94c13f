"""Cells that use the whole width of the contract, each with inputs of its own."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from recurrax import Cell

H = 3


def normal(key, shape, dtype, scale=0.7):
    return scale * jax.random.normal(key, shape, dtype)


class CounterParams(NamedTuple):
    kernel: Any  # (2, H)
    recurrent_kernel: Any  # (H, H)
    order: Any  # int (H,)


class CounterCarry(NamedTuple):
    h: Any  # (*batch, H)
    count: Any  # int32 (*batch)
    odd: Any  # bool (*batch)
    bits: Any  # uint32 (*batch, 2)
    key: Any  # a key of random numbers (*batch)


@dataclass(frozen=True)
class Counter(Cell):
    """h_t = tanh(x_t W + h_tm1 U) (1 - 1/(t + 2)), its units in an order that is a parameter, the sign by parity."""

    def init(self, key, input_size, dtype=jnp.float32):
        keys = jax.random.split(key)
        order = jnp.roll(jnp.arange(H), 1)
        return CounterParams(normal(keys[0], (input_size, H), dtype), normal(keys[1], (H, H), dtype), order)

    def initial_carry(self, params, batch_shape, dtype):
        return CounterCarry(
            jnp.zeros((*batch_shape, H), dtype),
            jnp.zeros(batch_shape, jnp.int32),
            jnp.zeros(batch_shape, bool),
            jnp.zeros((*batch_shape, 2), jnp.uint32),
            jnp.broadcast_to(jax.random.key(0), batch_shape),
        )

    def project(self, params, x):
        return x @ params.kernel

    def recur(self, params, carry, u):
        return carry.h @ params.recurrent_kernel

    def pointwise(self, params, carry, u, v):
        shrink = (1 - 1 / (carry.count.astype(v.dtype) + 2)) * jnp.where(carry.odd, -1.0, 1.0).astype(v.dtype)
        h = jnp.take(jnp.tanh(u + v) + 0.3 * carry.h, params.order, axis=-1) * shrink[..., None]
        return CounterCarry(h, carry.count + 1, ~carry.odd, carry.bits + jnp.uint32(3), carry.key)

    def output(self, params, carry, u):
        return carry.h


class DiagonalParams(NamedTuple):
    kernel: Any  # complex (2, H)
    log_decay: Any  # (H,)
    angle: Any  # (H,)
    readout: Any  # complex (H, H)


class DiagonalCarry(NamedTuple):
    z: Any  # complex (*batch, H)


@dataclass(frozen=True)
class ComplexDiagonal(Cell):
    """z_t = λ z_tm1 + x_t W, y_t = Re(z_t C), |λ| = e^{-decay}, with nothing in `recur`."""

    def init(self, key, input_size, dtype=jnp.float32):
        keys = jax.random.split(key, 6)
        shapes = (input_size, H), (H, H)
        kernel, readout = (
            jax.lax.complex(normal(real, shape, dtype), normal(imaginary, shape, dtype))
            for real, imaginary, shape in zip(keys[:2], keys[2:4], shapes, strict=True)
        )
        return DiagonalParams(kernel, normal(keys[4], (H,), dtype) - 2, normal(keys[5], (H,), dtype), readout)

    def initial_carry(self, params, batch_shape, dtype):
        return DiagonalCarry(jnp.zeros((*batch_shape, H), jnp.result_type(dtype, jnp.complex64)))

    def factor(self, params):
        return jnp.exp(jax.lax.complex(-jnp.exp(params.log_decay), params.angle))

    def project(self, params, x):
        return x.astype(params.kernel.dtype) @ params.kernel

    def recur(self, params, carry, u):
        return ()

    def pointwise(self, params, carry, u, v):
        return DiagonalCarry(carry.z * jnp.broadcast_to(self.factor(params), carry.z.shape) + u)

    def output(self, params, carry, u):
        return (carry.z @ params.readout).real


@dataclass(frozen=True)
class TokenReader(Cell):
    """h_t = σ(f_t) h_tm1 + tanh(a_t), (f, a) = E[x_t] + h_tm1 U for integer x_t, with a list of one leaf as carry."""

    symbols: int = 5

    def init(self, key, input_size, dtype=jnp.float32):
        keys = jax.random.split(key)
        return {
            "embedding": normal(keys[0], (self.symbols, 2 * H), dtype),
            "U": normal(keys[1], (H, 2 * H), dtype, 0.2),
        }

    def initial_carry(self, params, batch_shape, dtype):
        return [jnp.zeros((*batch_shape, H), dtype)]

    def project(self, params, x):
        return params["embedding"][x]

    def recur(self, params, carry, u):
        return u + carry[0] @ params["U"]

    def pointwise(self, params, carry, u, v):
        return [jax.nn.sigmoid(v[..., :H]) * carry[0] + jnp.tanh(v[..., H:])]

    def output(self, params, carry, u):
        return carry[0]


@dataclass(frozen=True)
class GatedOutput(Cell):
    """h_t = h_tm1 + g_t tanh(h_tm1 U + x_t W), y_t = σ(o_t) (h_t V), for inputs {x, gap}: g and o see the gap."""

    def init(self, key, input_size, dtype=jnp.float32):
        names, shapes = ("W", "U", "V", "gap"), ((input_size, H), (H, H), (H, 2), (2,))
        keys = jax.random.split(key, 4)
        return {name: normal(*of, dtype) for name, *of in zip(names, keys, shapes, strict=True)}

    def initial_carry(self, params, batch_shape, dtype):
        return {"h": jnp.zeros((*batch_shape, H), dtype)}

    def project(self, params, x):
        gap = x["gap"][..., None] * jnp.broadcast_to(params["gap"], (*x["gap"].shape, 2))
        return {"a": x["x"] @ params["W"], "g": jax.nn.sigmoid(gap[..., :1]), "o": jax.nn.sigmoid(gap)}

    def recur(self, params, carry, u):
        return carry["h"] @ params["U"]

    def pointwise(self, params, carry, u, v):
        return {"h": carry["h"] + u["g"] * jnp.tanh(u["a"] + v)}

    def output(self, params, carry, u):
        return u["o"] * (carry["h"] @ params["V"])


def inputs(cell, rng, leading):
    """Inputs of the sort the cell reads, leaves (*leading, ...)."""
    x = jnp.asarray(rng.normal(size=(*leading, 2)))
    if isinstance(cell, TokenReader):
        return jnp.asarray(rng.integers(cell.symbols, size=leading))
    if isinstance(cell, GatedOutput):
        return {"x": x, "gap": jnp.asarray(rng.uniform(0.5, 2, size=leading))}
    return x


ALL = (Counter(), ComplexDiagonal(), TokenReader(), GatedOutput())
