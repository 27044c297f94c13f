"""Trials of a plain sequence, and what a traced program holds."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from recurrax import GRU, LSTM, Elman
from recurrax.check import trial as trials

KINDS = (Elman, GRU, LSTM)
"""The cells that tests of kernels and instruments run on: one field of the carry or two, a product whose gates add up
or one that is multiplied first. `tests/long/cells.py` runs the same laws on every cell.
"""


def draw(cell, steps, batch_shape, input_size, dtype=np.float32, seed=0):
    """A trial on inputs (T, *batch, D), its parameters drawn around zero (none is zero, unlike initial biases)."""
    params = jax.eval_shape(partial(cell.init, input_size=input_size, dtype=dtype), jax.random.key(0))
    xs = np.random.default_rng(seed).standard_normal((steps, *batch_shape, input_size)).astype(dtype)
    return trials.draw(cell, params, xs, batch_shape, dtype, seed=seed)


def cut(trial, start, stop):
    """The steps start .. stop-1 of a trial without rows."""
    return trial._replace(xs=trial.xs[start:stop])


def dots_in_loops(jaxpr, inside=False):
    """How many matrix products a jaxpr holds in the bodies of its loops."""
    count = 0
    for eqn in jaxpr.eqns:
        loops = inside or eqn.primitive.name in ("scan", "while")
        count += inside and eqn.primitive.name == "dot_general"
        for param in jax.tree.leaves(list(eqn.params.values()), is_leaf=lambda p: hasattr(p, "eqns")):
            inner = getattr(param, "jaxpr", param)
            if hasattr(inner, "eqns"):
                count += dots_in_loops(inner, loops)
    return count


def equations(jaxpr):
    """Every equation of a jaxpr, those of the functions it calls included."""
    for eqn in jaxpr.eqns:
        yield eqn
        for inner in jax.tree.leaves(list(eqn.params.values()), is_leaf=lambda p: hasattr(p, "eqns")):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from equations(inner)


def loss(cell, trial, implementation=None):
    """Σ outputs² + Σ carry² as a function of (params, xs, carry), for tests that differentiate twice."""

    def of(params, xs, carry):
        moved = trial._replace(params=params, xs=xs, carry=carry)
        result = trials.value(cell, moved, implementation=implementation)
        return sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(result))

    return of
