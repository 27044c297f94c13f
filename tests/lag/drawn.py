"""Parameters, inputs and cotangents drawn by NumPy: there is nothing to compile before the instrument under test."""

import jax
import jax.numpy as jnp
import numpy as np

T, B, D, H = 9, 3, 2, 4


def drawn(cell, dtype="float64", batch=(B,), steps=T, scale=0.6):
    """params, xs (T, *batch, D) and a cotangent for every output (T, *batch, H)."""
    rng = np.random.default_rng(1)

    def normal(shape):
        return jnp.asarray(rng.normal(size=shape), dtype)

    like = jax.eval_shape(lambda: cell.init(jax.random.key(0), D, dtype))
    params = jax.tree.map(lambda leaf: jnp.asarray(scale * rng.normal(size=leaf.shape), dtype), like)
    return params, normal((steps, *batch, D)), normal((steps, *batch, cell.hidden_size))
