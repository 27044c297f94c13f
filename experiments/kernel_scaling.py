"""How a training step of `recurrax` grows along long sequences, with and without `chunk`, and over devices.

This is no experiment, but what `kernel_speed.py --scaling` measures beside its three axes.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import peers

import recurrax
from recurrax import report, runs, study, tasks, train
from recurrax.study import timing
from recurrax.study.named import Name

LONG = (1024, 16384, 131072, 1_000_000)
"""Lengths T of one sequence."""
LONG_SHAPE = (1, 2, 32)
"""B, D, H of it."""
TIMED_WHOLE = 131072
"""The longest that is run without `chunk`; beyond it is compiled alone, which tells the temporaries."""
DEVICES = (1, 2, 4, 8)
"""Sizes of meshes."""
SPLITS = ("rows", "batch")
ROWS, BATCH, LENGTH, HIDDEN, STEPS = 8, 64, 100, 64, 2
"""Of the training whose rows or batches are split; steps per chunk."""
LONG_COLUMNS = {
    "steps": "T", "how": "how", "min_ms": "minimum, ms", "median_ms": "median, ms",
    "temporaries_mb": "temporaries, MB", "compile_s": "compile, s",
}  # fmt: skip
DEVICE_COLUMNS = {
    "split": "split", "devices": "devices", "min_ms": "minimum, ms", "median_ms": "median, ms",
    "against_one": "median of one device / median",
}  # fmt: skip
"""Fields of a row and what they are called."""
TABLES = (
    ("long", "One long sequence",
     "B {}, D {}, H {}; what has no times was only compiled. A loss of every output holds these and their adjoints, "
     "2 T H values.".format(*LONG_SHAPE),
     LONG_COLUMNS),
    ("devices", "Rows and batches over devices",
     f"A step of {ROWS} rows on the adding task, {BATCH} sequences of {LENGTH} steps, {HIDDEN} units.",
     DEVICE_COLUMNS),
)  # fmt: skip
"""Names of the numbers, titles, captions and columns of the tables."""


def every_output(result: Any) -> jax.Array:
    return jnp.sum(jnp.square(result.outputs))


def last_carry(result: Any) -> jax.Array:
    return sum((jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(result.carry)), jnp.zeros(()))


WAYS: dict[str, tuple[bool, Callable[[Any], jax.Array]]] = {
    "whole": (False, every_output),
    "chunk=√T": (True, every_output),
    "chunk=√T, last carry": (True, last_carry),
}
"""Ways to walk a sequence: in chunks, K = √T being the least of T/K + K, or not; and what the loss reads of it."""


def lengths(smoke: bool) -> tuple[int, ...]:
    return (16,) if smoke else LONG


def counts(smoke: bool) -> tuple[int, ...]:
    """Sizes of meshes for which there are devices."""
    return tuple(count for count in (DEVICES[:2] if smoke else DEVICES) if count <= jax.device_count())


def jobs(cell: Name, settings: Any) -> dict[str, study.Job]:
    """A job per length, and one for all meshes, which have to take turns."""
    long = {
        f"{cell.label}, T {steps}": functools.partial(measure_length, settings, cell, steps)
        for steps in lengths(settings.smoke)
    }
    return long | {f"{cell.label}, devices": functools.partial(measure_devices, settings, cell)}


def measure_length(settings: Any, cell: Name, steps: int, run: runs.RunFolder) -> study.JobResult:
    """Times and temporaries of a training step on one sequence, every way."""
    batch, inputs, hidden = LONG_SHAPE
    built = cell.build(hidden_size=hidden)
    params = built.init(jax.random.key(0), inputs)
    xs = jax.random.normal(jax.random.key(1), (steps, batch, inputs))
    arrays, calls = {}, {}
    for how, (in_chunks, read) in WAYS.items():
        chunk = math.isqrt(steps) if in_chunks else None

        def loss(params: Any, xs: jax.Array, chunk: int | None = chunk, read: Any = read) -> jax.Array:
            return read(recurrax.scan(built, params, xs, chunk=chunk))

        run.stop.check()
        contender = peers.compiled(jax.value_and_grad(loss, (0, 1)), params, xs)
        arrays[f"long.{steps}.{how}.compile"] = np.array(contender.compile_seconds)
        arrays[f"long.{steps}.{how}.temporaries"] = np.array(contender.temporaries)
        if in_chunks or steps <= TIMED_WHOLE:
            calls[how] = contender.run
    times = timing.interleaved(calls, settings.rounds, settings.seconds)
    return study.JobResult(arrays | {f"long.{steps}.{how}.time": of for how, of in times.items()})


def measure_devices(settings: Any, cell: Name, run: runs.RunFolder) -> study.JobResult:
    """Times of a training of several rows, these or its batches split over meshes of every size."""
    sizes = (2, 8, 6, 4) if settings.smoke else (ROWS, BATCH, LENGTH, HIDDEN)
    calls = {}
    for count in counts(settings.smoke):
        for split in SPLITS if count > 1 else SPLITS[:1]:
            run.stop.check()
            mesh = train.mesh(rows=count) if split == "rows" else train.mesh(batch=count)
            calls[f"devices.{split}.{count}"] = training_loop(cell, sizes, mesh)
    times = timing.interleaved(calls, settings.rounds, settings.seconds)
    return study.JobResult({**times, "devices.cores": np.array(train.cpu_cores())})


def training_loop(cell: Name, sizes: tuple[int, int, int, int], mesh: Any) -> Callable[[], Any]:
    """Each call takes a chunk of steps of a training of the adding task over a mesh."""
    rows, batch, length, hidden = sizes
    task = tasks.Adding(length)
    model = train.Readout(cell.build(hidden_size=hidden), task.input_size, task.output_size, task.every_step)
    training = train.Training(
        lambda params, batch: task.loss(model.predict(params, batch.xs), batch),
        model.init,
        optax.adam(1e-3),
        lambda key: task.batch(key, batch),
        seeds=range(rows),
        steps=10**9,
        chunk=STEPS,
        max_norm=1.0,
        mesh=mesh,
        continue_others=True,
    )
    chunks = train.chunks(training)
    return lambda: next(chunks).metrics.loss


def long_rows(arrays: Mapping[str, np.ndarray], smoke: bool) -> Iterator[dict[str, Any]]:
    """One row per length and way; nan for what was not run."""
    for steps, how in itertools.product(lengths(smoke), WAYS):
        start = f"long.{steps}.{how}."
        times = 1e3 * arrays.get(f"{start}time", np.array([math.nan]))
        held = float(arrays[f"{start}temporaries"]) / 1e6
        values = (steps, how, float(times.min()), float(np.median(times)), held, float(arrays[f"{start}compile"]))
        yield dict(zip(LONG_COLUMNS, values, strict=True))


def device_rows(arrays: Mapping[str, np.ndarray], smoke: bool) -> Iterator[dict[str, Any]]:
    """One row per split and size of mesh, per training step of all rows; one device stands for both splits."""
    one = np.median(arrays["devices.rows.1"])
    for split, count in itertools.product(SPLITS, counts(smoke)):
        times = arrays["devices.rows.1" if count == 1 else f"devices.{split}.{count}"]
        least, middle = (1e3 * float(of(times)) / STEPS for of in (np.min, np.median))
        yield dict(zip(DEVICE_COLUMNS, (split, count, least, middle, float(one / np.median(times))), strict=True))


def panels(cell: Name, found: Mapping[str, Sequence[Any]], slot: int, drawn: dict[str, Any]) -> Iterator[report.Panel]:
    """Time and temporaries against a long T, and time against devices; arrays go into `drawn`."""
    scales: dict[str, Any] = {"long": {"x_scale": "log", "y_scale": "log"}, "devices": {}}
    pictures = [("long", "how", "steps", "T", quantity) for quantity in ("median_ms", "temporaries_mb")]
    pictures += [("devices", "split", "devices", "devices", quantity) for quantity in ("median_ms", "against_one")]
    for kind, of, x, label, quantity in pictures:
        lines = []
        for dash, name in enumerate(dict.fromkeys(row[of] for row in found[kind])):
            rows = [row for row in found[kind] if row[of] == name and row[quantity] > 0]  # not nan
            if not rows:
                continue
            lines.append(report.Line(name, f"x.{kind}.{quantity}.{name}", f"{kind}.{quantity}.{name}", slot, dash))
            drawn |= {lines[-1].x: np.array([row[x] for row in rows], float)}
            drawn |= {lines[-1].y: np.array([row[quantity] for row in rows])}
        if not lines:
            continue
        title = f"{cell.label}, B {LONG_SHAPE[0]}, against T" if kind == "long" else f"{cell.label}, {ROWS} rows"
        columns = LONG_COLUMNS if kind == "long" else DEVICE_COLUMNS
        yield report.Panel(title, label, columns[quantity], tuple(lines), **scales[kind], markers=True)
