"""A scan and its gradients as one compiled function, a NumPy walk to compare with, and things to run them on."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import recurrax


class Given(NamedTuple):
    """Arguments of a scan, and cotangents of its result; everything NumPy."""

    params: Any
    xs: Any
    carry: Any
    cotangents: Any
    lengths: Any = None
    mask: Any = None
    resets: Any = None


class Pulled(NamedTuple):
    """A result and the gradients of <cotangents, result>."""

    result: Any
    params: Any
    xs: Any
    carry: Any


def draw(cell, steps, batch_shape, input_size, dtype=np.float32, seed=0):
    """Drawn parameters (none zero, unlike initial biases), inputs, carry and cotangents."""
    noise = np.random.default_rng(seed)

    def normal(leaf):
        return noise.standard_normal(leaf.shape).astype(leaf.dtype)

    params = jax.eval_shape(partial(cell.init, input_size=input_size, dtype=dtype), jax.random.key(0))
    params = jax.tree.map(lambda leaf: normal(leaf) * leaf.dtype.type(0.5), params)
    carry = jax.tree.map(normal, jax.eval_shape(lambda: cell.initial_carry(params, batch_shape, dtype)))
    xs = normal(jax.ShapeDtypeStruct((steps, *batch_shape, input_size), dtype))
    result = jax.eval_shape(lambda xs: recurrax.scan(cell, params, xs, carry, implementation="reference"), xs)
    return Given(params, xs, carry, jax.tree.map(normal, result))


@partial(jax.jit, static_argnums=0, static_argnames=("implementation", "reverse", "unroll"))
def value(cell, given, implementation=None, reverse=False, unroll=1):
    """The result alone."""
    return recurrax.scan(
        cell,
        given.params,
        given.xs,
        given.carry,
        lengths=given.lengths,
        mask=given.mask,
        resets=given.resets,
        reverse=reverse,
        unroll=unroll,
        implementation=implementation,
    )


@partial(jax.jit, static_argnums=0, static_argnames=("implementation", "reverse", "unroll"))
def pull(cell, given, implementation="fused", reverse=False, unroll=1):
    """The result and its gradients with respect to params, xs and carry."""

    def run(params, xs, carry):
        moved = given._replace(params=params, xs=xs, carry=carry)
        return value(cell, moved, implementation=implementation, reverse=reverse, unroll=unroll)

    result, pulled = jax.vjp(run, given.params, given.xs, given.carry)
    return Pulled(result, *pulled(given.cotangents))


def valid_steps(given):
    """Bool (T, *batch): what lengths and mask leave."""
    steps, *batch_shape = given.xs.shape[:-1]
    valid = np.ones((steps, *batch_shape), bool) if given.mask is None else np.asarray(given.mask)
    if given.lengths is None:
        return valid
    return valid & (np.arange(steps).reshape(-1, *(1 for _ in batch_shape)) < np.asarray(given.lengths))


_step = jax.jit(lambda cell, params, carry, x: cell.step(params, carry, x), static_argnums=0)


def walk(cell, given, reverse=False):
    """The meaning of `recurrax.scan`, row choices in NumPy: outputs (T, *batch, H) as a list, and the last carry."""
    batch_shape = given.xs.shape[1:-1]
    initial = cell.initial_carry(given.params, batch_shape, given.xs.dtype)
    valid, carry = valid_steps(given), given.carry
    outputs = [None] * len(given.xs)

    def rows(chosen, new, old):
        return jax.tree.map(
            lambda a, b: np.where(chosen.reshape(chosen.shape + (1,) * (b.ndim - chosen.ndim)), a, b), new, old
        )

    for t in sorted(range(len(outputs)), reverse=reverse):
        entering = carry if given.resets is None else rows(given.resets[t], initial, carry)
        stepped, y = _step(cell, given.params, entering, given.xs[t])
        carry = rows(valid[t], stepped, entering)
        outputs[t] = rows(valid[t], y, np.zeros_like(y))
    return outputs, carry


def poisoned(given, poison):
    """`given` with its padding replaced."""
    padding = ~valid_steps(given)
    return given._replace(xs=np.where(padding[..., None], given.xs.dtype.type(poison), given.xs))


def cut(given, start, stop):
    """The steps start .. stop-1 of `given` without its rows."""
    return given._replace(xs=given.xs[start:stop])


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


def loss(cell, given, implementation=None):
    """Σ outputs² + Σ carry² as a function of (params, xs, carry), for tests that differentiate twice."""

    def of(params, xs, carry):
        result = value(cell, given._replace(params=params, xs=xs, carry=carry), implementation=implementation)
        return sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(result))

    return of
