"""Cells as users of the field write them, each a few lines, all held to the reference in value and gradient.

Plain style is the point: `@`, `jnp.dot` and `einsum`, dicts of parameters, Python constants, biases that broadcast.
Tests that run them use the fixture `plain_style`, which lets JAX broadcast as users have it.
"""

import jax
import numpy as np

from recurrax.check import trial as trials
from zoo import gates, leaves, memories, units, weights

ALL = (*units.CELLS, *gates.CELLS, *memories.CELLS, *leaves.CELLS, *weights.CELLS)
"""One cell of every kind; each has `features`, what `init` is given, and `inputs`, which draws what it runs on."""


def draw_trial(cell, steps, batch_shape, dtype, seed=0):
    """A trial of a cell of the zoo: `steps` of its own kind of inputs for `batch_shape` rows."""
    xs = cell.inputs(np.random.default_rng(seed), steps, batch_shape, dtype)
    params = cell.init(jax.random.key(seed), cell.features, dtype)
    return trials.draw(cell, params, xs, batch_shape, dtype, scale=0.1, seed=seed)


def precision(trial):
    """The coarsest floating dtype in the carry of a trial, which its results have at best."""
    dtypes = {leaf.dtype.name for leaf in jax.tree.leaves(trial.carry) if trials.has_gradient(leaf)}
    return "bfloat16" if "bfloat16" in dtypes else "float64"
