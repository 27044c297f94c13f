"""A cell and a task as users write them in a file of their own, for `tests/own.py:Leaky` and `tests/own.py:Echo`."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp

from recurrax import Cell, tasks
from recurrax.cells import ElmanCarry


class LeakyParams(NamedTuple):
    kernel: jax.Array  # (D, 1, H)
    recurrent_kernel: jax.Array  # (H, 1, H)


@dataclass(frozen=True)
class Leaky(Cell):
    """h_t = (1 - α) h_tm1 + α tanh(x_t W + h_tm1 U)."""

    hidden_size: int
    alpha: float = 0.5

    def init(self, key, input_size, dtype=jnp.float32):
        kernel_key, recurrent_key = jax.random.split(key)
        draw, size = jax.nn.initializers.lecun_normal(), self.hidden_size
        return LeakyParams(
            kernel=draw(kernel_key, (input_size, size), dtype)[:, None],
            recurrent_kernel=draw(recurrent_key, (size, size), dtype)[:, None],
        )

    def initial_carry(self, params, batch_shape, dtype):
        return ElmanCarry(h=jnp.zeros((*batch_shape, self.hidden_size), dtype))

    def project(self, params, x):
        return x @ params.kernel[:, 0]

    def recur(self, params, carry, u):
        return carry.h @ params.recurrent_kernel[:, 0]

    def pointwise(self, params, carry, u, v):
        return ElmanCarry(h=(1 - self.alpha) * carry.h + self.alpha * jnp.tanh(u + v))

    def output(self, params, carry, u):
        return carry.h


@dataclass(frozen=True)
class Echo(tasks.Task):
    """Say at the last step what the first input was."""

    delay: int = 10

    @property
    def describes(self):
        return f"the number that was read {self.delay} steps ago"

    @property
    def unit(self):
        return "squared volts"

    @property
    def input_size(self):
        return 3

    @property
    def output_size(self):
        return 1

    @property
    def every_step(self):
        return False

    @property
    def landmarks(self):
        return {"nothing kept": 1 / 12}

    @property
    def lag(self):
        return self.delay

    def with_lag(self, lag):
        return replace(self, delay=lag)

    def batch(self, key, batch_size):
        xs = jax.random.uniform(key, (self.delay + 1, batch_size, 3))
        return tasks.Batch(xs=xs, targets=xs[0, :, :1], every_step=False)

    def loss(self, predictions, batch):
        return jnp.mean(jnp.square(predictions - batch.targets))

    def scores(self, predictions, batch):
        return {"accuracy": jnp.mean(jnp.abs(predictions - batch.targets) < 0.1)}
