"""What the cells of the zoo share: parameters drawn from their shapes, one state h, inputs to run on."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recurrax import Cell

WIDTH, FEATURES = 3, 2


def draw(key: Any, shapes: Any, dtype: Any) -> Any:
    """A pytree of arrays from one of shapes, each entry from N(0, 0.5²)."""
    leaves, tree = jax.tree.flatten(shapes, is_leaf=is_shape)
    keys = jax.random.split(key, len(leaves))
    return jax.tree.unflatten(tree, [0.5 * jax.random.normal(k, s, dtype) for k, s in zip(keys, leaves, strict=True)])


def is_shape(tree: Any) -> bool:
    """Whether a tree is a tuple of sizes."""
    return type(tree) is tuple and all(isinstance(size, int) for size in tree)


@dataclass(frozen=True)
class Small(Cell):
    """A cell whose parameters are a pytree of `shapes` and whose carry is h (*batch, H), which is its output."""

    hidden_size: int = WIDTH
    features = FEATURES

    def shapes(self, input_size):
        size = self.hidden_size
        return {"kernel": (input_size, size), "recurrent_kernel": (size, size), "bias": (size,)}

    def init(self, key, input_size, dtype=jnp.float32):
        return draw(key, self.shapes(input_size), dtype)

    def zeros(self, batch_shape, dtype):
        return jnp.zeros((*batch_shape, self.hidden_size), dtype)

    def initial_carry(self, params, batch_shape, dtype):
        return self.zeros(batch_shape, dtype)

    def project(self, params, x):
        return x @ params["kernel"] + params["bias"]

    def recur(self, params, carry, u):
        return u + carry @ params["recurrent_kernel"]

    def output(self, params, carry, u):
        return carry

    def inputs(self, noise: np.random.Generator, steps: int, batch_shape: tuple[int, ...], dtype: Any) -> Any:
        """Inputs (T, *batch, D) to try the cell on."""
        return noise.standard_normal((steps, *batch_shape, FEATURES)).astype(dtype)


@dataclass(frozen=True)
class Gated(Small):
    """A cell of `gates` gates of H units each, side by side in the kernels."""

    gates = 4

    def shapes(self, input_size):
        width = self.gates * self.hidden_size
        return {"kernel": (input_size, width), "recurrent_kernel": (self.hidden_size, width), "bias": (width,)}

    def split(self, v):
        return jnp.split(v, self.gates, axis=-1)
