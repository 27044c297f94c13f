"""How fast every implementation and every peer is: the parts of `accelerator.py` that take most of its time."""

import contextlib
import importlib
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from unittest import mock

import jax
import jax.numpy as jnp
import kernel_speed
import numpy as np
import peers
from accelerator_rows import Measure, Row, Sizes, outcome
from jax.extend.backend import get_backend
from peers import Shape

from recurrax.kernels import fused
from recurrax.runs.environment import environment as this_machine
from recurrax.study import timing
from recurrax.study.named import Name

CONTENDERS = (*peers.BY_IMPLEMENTATION, "Flax nnx", "PyTorch")
PROJECTIONS = {"ahead": sys.maxsize, "inside": 0}
"""Where "fused" computes what needs no carry in a forward pass, by the rows of a batch below which it does so before
its loop: that number was chosen on CPUs. A training step always does."""


def environment(sizes: Sizes) -> Iterator[tuple[Row, Measure]]:
    """The machine, its versions, and its limits: operations per second of a product, bytes per second of a copy."""

    def measure(kind: str) -> Row:
        x = jax.random.normal(jax.random.key(0), (sizes.side, sizes.side), "bfloat16" if kind == "bfloat16" else None)
        with jax.default_matmul_precision("tensorfloat32" if kind == "tf32" else "highest"):
            run = peers.compiled((lambda a, b: a + 1) if kind == "copy" else (lambda a, b: a @ b), x, x).run
        found = timing.interleaved({kind: run}, sizes.rounds, sizes.seconds)[kind]
        amount = 2 * x.nbytes if kind == "copy" else 2 * sizes.side**3
        about = this_machine() | {"backend": get_backend().platform_version}
        return milliseconds(found) | {"per_second": amount / float(np.median(found)), "environment": about}

    for kind in ("float32", "tf32", "bfloat16", "copy"):
        yield {"limit": kind}, partial(measure, kind)


def speed(sizes: Sizes) -> Iterator[tuple[Row, Measure]]:
    """Training steps and forward passes; float32 with its full precision, which no contender rounds."""
    together = lru_cache(maxsize=1)(partial(_together, sizes))
    for shape, cell, kind, name in itertools.product(sizes.shapes, sizes.cells, sizes.kinds, CONTENDERS):
        place = {"shape": list(shape), "cell": cell.label, "dtype": kind[0], "pass": kind[1], "contender": name}
        yield place, lambda of=(shape, cell), kind=kind, name=name: together(*of)[kind][name]


def _together(sizes: Sizes, shape: Shape, cell: Name) -> dict[tuple[str, str], dict[str, Row]]:
    """Of one cell and shape, by kind and contender: traced in turn, compiled side by side, then timed kind by kind."""

    def trace(dtype: str, kind: str, name: str) -> Row:
        training = kernel_speed.PASSES[kind]
        return {"compiles": peers.prepare(name, cell, shape, training, jnp.dtype(dtype))}

    plan = list(itertools.product(sizes.kinds, CONTENDERS))
    with jax.default_matmul_precision("highest"), exact_torch():
        traced = [outcome({}, partial(trace, *kind, name)) for kind, name in plan]
        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(lambda row: then(row, lambda row: {"contender": row["compiles"]()}), traced))
        rows = dict(zip(plan, made, strict=True))
        return {of: timed({name: rows[of, name] for name in CONTENDERS}, sizes) for of in sizes.kinds}


@contextlib.contextmanager
def exact_torch() -> Iterator[None]:
    """PyTorch, where it is installed, multiplies float32 as it is, not rounded to 10 bits (TF32)."""
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        yield
        return
    switches = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [switch.allow_tf32 for switch in switches]
    try:
        for switch in switches:
            switch.allow_tf32 = False
        yield
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.allow_tf32 = value


def projection(sizes: Sizes) -> Iterator[tuple[Row, Measure]]:
    """A forward pass of "fused" with what needs no carry computed before its loop, and inside of it."""

    def ready(shape: Shape, cell: Name, where: str) -> Row:
        jax.clear_caches()  # the number is no part of what a program is kept by
        with mock.patch.object(fused, "_FEW_ROWS", PROJECTIONS[where]), jax.default_matmul_precision("highest"):
            return {"contender": peers.enter("recurrax fused", cell, shape, training=False)}

    @lru_cache(maxsize=1)
    def both(shape: Shape, cell: Name) -> dict[str, Row]:
        return timed({where: outcome({}, partial(ready, shape, cell, where)) for where in PROJECTIONS}, sizes)

    for shape, cell, where in itertools.product(sizes.shapes, sizes.cells, PROJECTIONS):
        place = {"shape": list(shape), "cell": cell.label, "projection": where}
        yield place, lambda of=(shape, cell), where=where: both(*of)[where]


def then(row: Row, step: Callable[[Row], Row]) -> Row:
    """What `step` makes of a row, if nothing has gone wrong before."""
    return row if {"refused", "raised"} & row.keys() else outcome({}, lambda: step(row))


def timed(rows: Mapping[str, Row], sizes: Sizes) -> dict[str, Row]:
    """Rows of contenders with the times of those that are ready; one that fails when run once is in no round."""

    def warmed(row: Row) -> Row:
        row["contender"].run()
        return row

    rows = {name: then(row, warmed) for name, row in rows.items()}
    running = {name: row["contender"] for name, row in rows.items() if "contender" in row}
    calls = {name: contender.run for name, contender in running.items()}
    found = timing.interleaved(calls, sizes.rounds, sizes.seconds) if calls else {}
    # Since the part began: a device does not forget what it once held.
    peak = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    told = {}
    for name, contender in running.items():
        costs = {"compile_s": contender.compile_seconds, "temporaries_bytes": contender.temporaries}
        told[name] = milliseconds(found[name]) | costs | {"device_peak_bytes": peak}
    return {name: told.get(name, row) for name, row in rows.items()}


def milliseconds(seconds: np.ndarray) -> Row:
    """What is kept of all rounds."""
    return {
        "median_ms": 1e3 * float(np.median(seconds)),
        "min_ms": 1e3 * float(np.min(seconds)),
        "rounds": len(seconds),
    }
