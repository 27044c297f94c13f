"""Units with one state: what stands between the pre-activation and the next h."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from zoo.base import Small


@dataclass(frozen=True)
class Leaky(Small):
    alpha: float = 0.1

    def pointwise(self, params, h, u, v):
        return (1 - self.alpha) * h + self.alpha * jnp.tanh(v)


class HalfTanh(Small):
    def pointwise(self, params, h, u, v):
        return jnp.tanh(v) / 2


class Gelu(Small):
    def pointwise(self, params, h, u, v):
        return jax.nn.gelu(v)


class Softplus(Small):
    def pointwise(self, params, h, u, v):
        return jax.nn.softplus(v) - jnp.log(2.0).astype(v.dtype)


class HardSigmoid(Small):
    def pointwise(self, params, h, u, v):
        z = jax.nn.hard_sigmoid(v)
        return z * h + (1 - z) * jnp.clip(v, -1, 1)


@dataclass(frozen=True)
class CTRNN(Small):
    """τ dh/dt = -h + tanh(v), by Euler's method."""

    dt: float = 0.2

    def shapes(self, input_size):
        return super().shapes(input_size) | {"log_tau": (self.hidden_size,)}

    def pointwise(self, params, h, u, v):
        return h + self.dt * (jnp.tanh(v) - h) / jnp.exp(params["log_tau"].astype(h.dtype))


@jax.custom_jvp
def spike(v):
    return (v > 0).astype(v.dtype)


@spike.defjvp
def _spike_jvp(primals, tangents):
    (v,), (dv,) = primals, tangents
    return spike(v), dv / (1 + 10 * jnp.abs(v)) ** 2


class SpikingLIF(Small):
    """A leaky integrate-and-fire unit, its surrogate gradient a `custom_jvp`; the recurrence is through spikes."""

    beta = 0.9

    def initial_carry(self, params, batch_shape, dtype):
        return {"potential": self.zeros(batch_shape, dtype), "spikes": self.zeros(batch_shape, dtype)}

    def recur(self, params, carry, u):
        return u + carry["spikes"] @ params["recurrent_kernel"]

    def pointwise(self, params, carry, u, v):
        potential = self.beta * carry["potential"] * (1 - carry["spikes"]) + v
        return {"potential": potential, "spikes": spike(potential - 0.5)}

    def output(self, params, carry, u):
        return carry["spikes"]


@jax.custom_vjp
def step_function(v):
    return jnp.heaviside(v, 0.0).astype(v.dtype)


def _step_function_fwd(v):
    return step_function(v), v


def _step_function_bwd(v, ct):
    return (ct * jax.nn.sigmoid(4 * v) * (1 - jax.nn.sigmoid(4 * v)) * 4,)


step_function.defvjp(_step_function_fwd, _step_function_bwd)


class SoftResetLIF(Small):
    """The other surrogate gradient: a `custom_vjp`, with reset by subtraction."""

    def initial_carry(self, params, batch_shape, dtype):
        return (self.zeros(batch_shape, dtype), self.zeros(batch_shape, dtype))

    def recur(self, params, carry, u):
        return u + carry[1] @ params["recurrent_kernel"]

    def pointwise(self, params, carry, u, v):
        potential, spikes = carry
        potential = 0.8 * potential + v - spikes
        return potential, step_function(potential - 1.0)

    def output(self, params, carry, u):
        return carry[1]


@jax.custom_vjp
def clipped(x):
    """The identity, whose cotangent is clipped to ±1."""
    return x


clipped.defvjp(lambda x: (x, None), lambda _, ct: (jnp.clip(ct, -1, 1),))


class ClippedGradient(Small):
    def pointwise(self, params, h, u, v):
        return clipped(jnp.tanh(v))


class StraightThrough(Small):
    """States rounded to quarters, with the gradient of what was rounded."""

    def pointwise(self, params, h, u, v):
        exact = jnp.tanh(v)
        return exact + jax.lax.stop_gradient(jnp.round(4 * exact) / 4 - exact)


class LayerNormed(Small):
    def shapes(self, input_size):
        return super().shapes(input_size) | {"scale": (self.hidden_size,), "shift": (self.hidden_size,)}

    def pointwise(self, params, h, u, v):
        v = v - v.mean(axis=-1, keepdims=True)
        v = v / jnp.sqrt(jnp.mean(v**2, axis=-1, keepdims=True) + 1e-2)
        return jnp.tanh(params["scale"].astype(v.dtype) * v + params["shift"].astype(v.dtype))


class Sorted(Small):
    def pointwise(self, params, h, u, v):
        return jnp.tanh(jnp.sort(v, axis=-1)) - 0.2 * h


class TopK(Small):
    """Only the two largest units stay, as a share of what they add up to."""

    def pointwise(self, params, h, u, v):
        kept, _ = jax.lax.top_k(v, 2)
        return jax.nn.sigmoid(jnp.where(v >= kept[..., -1:], v, 0)) - 0.5 * h


class CumulativeGate(Small):
    """A gate that rises along the units (ordered neurons)."""

    def pointwise(self, params, h, u, v):
        master = jnp.cumsum(jax.nn.softmax(v, axis=-1), axis=-1)
        return master * h + (1 - master) * jnp.tanh(v)


class Piecewise(Small):
    def pointwise(self, params, h, u, v):
        return jnp.where(v > 0, jnp.log1p(jnp.maximum(v, 0)), 0.1 * v) + jnp.where(jnp.abs(h) < 1, 0.5 * h, 0)


class Branching(Small):
    """`lax.cond` and `lax.switch`, on the parameters as a whole and on a number of the class."""

    kind = 1

    def pointwise(self, params, h, u, v):
        v = jax.lax.cond(params["bias"].sum() > 0, jnp.tanh, lambda v: v / (1 + jnp.abs(v)), v)
        return jax.lax.switch(self.kind, [lambda v, h: v, lambda v, h: v + 0.3 * h, lambda v, h: v * h], v, h)


class Quadratic(Small):
    """An inner scan over the units, each seeing the one before it."""

    def pointwise(self, params, h, u, v):
        def unit(before, at):
            now = jnp.tanh(at[0] + 0.5 * before * at[1])
            return now, now

        columns = (jnp.moveaxis(v, -1, 0), jnp.moveaxis(h, -1, 0))
        return jnp.moveaxis(jax.lax.scan(unit, jnp.zeros_like(v[..., 0]), columns)[1], 0, -1)


class Settling(Small):
    """Three inner iterations of `fori_loop` towards a fixed point."""

    def pointwise(self, params, h, u, v):
        return jax.lax.fori_loop(0, 3, lambda _, z: 0.5 * z + 0.5 * jnp.tanh(v + 0.3 * z), h)


class PreActivation(Small):
    """The carry is the pre-activation, the output a nonlinear function of it."""

    def recur(self, params, carry, u):
        return u + jnp.tanh(carry) @ params["recurrent_kernel"]

    def pointwise(self, params, carry, u, v):
        return v

    def output(self, params, carry, u):
        return jnp.tanh(carry)


CELLS = (
    Leaky(),
    HalfTanh(),
    Gelu(),
    Softplus(),
    HardSigmoid(),
    CTRNN(),
    SpikingLIF(),
    SoftResetLIF(),
    ClippedGradient(),
    StraightThrough(),
    LayerNormed(),
    Sorted(),
    TopK(),
    CumulativeGate(),
    Piecewise(),
    Branching(),
    Quadratic(),
    Settling(),
    PreActivation(),
)
