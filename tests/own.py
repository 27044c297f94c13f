"""A cell and a task as users write them in a file of their own, for `tests/own.py:Leaky` and `tests/own.py:Echo`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp

from recurrax import Cell, tasks
from recurrax.cells import ElmanCarry, ElmanParams


@dataclass(frozen=True)
class Leaky(Cell):
    """h_t = (1 - α) h_tm1 + α tanh(x_t W + h_tm1 U + b)."""

    hidden_size: int
    alpha: float = 0.5

    def init(self, key, input_size, dtype=jnp.float32):
        kernel_key, recurrent_key = jax.random.split(key)
        draw = jax.nn.initializers.lecun_normal()
        return ElmanParams(
            kernel=draw(kernel_key, (input_size, self.hidden_size), dtype)[:, None],
            recurrent_kernel=draw(recurrent_key, (self.hidden_size, self.hidden_size), dtype)[:, None],
            bias=jnp.zeros((1, self.hidden_size), dtype),
        )

    def initial_carry(self, params, batch_shape, dtype):
        return ElmanCarry(h=jnp.zeros((*batch_shape, self.hidden_size), dtype))

    def project(self, params, x):
        return x @ params.kernel[:, 0] + params.bias.reshape((1,) * (x.ndim - 1) + (-1,))

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

    describes = property(lambda self: f"the number that was read {self.delay} steps ago")
    unit = property(lambda self: "squared volts")
    input_size = property(lambda self: 3)
    output_size = property(lambda self: 1)
    every_step = property(lambda self: False)
    lag = property(lambda self: self.delay)
    landmarks: Mapping[str, float] = property(lambda self: {"nothing kept": 1 / 12})  # pyright: ignore

    def with_lag(self, lag):
        return replace(self, delay=lag)

    def batch(self, key, batch_size):
        xs = jax.random.uniform(key, (self.delay + 1, batch_size, 3))
        return tasks.Batch(xs=xs, targets=xs[0, :, :1], every_step=False)

    def loss(self, predictions, batch):
        return jnp.mean(jnp.square(predictions - batch.targets))

    def scores(self, predictions, batch):
        return {"accuracy": jnp.mean(jnp.abs(predictions - batch.targets) < 0.1)}
