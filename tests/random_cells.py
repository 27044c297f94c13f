"""Cells drawn at random: expression graphs over some forty operations, carries of any structure, any option.

A drawn cell is a value: nested tuples that name operations, leaves and parameters, evaluated by `RandomCell`.
Thresholds and offsets are odd numbers, so that no value lies on an edge where rounding alone chooses another branch.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st
from jax import lax
from zoo.trials import difference_to_reference
from zoo.units import clipped, spike, step_function

import recurrax
from recurrax import Cell
from recurrax.check.trial import Trial, draw, has_gradient

H, D, T = 3, 2, 4
EDGE = 0.0371


def inner_scan(x):
    def unit(before, at):
        now = jnp.tanh(at + 0.5 * before)
        return now, now

    return jnp.moveaxis(lax.scan(unit, jnp.zeros_like(x[..., 0]), jnp.moveaxis(x, -1, 0))[1], 0, -1)


def normed(x):
    x = x - x.mean(axis=-1, keepdims=True)
    return x * lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + 0.1)


def one_hot_of_count(x):
    """An integer on the way: how many units are above the edge."""
    count = jnp.sum((x > EDGE).astype(jnp.int32), axis=-1)
    return jax.nn.one_hot(count % H, H, dtype=x.dtype)


def outer(x, y):
    return jnp.einsum("...i,...j->...ij", jnp.tanh(x), jnp.tanh(y)).sum(axis=-2)


def rotated(x, y):
    """Through complex numbers and back."""
    z = lax.complex(x, y) * jnp.exp(0.3j).astype(lax.complex(x, y).dtype)
    return z.real + 0.5 * z.imag


UNARY = {
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "sin": jnp.sin,
    "cos": jnp.cos,
    "atan": jnp.arctan,
    "erf": lax.erf,
    "softplus": jax.nn.softplus,
    "gelu": jax.nn.gelu,
    "relu": lambda x: jnp.maximum(x - EDGE, 0),
    "abs": lambda x: jnp.abs(x - EDGE),
    "root": lambda x: jnp.sqrt(1 + x * x),
    "log": lambda x: jnp.log(1 + x * x),
    "exp": lambda x: jnp.exp(-x * x),
    "cube": lambda x: 0.1 * x**3,
    "negative": lambda x: -x,
    "half": lambda x: x / 2,
    "constant": lambda x: x * np.array([0.5, -0.3, 0.9], np.float32).astype(x.dtype),
    "clip": lambda x: jnp.clip(x, -0.71, 0.83),
    "floor": lambda x: x - 0.5 * jnp.floor(x + EDGE),
    "sort": lambda x: jnp.sort(x + EDGE * jnp.arange(H).astype(x.dtype), axis=-1),
    "top": lambda x: jnp.tanh(lax.top_k(x + EDGE * jnp.arange(H).astype(x.dtype), H)[0]),
    "cumsum": lambda x: jnp.cumsum(x, axis=-1),
    "cumlogsumexp": lambda x: lax.cumlogsumexp(x, axis=x.ndim - 1),
    "softmax": lambda x: jax.nn.softmax(x, axis=-1),
    "mean": lambda x: jnp.broadcast_to(x.mean(axis=-1, keepdims=True), x.shape),
    "normed": normed,
    "flip": lambda x: x[..., ::-1],
    "roll": lambda x: jnp.roll(x, 1, axis=-1),
    "pad": lambda x: jnp.pad(x[..., 1:], [(0, 0)] * (x.ndim - 1) + [(1, 0)]),
    "slice": lambda x: jnp.concatenate([x[..., :1], 0.5 * x[..., 1:]], axis=-1),
    "stopped": lax.stop_gradient,
    "half stopped": lambda x: x + 0.5 * lax.stop_gradient(jnp.sin(x)),
    "custom_jvp": lambda x: spike(x - EDGE),
    "custom_vjp": lambda x: step_function(x - EDGE),
    "clipped": clipped,
    "inner scan": inner_scan,
    "fori": lambda x: lax.fori_loop(0, 2, lambda _, y: jnp.tanh(x + 0.3 * y), x),
    "count": lambda x: x * one_hot_of_count(x),
    "checkpoint": jax.checkpoint(lambda x: jnp.tanh(jnp.sin(x))),
}
BINARY = {
    "add": jnp.add,
    "subtract": jnp.subtract,
    "multiply": jnp.multiply,
    "gate": lambda x, y: jax.nn.sigmoid(x) * y,
    "divide": lambda x, y: x / (1 + y * y),
    "maximum": lambda x, y: jnp.maximum(x, y + EDGE),
    "minimum": lambda x, y: jnp.minimum(x, y - EDGE),
    "where": lambda x, y: jnp.where(x > EDGE, x, y),
    "atan2": lambda x, y: jnp.arctan2(x, 1 + y * y),
    "logaddexp": jnp.logaddexp,
    "outer": outer,
    "rotated": rotated,
    "dot": lambda x, y: jnp.tanh(x) * jnp.sum(jnp.tanh(x) * y, axis=-1, keepdims=True),
}
OF_PARAMETERS = {
    "product U": lambda params, x: x @ params["U"],
    "product V": lambda params, x: jnp.dot(x, params["V"]),
    "product of a product": lambda params, x: x @ (params["V"] @ params["U"]),
    "masked product": lambda params, x: x @ jnp.where(jnp.eye(H, dtype=bool), 0, params["U"]),
    "skew product": lambda params, x: x @ (params["V"] - params["V"].T),
    "scale": lambda params, x: params["a"] * x,
    "shift": lambda params, x: x + jnp.tanh(params["b"]),
    "permute": lambda params, x: x[..., params["order"]],
    "branch": lambda params, x: lax.cond(params["a"].sum() > EDGE, jnp.sin, jnp.tanh, x),
}
ARITY = dict.fromkeys(UNARY, 1) | dict.fromkeys(BINARY, 2) | dict.fromkeys(OF_PARAMETERS, 1)

LEAVES = ("h", "c", "single", "phasor", "flag", "step", "bits")
"""What a carry may hold: h and c in the dtype asked for, a float32, a complex, bools, an int32, uint32s."""
UPDATED = LEAVES[:5]
"""Leaves whose next value is an expression; the others count on."""


class Pair(NamedTuple):
    first: Any
    second: Any


@dataclass(frozen=True)
class RandomCell(Cell):
    """The cell of the drawn expressions.

    `leaves` of the carry, in `structure`; `projection` is "array", "tuple", "dict" or "tokens"; `recurrence`, one
    expression or None; `updates`, one for each leaf that needs one; `readout`.
    """

    leaves: tuple[str, ...]
    structure: str
    projection: str
    recurrence: Any
    updates: tuple[Any, ...]
    readout: Any

    def init(self, key, input_size, dtype=jnp.float32):
        shapes = {"W": (input_size, H), "U": (H, H), "V": (H, H), "a": (H,), "b": (H,)}
        keys = jax.random.split(key, len(shapes))
        drawn = {name: 0.5 * jax.random.normal(k, s, dtype) for k, (name, s) in zip(keys, shapes.items(), strict=True)}
        return drawn | {"order": jnp.array([2, 0, 1], jnp.int32)}

    def initial_carry(self, params, batch_shape, dtype):
        wide = (*batch_shape, H)
        make = {
            "h": lambda: jnp.zeros(wide, dtype),
            "c": lambda: jnp.broadcast_to(jnp.tanh(params["b"].astype(dtype)), wide),
            "step": lambda: jnp.zeros(batch_shape, jnp.int32),
            "flag": lambda: jnp.zeros(wide, bool),
            "bits": lambda: jnp.full(wide, 7, jnp.uint32),
            "phasor": lambda: jnp.zeros(wide, jnp.promote_types(dtype, jnp.complex64)),
            "single": lambda: jnp.zeros(wide, jnp.float32),
        }
        return self.packed({name: make[name]() for name in self.leaves})

    def packed(self, leaves):
        values = tuple(leaves.values())
        match self.structure:
            case "dict":
                return leaves
            case "nested":
                return {"first": values[0], "rest": values[1:]}
            case "pair" if len(values) == 2:
                return Pair(*values)
            case "bare" if len(values) == 1:
                return values[0]
        return values

    def unpacked(self, carry):
        order = sorted(self.leaves) if self.structure == "dict" else self.leaves
        return dict(zip(order, jax.tree.leaves(carry), strict=True))

    def project(self, params, x):
        if self.projection == "tokens":
            return params["W"][x]
        features = x["x"] if self.projection == "dict" else x
        u = features @ params["W"] + params["b"]
        if self.projection == "tuple":
            return u, jnp.tanh(u)
        if self.projection == "dict":
            return {"u": u * jnp.exp(-x["gap"])[..., None], "seen": x["seen"]}
        return u

    def recur(self, params, carry, u):
        return None if self.recurrence is None else self.evaluate(self.recurrence, params, carry, u, None)

    def pointwise(self, params, carry, u, v):
        old, updates = self.unpacked(carry), iter(self.updates)

        def floating():
            return jnp.tanh(self.evaluate(next(updates), params, carry, u, v) + 0.2 * self.leaf("u", carry, u, v))

        new = {}
        for name in self.leaves:
            was = old[name]
            match name:
                case "h" | "single":
                    new[name] = floating().astype(was.dtype)
                case "c":
                    new[name] = 0.7 * was + 0.3 * floating().astype(was.dtype)
                case "phasor":
                    new[name] = (was * jnp.exp(0.4j) * 0.8 + floating()).astype(was.dtype)
                case "step":
                    new[name] = (was * 3 + 1) % 7
                case "flag":
                    new[name] = floating() > EDGE
                case "bits":
                    new[name] = was * jnp.uint32(1664525) + jnp.uint32(1013904223)
        return self.packed(new)

    def output(self, params, carry, u):
        return self.evaluate(self.readout, params, carry, u, None)

    def evaluate(self, expression, params, carry, u, v):
        match expression:
            case str(name):
                return self.leaf(name, carry, u, v)
            case (name, *inner):
                inner = [self.evaluate(one, params, carry, u, v) for one in inner]
        if name in OF_PARAMETERS:
            return OF_PARAMETERS[name](params, *inner)
        return (UNARY | BINARY)[name](*inner)

    def leaf(self, name, carry, u, v):
        first = u[0] if self.projection == "tuple" else u["u"] if self.projection == "dict" else u
        if name == "v":
            return first if v is None else v
        if name == "u":
            return jnp.where(u["seen"][..., None], first, 0.5) if self.projection == "dict" else first
        if name == "second":
            return u[1] if self.projection == "tuple" else 0.3 * first
        value = self.unpacked(carry)[name]
        match name:
            case "step":
                return jnp.broadcast_to(jnp.sin(value.astype(first.dtype))[..., None], first.shape)
            case "flag":
                return jnp.where(value, first, -0.5 * first)
            case "bits":
                return (value >> 8).astype(first.dtype) / 2**24
            case "phasor":
                return (value.real - value.imag * value.real).astype(first.dtype)
        return value.astype(first.dtype)


class Example(NamedTuple):
    """A drawn cell and what it is run on; `how` are arguments of `recurrax.scan`."""

    cell: RandomCell
    batch_shape: tuple[int, ...]
    dtype: str  # of the parameters; inputs and carry are float64
    rows: tuple[str, ...]
    how: tuple[tuple[str, Any], ...]


def expressions(leaves, operations, depth):
    """Expressions of at most `depth` operations one inside the other."""
    leaf = st.sampled_from(leaves)
    if depth == 0:
        return leaf

    def of(name):
        inner = expressions(leaves, operations, depth - 1)
        return st.tuples(st.just(name), *[inner] * ARITY[name])

    return leaf | st.sampled_from(operations).flatmap(of)


@st.composite
def cells(choose, depth):
    """Cells of one to three leaves, at least one of them floating; expressions of at most `depth` operations."""
    held = choose(st.lists(st.sampled_from(LEAVES), min_size=1, max_size=3, unique=True))
    held = tuple(held if {"h", "c"} & set(held) else ["h", *held[:2]])
    everything, alone = tuple(ARITY), (*UNARY, *BINARY)
    inputs = ("u", "second")
    return RandomCell(
        leaves=held,
        structure=choose(st.sampled_from(("tuple", "dict", "nested", "pair", "bare"))),
        projection=choose(st.sampled_from(("array", "tuple", "dict", "tokens"))),
        recurrence=choose(st.none() | expressions((*held, *inputs), everything, depth)),
        updates=tuple(
            choose(expressions((*held, *inputs, "v"), everything if name == held[0] else alone, depth))
            for name in held
            if name in UPDATED
        ),
        readout=choose(expressions((*held, *inputs), everything, 1)),
    )


@st.composite
def examples(choose, depth=2):
    """A cell, shapes, dtype and options."""
    how = {
        "reverse": choose(st.booleans()),
        "unroll": choose(st.sampled_from((1, 1, 2))),
        "chunk": choose(st.sampled_from((None, None, 2, 3))),
    }
    return Example(
        cell=choose(cells(depth)),
        batch_shape=choose(st.sampled_from(((5,), (5,), (5,), (9,), (), (2, 2)))),
        dtype=choose(st.sampled_from(("float64", "float64", "float32"))),
        rows=tuple(choose(st.lists(st.sampled_from(("lengths", "mask", "resets", "start")), unique=True))),
        how=tuple(how.items()),
    )


def inputs(cell: RandomCell, noise: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Inputs for `shape` (T, *batch)."""
    if cell.projection == "tokens":
        return noise.integers(0, D, shape).astype(np.int32)
    x = noise.standard_normal((*shape, D))
    if cell.projection == "dict":
        return {"x": x, "gap": noise.exponential(1.0, shape), "seen": noise.random(shape) < 0.6}
    return x


def trial_of(example: Example) -> Trial:
    """Parameters, inputs, carry and rows of an example, the same every time."""
    noise, shape = np.random.default_rng(0), (T, *example.batch_shape)
    params = example.cell.init(jax.random.key(0), D, example.dtype)
    trial = draw(example.cell, params, inputs(example.cell, noise, shape), example.batch_shape, np.float64, scale=0.1)
    rows = {
        "lengths": noise.integers(0, T + 1, example.batch_shape),
        "mask": noise.random(shape) < 0.7,
        "resets": noise.random(shape) < 0.3,
    }
    trial = trial._replace(**{name: array for name, array in rows.items() if name in example.rows})
    if "start" not in example.rows:
        return trial
    # The carry then has the dtype that parameters and inputs give it, and so have the results.
    shapes = jax.eval_shape(lambda: recurrax.scan(example.cell, trial.params, trial.xs, implementation="reference"))
    cotangents = jax.tree.map(
        lambda cotangent, leaf: cotangent.astype(leaf.dtype) if has_gradient(leaf) else cotangent,
        trial.cotangents,
        shapes,
    )
    return trial._replace(carry=None, cotangents=cotangents)


def found(example: Example) -> str | None:
    """Where "fused" differs from the reference by more than rounding, or padding mattered; None where neither."""
    trial, how = trial_of(example), dict(example.how)
    said = difference_to_reference(example.cell, trial, **how)
    if said is None or not jax.config.read("jax_disable_most_optimizations"):
        return said
    # Without optimisations jaxlib 0.10.2 compiles one drawn cell in some hundreds wrongly: the same program is right
    # to 1e-15 operation by operation, from XLA's level 1 on, and in jaxlib 0.12. What counts is what users run.
    jax.clear_caches()
    jax.config.update("jax_disable_most_optimizations", False)
    try:
        return difference_to_reference(example.cell, trial, **how)
    finally:
        jax.config.update("jax_disable_most_optimizations", True)
