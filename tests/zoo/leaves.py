"""Leaves that are not floating, or that do nothing: counters, flags, keys, permutations, tokens, time gaps."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import sigmoid

from zoo.base import FEATURES, Small, draw


class Counted(NamedTuple):
    h: Any
    step: Any


class Clockwork(Small):
    """Each unit moves at every second, third, ... step; an int32 counter in the carry."""

    def initial_carry(self, params, batch_shape, dtype):
        return Counted(self.zeros(batch_shape, dtype), jnp.zeros(batch_shape, jnp.int32))

    def recur(self, params, carry, u):
        return u + carry.h @ params["recurrent_kernel"]

    def pointwise(self, params, carry, u, v):
        moves = carry.step[..., None] % jnp.arange(1, self.hidden_size + 1) == 0
        return Counted(jnp.where(moves, jnp.tanh(v), carry.h), carry.step + 1)

    def output(self, params, carry, u):
        return carry.h / (1 + carry.step[..., None].astype(carry.h.dtype))


class Refractory(Small):
    """A unit that fired rests for one step: a bool leaf."""

    def initial_carry(self, params, batch_shape, dtype):
        return {"h": self.zeros(batch_shape, dtype), "resting": self.zeros(batch_shape, bool)}

    def recur(self, params, carry, u):
        return u + carry["h"] @ params["recurrent_kernel"]

    def pointwise(self, params, carry, u, v):
        h = jnp.where(carry["resting"], 0.5 * carry["h"], jnp.tanh(v))
        return {"h": h, "resting": (h > 0.3) & ~carry["resting"]}

    def output(self, params, carry, u):
        return carry["h"]


class Congruential(Small):
    """Noise from a linear congruential generator: a uint32 leaf."""

    def initial_carry(self, params, batch_shape, dtype):
        return self.zeros(batch_shape, dtype), jnp.full((*batch_shape, self.hidden_size), 7, jnp.uint32)

    def recur(self, params, carry, u):
        return u + carry[0] @ params["recurrent_kernel"]

    def pointwise(self, params, carry, u, v):
        bits = carry[1] * jnp.uint32(1664525) + jnp.uint32(1013904223)
        noise = (bits >> 8).astype(v.dtype) / 2**24
        return jnp.tanh(v * (0.5 + noise)), bits

    def output(self, params, carry, u):
        return carry[0]


class Noisy(Small):
    """Noise of every step from a key of `jax.random.key` in the carry, one per row."""

    def initial_carry(self, params, batch_shape, dtype):
        return {"h": self.zeros(batch_shape, dtype), "key": jax.random.split(jax.random.key(0), batch_shape)}

    def recur(self, params, carry, u):
        return u + carry["h"] @ params["recurrent_kernel"]

    def pointwise(self, params, carry, u, v):
        pairs = jax.vmap(jax.random.split)(carry["key"].reshape(-1))
        noise = jax.vmap(lambda key: jax.random.normal(key, v.shape[-1:], v.dtype))(pairs[:, 1])
        h = jnp.tanh(v + 0.1 * noise.reshape(v.shape))
        return {"h": h, "key": pairs[:, 0].reshape(carry["key"].shape)}

    def output(self, params, carry, u):
        return carry["h"]


class Zoneout(Small):
    """The same with a raw uint32 key: units kept by chance."""

    def initial_carry(self, params, batch_shape, dtype):
        keys = jnp.broadcast_to(jax.random.PRNGKey(1), (*batch_shape, 2))
        return {"h": self.zeros(batch_shape, dtype), "key": keys}

    def recur(self, params, carry, u):
        return u + carry["h"] @ params["recurrent_kernel"]

    def pointwise(self, params, carry, u, v):
        pairs = jax.vmap(jax.random.split)(carry["key"].reshape(-1, 2))
        stay = jax.vmap(lambda key: jax.random.bernoulli(key, 0.3, v.shape[-1:]))(pairs[:, 1])
        h = jnp.where(stay.reshape(v.shape), carry["h"], jnp.tanh(v))
        return {"h": h, "key": pairs[:, 0].reshape(carry["key"].shape)}

    def output(self, params, carry, u):
        return carry["h"]


class Permuted(Small):
    """The recurrence is a permutation: an integer parameter that no optimiser should touch."""

    def init(self, key, input_size, dtype=jnp.float32):
        drawn = draw(key, {"kernel": (input_size, self.hidden_size), "bias": (self.hidden_size,)}, dtype)
        return drawn | {"order": jax.random.permutation(key, self.hidden_size)}

    def recur(self, params, h, u):
        return u + h[..., params["order"]]

    def pointwise(self, params, h, u, v):
        return jnp.tanh(v)


class Tokens(Small):
    """Inputs are ints (T, B); the projection is a table look-up."""

    features = 5  # tokens there are

    def project(self, params, x):
        return params["kernel"][x] + params["bias"]

    def pointwise(self, params, h, u, v):
        return jnp.tanh(v)

    def inputs(self, noise, steps, batch_shape, dtype):
        return noise.integers(0, self.features, (steps, *batch_shape)).astype(np.int32)


class TimeGaps(Small):
    """Inputs are a dict: features, the time since the last step, and whether the features were seen at all."""

    def shapes(self, input_size):
        return super().shapes(input_size) | {"rate": (self.hidden_size,)}

    def project(self, params, x):
        seen = x["seen"][..., None]
        return {"v": super().project(params, jnp.where(seen, x["features"], 0)), "gap": x["gap"][..., None]}

    def recur(self, params, h, u):
        kept = jnp.exp(-jax.nn.softplus(params["rate"]) * u["gap"])
        return u["v"] + (kept * h) @ params["recurrent_kernel"]

    def pointwise(self, params, h, u, v):
        return jnp.tanh(v)

    def inputs(self, noise, steps, batch_shape, dtype):
        shape = (steps, *batch_shape)
        return {
            "features": noise.standard_normal((*shape, FEATURES)).astype(dtype),
            "gap": noise.exponential(1.0, shape).astype(dtype),
            "seen": noise.random(shape) < 0.7,
        }


class Passenger(Small):
    """One leaf of the carry is read and passed on as it is, another is written and never read."""

    def initial_carry(self, params, batch_shape, dtype):
        zeros = [self.zeros(batch_shape, dtype) for _ in range(3)]
        return {"h": zeros[0], "context": zeros[1] + 0.5, "last": zeros[2]}

    def recur(self, params, carry, u):
        return u + carry["h"] @ params["recurrent_kernel"]

    def pointwise(self, params, carry, u, v):
        return {"h": jnp.tanh(v * carry["context"]), "context": carry["context"], "last": v}

    def output(self, params, carry, u):
        return carry["h"]


class Delayed(Small):
    """A ring of three past outputs of which the oldest comes back, found by an int32 place."""

    def initial_carry(self, params, batch_shape, dtype):
        ring = jnp.zeros((*batch_shape, 3, self.hidden_size), dtype)
        return {"h": self.zeros(batch_shape, dtype), "ring": ring, "place": jnp.zeros(batch_shape, jnp.int32)}

    def recur(self, params, carry, u):
        place = carry["place"][..., None, None]
        oldest = jnp.take_along_axis(carry["ring"], place, axis=-2)[..., 0, :]
        return u + carry["h"] @ params["recurrent_kernel"] + 0.5 * oldest

    def pointwise(self, params, carry, u, v):
        h, here = jnp.tanh(v), jax.nn.one_hot(carry["place"], 3, dtype=bool)[..., None]
        ring = jnp.where(here, h[..., None, :], carry["ring"])
        return {"h": h, "ring": ring, "place": (carry["place"] + 1) % 3}

    def output(self, params, carry, u):
        return carry["h"]


@dataclass(frozen=True)
class Halting(Small):
    """Adds while a row's halting sum is below 1, by masks: bool, int and floating leaves that depend on each other."""

    limit: float = 1.0

    def initial_carry(self, params, batch_shape, dtype):
        return {
            "h": self.zeros(batch_shape, dtype),
            "halting": jnp.zeros(batch_shape, dtype),
            "ponders": jnp.zeros(batch_shape, jnp.int32),
        }

    def recur(self, params, carry, u):
        return u + carry["h"] @ params["recurrent_kernel"]

    def pointwise(self, params, carry, u, v):
        share = sigmoid(v[..., 0])
        runs = carry["halting"] + share < self.limit
        halting = jnp.where(runs, carry["halting"] + share, 0)
        h = jnp.where(runs[..., None], jnp.tanh(v), share[..., None] * carry["h"])
        return {"h": h, "halting": halting, "ponders": jnp.where(runs, carry["ponders"] + 1, 0)}

    def output(self, params, carry, u):
        return carry["h"] * (1 + carry["halting"])[..., None]


CELLS = (
    Clockwork(),
    Refractory(),
    Congruential(),
    Noisy(),
    Zoneout(),
    Permuted(),
    Tokens(),
    TimeGaps(),
    Passenger(),
    Delayed(),
    Halting(),
)
