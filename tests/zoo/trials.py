"""Trials of the zoo: every option of `recurrax.scan`, and what the fused scan gives beside the reference."""

from contextlib import nullcontext
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from tolerances import RTOL, SECOND_RTOL

from recurrax.check.trial import (
    Trial,
    difference,
    draw,
    has_gradient,
    initial_carry,
    poisoned,
    second_order,
    shares_buffers,
    stream,
    value,
    value_and_grad,
)
from zoo.base import FEATURES, Small

T, BATCH, MANY = 4, (5,), (9,)
"""MANY rows are above the number from which kernels are read otherwise."""


class Option(NamedTuple):
    """`rows`, fields of the trial, and `how`, arguments of the scan. A carry is given but where `carry` is None."""

    rows: dict[str, Any]
    how: dict[str, Any]
    batch_shape: tuple[int, ...] = BATCH


LENGTHS = {"lengths": np.array([T, 0, T - 1, T, 1])}
MASK = {"mask": np.array([[1, 1, 1, 0, 1], [0, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 0, 1, 1]], bool)}
RESETS = {"resets": np.array([[0, 0, 1, 0, 0], [0, 0, 0, 1, 0], [1, 0, 0, 1, 0], [0, 1, 0, 0, 0]], bool)}
OPTIONS = {
    "plain": Option({}, {}),
    "lengths": Option(LENGTHS, {}),
    "mask": Option(MASK, {}),
    "resets": Option(RESETS, {}),
    "reverse": Option({}, {"reverse": True}),
    "chunk": Option({}, {"chunk": 3}),  # and a rest of one step
    "unroll": Option({}, {"unroll": 3}),
    "no carry given": Option({"carry": None}, {}),
    "no batch": Option({}, {}, ()),
    "two batch axes": Option({}, {}, (2, 5)),
    "all rows": Option(LENGTHS | MASK | RESETS, {"reverse": True}),
    "all at once": Option(LENGTHS | MASK | RESETS, {"reverse": True, "chunk": 2, "unroll": 2}),
}


def draw_trial(cell: Any, batch_shape: tuple[int, ...] = BATCH) -> Trial:
    """A trial of a cell on its own kind of inputs, floating ones if it has none; its parameters are drawn by NumPy
    where all of them are floating.
    """
    inputs, features = getattr(cell, "inputs", partial(Small.inputs, cell)), getattr(cell, "features", FEATURES)
    xs = inputs(np.random.default_rng(0), T, batch_shape, np.float64)
    key = jax.random.key(0)
    params = jax.eval_shape(lambda key: cell.init(key, features, np.float64), key)
    if not all(has_gradient(leaf) for leaf in jax.tree.leaves(params)):
        params = cell.init(key, features, np.float64)
    return draw(cell, params, xs, batch_shape, np.float64)


def found(cell: Any, option: Option, **how: Any) -> str | None:
    """`difference_to_reference` for a cell under one option."""
    trial = draw_trial(cell, option.batch_shape)._replace(**option.rows)
    return difference_to_reference(cell, trial, **option.how, **how)


def difference_to_reference(
    cell: Any, trial: Trial, compiled: bool = False, implementation: str = "fused", **how: Any
) -> str | None:
    """Where an implementation differs from the reference by more than rounding, or padding mattered; else None."""
    got = value_and_grad(cell, trial, implementation=implementation, **how)
    # Operation by operation, unless asked for otherwise: no compiler between the cell at hand and the truth.
    with nullcontext() if compiled else jax.disable_jit():
        expected = value_and_grad(cell, trial, implementation="reference", **how)
    if where := difference(got, expected, RTOL[precision(got)]):
        return where
    if trial.lengths is None and trial.mask is None:
        return None
    where = difference(value_and_grad(cell, poisoned(trial, np.nan), implementation=implementation, **how), got, 0.0)
    return where and f"NaN in the padding: {where}"


def found_twice(cell: Any, option: Option) -> str | None:
    """The same in value, gradients and a Hessian-vector product."""
    # Compiled on both sides: where the rule of a `custom_jvp` is not a derivative, JAX itself takes another second
    # derivative operation by operation than in a compiled loop.
    trial = draw_trial(cell, option.batch_shape)._replace(**option.rows)
    got, got_second = second_order(cell, trial, implementation="fused", **option.how)
    expected, expected_second = second_order(cell, trial, implementation="reference", **option.how)
    rounding = precision(got)
    if where := difference(got_second, expected_second, SECOND_RTOL[rounding]):
        return f"second order: {where}"
    return difference(got, expected, RTOL[rounding])


def streamed(cell: Any) -> str | None:
    """Where a loop that donates its carry differs from the scan, both from the initial carry on and of many rows."""
    trial = draw_trial(cell, MANY)._replace(carry=None)
    carry = initial_carry(cell, trial, MANY)
    if shares_buffers(carry):
        return "two leaves of the initial carry are one array"
    expected = value(cell, trial, implementation="fused")
    return difference(stream(cell, trial._replace(carry=carry)), expected, RTOL[precision(expected)])


def precision(results: Any) -> str:
    """The coarsest floating dtype among results in float64: what all of them have at best."""
    names = {leaf.dtype.name for leaf in jax.tree.leaves(results)}
    if "bfloat16" in names:
        return "bfloat16"
    return "float32" if names & {"float32", "complex64"} else "float64"
