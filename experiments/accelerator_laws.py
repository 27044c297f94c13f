"""Whether every implementation is right, and how gradients decay: the parts of `accelerator.py` that time nothing."""

import itertools
import time
from collections.abc import Iterator
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from accelerator_rows import Measure, Row, Sizes

import recurrax
from recurrax import lag
from recurrax.check import trial as trials
from recurrax.check.trial import ValueAndGrad
from recurrax.kernels.scan import IMPLEMENTATIONS
from recurrax.study.named import Name

TOLERANCE = 1e-4
"""What float32 may lose between two orders of summation, relative to the largest entry of an array; a wrong term costs
far more."""
PRECISIONS = ("highest", "tensorfloat32", "default")


def laws(sizes: Sizes) -> Iterator[tuple[Row, Measure]]:
    """The largest difference to the reference, in float32 with its full precision, of results and of gradients."""
    batch, steps, inputs, hidden = sizes.laws

    @cache
    def ran(name: Name, rows: str, implementation: str) -> ValueAndGrad:
        cell = name.build(hidden_size=hidden)
        params, xs = cell.init(jax.random.key(0), inputs), jax.random.normal(jax.random.key(1), (steps, batch, inputs))
        trial = trials.draw(cell, params, xs, (batch,), scale=0.02)
        if rows != "full":
            trial = trial._replace(lengths=np.arange(batch, dtype=np.int32) % (steps + 1))
        with jax.default_matmul_precision("highest"):
            return trials.value_and_grad(cell, trial, implementation=implementation, reverse=rows != "full")

    def measure(name: Name, rows: str, implementation: str) -> Row:
        got, want = ran(name, rows, implementation), ran(name, rows, "reference")
        errors = {"value_error": largest(got.result, want.result), "gradient_error": largest(got[1:], want[1:])}
        return errors | {"holds": all(error <= TOLERANCE for error in errors.values())}

    names = [name for name in IMPLEMENTATIONS if name != "reference"]
    for name, rows, implementation in itertools.product(sizes.lawful, sizes.rows, names):
        place = {"cell": name.label, "rows": rows, "implementation": implementation}
        yield place, partial(measure, name, rows, implementation)


def largest(got: Any, want: Any) -> float:
    """The largest difference between two trees, relative to the largest entry of each leaf; nan where a number is."""

    def of_leaf(got: Any, want: Any) -> float:
        got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
        return float(np.max(np.abs(got - want)) / (np.max(np.abs(want)) or 1.0))

    return float(np.max(jax.tree.leaves(jax.tree.map(of_leaf, got, want))))


def draw(name: Name, sizes: Sizes) -> tuple[Any, Any, Any]:
    """A fresh network and N(0, 1) inputs (T, 8, 2)."""
    cell = name.build(hidden_size=sizes.hidden)
    return cell, cell.init(jax.random.key(0), 2), jax.random.normal(jax.random.key(1), (sizes.lags, 8, 2))


def decay(sizes: Sizes) -> Iterator[tuple[Row, Measure]]:
    """`lag.adjoint_profile` of fresh networks, and how far it is from the CPU's at any lag, in nats."""

    def measure(name: Name) -> Row:
        begun = time.perf_counter()
        here = jax.block_until_ready(lag.adjoint_profile(*draw(name, sizes)))
        seconds = time.perf_counter() - begun
        with jax.default_device(jax.devices("cpu")[0]):
            there = lag.adjoint_profile(*draw(name, sizes))
        apart = np.max(np.abs(np.asarray(here.log_norm_joint) - np.asarray(there.log_norm_joint)))
        fit = lag.fit_decay(here, sizes.window)
        found = {"rate": fit.rate, "rate_error": fit.standard_error, "vanish_lag": lag.vanish_lag(here)}
        return found | {"nats_from_cpu": float(apart), "seconds": seconds, "curve": fit.curve}

    for name in sizes.cells:
        yield {"cell": name.label}, partial(measure, name)


def tf32(sizes: Sizes) -> Iterator[tuple[Row, Measure]]:
    """The rate at which ‖∂L/∂x‖ falls with lag, in nats per step, by the precision of products in `recurrax.scan`."""

    def measure(name: Name, precision: str) -> Row:
        cell, params, xs = draw(name, sizes)

        def loss(xs: Any) -> Any:
            return jnp.sum(recurrax.scan(cell, params, xs).outputs[-1])

        with jax.default_matmul_precision(None if precision == "default" else precision):
            adjoint = np.asarray(jax.jit(jax.grad(loss))(xs), np.float64)
        with np.errstate(divide="ignore"):
            fit = lag.fit_decay(np.log(np.linalg.norm(adjoint, axis=-1))[::-1], sizes.window)
        return {"rate": fit.rate, "rate_error": fit.standard_error}

    for name, precision in itertools.product(sizes.cells, PRECISIONS):
        yield {"cell": name.label, "precision": precision}, partial(measure, name, precision)
