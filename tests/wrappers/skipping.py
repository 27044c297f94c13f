"""A user's cell that wrappers are put around."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from recurrax import Cell


@dataclass(frozen=True)
class Skipping(Cell):
    """A user's cell with a dict for its carry, whose output reads its projection."""

    hidden_size: int = 3

    def init(self, key, input_size, dtype=jnp.float32):
        return {"w": jax.random.normal(key, (input_size, self.hidden_size), dtype)}

    def initial_carry(self, params, batch_shape, dtype):
        return {"s": jnp.zeros((*batch_shape, self.hidden_size), dtype)}

    def project(self, params, x):
        return x @ params["w"]

    def recur(self, params, carry, u):
        return u + carry["s"][..., ::-1]

    def pointwise(self, params, carry, u, v):
        return {"s": jnp.tanh(v).astype(carry["s"].dtype)}

    def output(self, params, carry, u):
        return carry["s"] + 0.1 * u.astype(carry["s"].dtype)
