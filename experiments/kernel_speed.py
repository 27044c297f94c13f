"""How long does a training step of a recurrent layer take here, in other libraries, and against the machine's limits?

Command: `python experiments/kernel_speed.py`, about ten minutes on two CPU cores; peers come with
`pip install ".[bench,experiments]"`. `--scaling` draws time, temporaries and compile time against T, B and H, one
sequence of up to a million steps with and without `chunk`, and a training over 1 to 8 devices.

Measured: value and gradient of Σy² with respect to parameters and inputs, and the forward pass alone, float32,
batch-major inputs, in interleaved rounds of one process; minimum and median over rounds.

Expected: the fused scan beats every JAX peer's training step in most shapes, and PyTorch's fused CPU LSTM is the
contender to meet.
"""

import itertools
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import kernel_ratios
import kernel_scaling
import numpy as np
import peers
from kernel_ratios import PASSES, only
from peers import Shape

from recurrax import report, runs, study, train
from recurrax.study import timing
from recurrax.study.named import Name

SHAPES = ((32, 128, 64, 128), (64, 128, 256, 512), (16, 1024, 32, 64),
          (1, 512, 128, 128), (128, 96, 128, 256), (32, 50, 2, 64))  # fmt: skip
"""(B, T, D, H) on which contenders are compared."""
SCALING = {
    "T": (1, tuple((16, steps, 32, 64) for steps in (64, 256, 1024, 4096, 16384))),
    "B": (0, tuple((batch, 16, 32, 64) for batch in (1, 16, 64, 256, 1024, 4096))),
    "H": (3, tuple((32, 64, 64, hidden) for hidden in (32, 64, 128, 256, 512))),
}
"""An axis, its place in a shape, and shapes in which it alone varies."""
PRODUCT = "matrix product"
COLUMNS = {
    "cell": "cell", "shape": "B T D H", "pass": "pass", "contender": "contender", "min_ms": "minimum, ms",
    "median_ms": "median, ms", "of_peak": "of the product's speed", "compile_s": "compile, s",
    "temporaries": "temporaries / (4 B x 6 T B H)",
}  # fmt: skip
"""Fields of a row and what they are called."""


@dataclass(frozen=True)
class Settings(study.TimingSettings):
    """How long does a training step of a recurrent layer take here, elsewhere, and against the machine's limits?"""

    cells: tuple[str, ...] = ("lstm", "gru", "elman")
    """Layers compared: names, or file.py:NAME; a cell that no peer has is timed beside the reference alone."""
    scaling: bool = False
    """Against T, B, H and devices, recurrax alone, instead of against peers."""
    seconds: int = 10
    """Rounds go on for this long per cell and shape."""

    @property
    def passes(self) -> tuple[str, ...]:
        return ("training",) if self.scaling else tuple(PASSES)

    @property
    def shapes(self) -> tuple[Shape, ...]:
        along_axes = tuple(shape for _, shapes in SCALING.values() for shape in shapes)
        return ((2, 6, 3, 4),) if self.smoke else tuple(dict.fromkeys(along_axes if self.scaling else SHAPES))


def key(cell: Name, shape: Shape, kind: str) -> str:
    """The start of the array names of one cell, shape and pass."""
    return f"{cell.label}.{'x'.join(map(str, shape))}.{kind}."


def measure(settings: Settings, cell: Name, shape: Shape, kind: str, run: runs.RunFolder) -> study.JobResult:
    """Times of all contenders on one cell and shape, and of a large matrix product in the same rounds."""
    names = ("recurrax",) if settings.scaling else (*peers.JAX, "recurrax, batch split", "PyTorch")
    running, absent = {}, []
    for name in names:
        try:
            running[name] = peers.enter(name, cell, shape, PASSES[kind])
        except peers.Absent as why:
            absent.append({"cell": cell.label, "shape": shape, "pass": kind, "absent": name, "why": str(why)})
    side = 64 if settings.smoke else 2048
    square = jax.random.normal(jax.random.key(2), (side, side))
    running[PRODUCT] = peers.compiled(lambda a, b: a @ b, square, square)
    calls = {name: contender.run for name, contender in running.items()}
    times, start = timing.interleaved(calls, settings.rounds, settings.seconds), key(cell, shape, kind)
    arrays = {start + name: of for name, of in times.items()}
    for name, contender in running.items():
        arrays[f"compile.{start}{name}"] = np.array(contender.compile_seconds)
        arrays[f"temporaries.{start}{name}"] = np.array(contender.temporaries)
    return study.JobResult(arrays | {"matrix_product_side": np.array(side)}, absent)


def measured(settings: Settings) -> Iterator[tuple[Name, Shape, str]]:
    """Every cell, shape and kind of pass."""
    return itertools.product(study.named.cells(settings.cells), settings.shapes, settings.passes)


def plan(settings: Settings) -> dict[str, study.Job]:
    """A job for each of them; with --scaling also those of long sequences and devices, for the first cell."""
    jobs = {f"{of[0].label}, {of[1]}, {of[2]}": partial(measure, settings, *of) for of in measured(settings)}
    return jobs | (kernel_scaling.jobs(study.named.cells(settings.cells)[0], settings) if settings.scaling else {})


def operations(cell: Name, shape: Shape, kind: str) -> float:
    """Floating-point operations of the matrix products of one pass; a training step has three times a forward's."""
    batch, steps, inputs, hidden = shape
    params = jax.eval_shape(lambda: cell.build(hidden_size=hidden).init(jax.random.key(0), inputs))
    matrices = [leaf for path, leaf in jax.tree.leaves_with_path(params) if "bias" not in jax.tree_util.keystr(path)]
    return (3 if PASSES[kind] else 1) * 2.0 * batch * steps * sum(leaf.size for leaf in matrices if leaf.ndim > 1)


def rows(settings: Settings, arrays: Mapping[str, np.ndarray]) -> Iterator[dict[str, Any]]:
    """One row per cell, shape, pass and contender, with its times and what they are compared to."""
    for cell, shape, kind in measured(settings):
        start = key(cell, shape, kind)
        peak = 2.0 * float(arrays["matrix_product_side"]) ** 3 / np.min(arrays[start + PRODUCT])
        for name in (of.removeprefix(start) for of in arrays if of.startswith(start) and of != start + PRODUCT):
            least, middle = (1e3 * float(of(arrays[start + name])) for of in (np.min, np.median))
            temporaries = float(arrays[f"temporaries.{start}{name}"]) / (24 * shape[1] * shape[0] * shape[3])
            of_peak = 1e3 * operations(cell, shape, kind) / least / peak
            values = (cell.label, shape, kind, name, least, middle, of_peak, float(arrays[f"compile.{start}{name}"]))
            yield dict(zip(COLUMNS, (*values, temporaries), strict=True))


def table(title: str, caption: str, found: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> report.Table:
    """Fields of rows under the headings given for them."""

    def text(value: Any) -> str:
        if isinstance(value, float):
            return "-" if math.isnan(value) else f"{value:.3g}"
        return " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)

    texts = tuple(tuple(text(row[name]) for name in columns) for row in found)
    return report.Table(title, caption, tuple(columns.values()), texts)


def panel(axis: str, x: Any, quantity: str, of: Sequence[Any], looks: Mapping[str, Any], drawn: dict) -> report.Panel:
    """A quantity of rows against an axis, a line per cell; arrays go into `drawn`."""
    lines = [report.Line(cell, f"x.{axis}", f"{quantity}.{axis}.{cell}", *look) for cell, look in looks.items()]
    for line in lines:
        drawn |= {line.x: np.array(x), line.y: np.array([row[quantity] for row in only(of, cell=line.label)])}
    scales: Any = {"x_scale": "log", "y_scale": "log" if quantity == "median_ms" else "linear"}
    return report.Panel(f"against {axis}", axis, COLUMNS[quantity], tuple(lines), **scales, markers=True)


def figure(
    settings: Settings, found: Sequence[Mapping[str, Any]], further: Mapping[str, Any], drawn: dict[str, Any]
) -> report.Figure:
    """Ratios for every shape; with --scaling time, temporaries and compile time against T, B and H, and `further`."""
    ours = [row | {"ratio": kernel_ratios.ratio(found, row, None)} for row in only(found, contender="recurrax")]
    looks = {cell.label: look for cell, look in study.looks(study.named.cells(settings.cells)).items()}
    if not settings.scaling:
        panels = [kernel_ratios.dots(kind, only(ours, **{"pass": kind}), looks, drawn) for kind in PASSES]
        return report.Figure("ratios", "Speed against the best JAX peer", "Above 1, recurrax is faster.", tuple(panels))
    panels = []
    for axis, (place, shapes) in SCALING.items():
        of = [row for row in only(ours, **{"pass": "training"}) if settings.smoke or row["shape"] in shapes]
        x = [row["shape"][place] for row in only(of, cell=of[0]["cell"])]
        panels += [panel(axis, x, of_what, of, looks, drawn) for of_what in ("median_ms", "temporaries", "compile_s")]
    first = study.named.cells(settings.cells)[0]
    panels += kernel_scaling.panels(first, further, looks[first.label].slot, drawn)
    caption = (
        "Above, one axis varies, the others stay; below, one sequence held whole and in chunks, and a training whose "
        "rows or batches are split over devices."
    )
    return report.Figure("scaling", "Scaling of a training step", caption, tuple(panels), 3)


def finish(settings: Settings, arrays: Mapping[str, np.ndarray]) -> study.Findings:
    """The times measured, and what they say."""
    found, drawn = list(rows(settings, arrays)), dict(arrays)
    compared = [] if settings.scaling else list(kernel_ratios.means(found, study.named.cells(settings.cells)))
    step = only(compared, contender="recurrax", **{"pass": "training"})
    further = {}
    if settings.scaling:
        further["long"] = list(kernel_scaling.long_rows(arrays, settings.smoke))
        further["devices"] = list(kernel_scaling.device_rows(arrays, settings.smoke))
    told = "; ".join(f"{of['cell']} {of['peer']:.2f} (worst shape {of['worst']:.2f})" for of in step)
    names = {"cell": "cell", "pass": "pass", "contender": "ours", "peer": "best JAX peer", "worst": "its worst shape"}
    caption = "Time of the other over ours, geometric mean over shapes; the best JAX peer is that of each shape."
    times = "Achieved operations are those of the matrix products alone, over those of one large product."
    told = f"Best JAX peer's time over recurrax's for a training step, geometric mean over shapes: {told}."
    said = report.Report(
        question=Settings.__doc__ or "",
        answer="Time, memory and compile time against T, B, H and devices: see the figure."
        if settings.scaling
        else told,
        findings=(),
        tables=(
            *([table("Ratios", caption, compared, names | {"pytorch": "PyTorch"})] if compared else []),
            table("Times and costs", times, found, COLUMNS),
            *(
                table(title, about, further[kind], columns)
                for kind, title, about, columns in kernel_scaling.TABLES
                if further
            ),
        ),
        figures=(figure(settings, found, further, drawn),),
        protocol=(
            "Value and gradient of the sum of squared outputs with respect to parameters and inputs, float32, inputs "
            "(B, T, D); 'forward' is the value alone.",
            "Contenders run in turn in one process, each after a warm-up, in another order each round; ratios are of "
            "medians over the rounds. 'batch split' cuts the batch over all local devices, CPU cores being devices; "
            "PyTorch has as many threads as there are cores.",
            "Contenders that took no part are named in metrics.jsonl, with the reason.",
        ),
    )
    numbers = {"rows": found} | ({"means": compared} if compared else {})
    return study.Findings(drawn, numbers | ({"scaling": further | {"shapes": found}} if further else {}), said)


COMMAND = study.Command(
    "kernel_speed", Settings, plan, finish, {"cells": ("elman",), "rounds": 2, "seconds": 0},
    lambda settings: {"measure": measure, "length": kernel_scaling.measure_length,
                      "devices": kernel_scaling.measure_devices,
                      **{cell.label: cell.kind for cell in study.named.cells(settings.cells)}},
)  # fmt: skip

if __name__ == "__main__":
    # Before JAX starts and flags are read: as many CPU devices as cores, so that a batch can be split over them, or as
    # the largest mesh asks for.
    train.use_cpu_devices(max(kernel_scaling.DEVICES) if "--scaling" in sys.argv else train.cpu_cores())
    sys.exit(COMMAND.main())
