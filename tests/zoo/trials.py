"""Trials of the zoo: every option of `recurrax.scan`, and what the fused scan gives beside the reference."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
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
    value_and_grad,
)

T, BATCH = 4, (3,)


class Option(NamedTuple):
    """`rows`, fields of the trial, and `how`, arguments of the scan. A carry is given but where `carry` is None."""

    rows: dict[str, Any]
    how: dict[str, Any]


LENGTHS = {"lengths": np.array([T, 0, T - 1])}
MASK = {"mask": np.array([[1, 1, 1], [0, 1, 1], [1, 1, 1], [1, 1, 0]], bool)}
RESETS = {"resets": np.array([[0, 0, 1], [0, 0, 0], [1, 0, 0], [0, 1, 0]], bool)}
OPTIONS = {
    "plain": Option({}, {}),
    "lengths": Option(LENGTHS, {}),
    "mask": Option(MASK, {}),
    "resets": Option(RESETS, {}),
    "reverse": Option({}, {"reverse": True}),
    "chunk": Option({}, {"chunk": 3}),  # and a rest of one step
    "unroll": Option({}, {"unroll": 3}),
    "no carry given": Option({"carry": None}, {}),
    "all rows": Option(LENGTHS | MASK | RESETS, {"reverse": True}),
    "all at once": Option(LENGTHS | MASK | RESETS, {"reverse": True, "chunk": 2, "unroll": 2}),
}


def draw_trial(cell: Any, steps: int = T, batch_shape: tuple[int, ...] = BATCH, dtype: Any = np.float64) -> Trial:
    """A trial of a cell on its own kind of inputs; its parameters are drawn by NumPy where all of them are floating."""
    xs = cell.inputs(np.random.default_rng(0), steps, batch_shape, dtype)
    key = jax.random.key(0)
    params = jax.eval_shape(lambda key: cell.init(key, cell.features, dtype), key)
    if not all(has_gradient(leaf) for leaf in jax.tree.leaves(params)):
        params = cell.init(key, cell.features, dtype)
    return draw(cell, params, xs, batch_shape, dtype)


def found(cell: Any, option: Option, second: bool = False) -> str | None:
    """Where "fused" differs from the reference by more than float64 loses, in value, gradients or second derivatives.

    Or where padding mattered: the program is run again with NaN in it.
    """
    trial, of = draw_trial(cell)._replace(**option.rows), second_order if second else value_and_grad
    got = of(cell, trial, implementation="fused", **option.how)
    # Operation by operation: nothing to compile for the cell at hand, and no compiler between it and the truth.
    with jax.disable_jit():
        expected = of(cell, trial, implementation="reference", **option.how)
    rounding = precision(trial)
    if second:
        (got, got_second), (expected, expected_second) = got, expected
        if where := difference(got_second, expected_second, SECOND_RTOL[rounding]):
            return f"second order: {where}"
    if where := difference(got, expected, RTOL[rounding]):
        return where
    if trial.lengths is not None or trial.mask is not None:
        where = difference(of(cell, poisoned(trial, np.nan), implementation="fused", **option.how), got, 0.0)
    return where and f"NaN in the padding: {where}"


def streamed(cell: Any) -> str | None:
    """Where a loop that donates its carry differs from the scan of the plain option, which is compiled already."""
    trial = draw_trial(cell)
    carry = initial_carry(cell, trial, BATCH)
    if shares_buffers(carry):
        return "two leaves of the initial carry are one array"
    expected = value_and_grad(cell, trial._replace(carry=jax.tree.map(jnp.copy, carry)), implementation="fused")
    return difference(stream(cell, trial._replace(carry=carry)), expected.result, RTOL[precision(trial)])


def precision(trial: Trial) -> str:
    """The coarsest floating dtype in the carry of a float64 trial, which its results have at best."""
    coarse = any(leaf.dtype.name == "bfloat16" for leaf in jax.tree.leaves(trial.carry))
    return "bfloat16" if coarse else "float64"
