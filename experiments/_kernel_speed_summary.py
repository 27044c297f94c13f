"""From the saved times of kernel_speed to tables, ratios and figures; nothing here times anything.

Array names: `<cell>.<B>x<T>x<D>x<H>.<training or forward>.<contender>` (R,), seconds per round; `compile.` and
`temporaries.` before such a name, seconds and bytes.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import _contenders as contenders
import numpy as np

from recurrax.report import Figure, Line, Panel, Report, Table

if TYPE_CHECKING:
    from kernel_speed import Config

Arrays = Mapping[str, np.ndarray]
Row = dict[str, Any]

_GATES = {"LSTM": 4, "GRU": 3, "Elman": 1}
_PASSES = {True: "training", False: "forward"}


def key(cell: str, shape: contenders.Shape, training: bool) -> str:
    """The start of the array names of one cell, shape and kind of pass."""
    return f"{cell}.{'x'.join(map(str, shape))}.{_PASSES[training]}"


def flops(cell: str, shape: contenders.Shape, training: bool) -> float:
    """Floating-point operations of the matrix products of one pass; a training step has three times a forward's."""
    batch, steps, inputs, hidden = shape
    return (3 if training else 1) * 2.0 * batch * steps * _GATES[cell] * hidden * (inputs + hidden)


def rows(config: "Config", arrays: Arrays) -> list[Row]:
    """One row per cell, shape, pass and contender, with its times and what they are compared to."""
    found = []
    for cell in config.cells:
        for shape in dict.fromkeys(config.shapes.values()):
            for training in (True, False):
                start = key(cell, shape, training) + "."
                product = np.min(arrays[f"{start}matrix product"])
                peak = 2.0 * float(arrays["matrix_product_side"]) ** 3 / product
                for name in (name.removeprefix(start) for name in arrays if name.startswith(start)):
                    times = arrays[start + name]
                    batch, steps, _, hidden = shape
                    found.append(
                        {
                            "cell": cell,
                            "shape": shape,
                            "pass": _PASSES[training],
                            "contender": name,
                            "min_ms": 1e3 * float(np.min(times)),
                            "median_ms": 1e3 * float(np.median(times)),
                            "of_peak": flops(cell, shape, training) / float(np.min(times)) / peak,
                            "compile_s": float(arrays[f"compile.{start}{name}"]),
                            "temporaries": float(arrays[f"temporaries.{start}{name}"]) / (24 * steps * batch * hidden),
                        }
                    )
    return [row for row in found if row["contender"] != "matrix product"]


def ratio(found: list[Row], row: Row, against: str | None) -> float:
    """Median time of a contender, or of the best JAX peer if None, over that of `row`; nan where it took no part."""
    alike = [
        other
        for other in found
        if all(other[field] == row[field] for field in ("cell", "shape", "pass"))
        and (other["contender"] == against if against else other["contender"] not in (*contenders.OURS, "PyTorch"))
    ]
    return min((other["median_ms"] for other in alike), default=math.nan) / row["median_ms"]


def geometric_mean(values: list[float]) -> float:
    """Of those that are numbers; nan of none."""
    logs = [math.log(value) for value in values if math.isfinite(value)]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan


def summarise(config: "Config", arrays: Arrays) -> tuple[dict[str, np.ndarray], dict[str, Any], Report]:
    """The arrays with those that figures draw, every number printed, and the report."""
    found = rows(config, arrays)
    return (_scaling if config.scaling else _comparison)(config, arrays, found)


def _comparison(config: "Config", arrays: Arrays, found: list[Row]) -> tuple[dict[str, np.ndarray], Any, Report]:
    ours = [row for row in found if row["contender"] in contenders.OURS[:2]]
    means = [
        {
            "cell": cell,
            "pass": kind,
            "contender": name,
            "peer": geometric_mean(peers),
            "worst": min((value for value in peers if math.isfinite(value)), default=math.nan),
            "pytorch": geometric_mean([ratio(found, row, "PyTorch") for row in of]),
        }
        for cell in config.cells
        for kind in _PASSES.values()
        for name in contenders.OURS[:2]
        if (of := [row for row in ours if (row["cell"], row["pass"], row["contender"]) == (cell, kind, name)])
        for peers in [[ratio(found, row, None) for row in of]]
    ]
    step = [mean for mean in means if mean["pass"] == "training" and mean["contender"] == "recurrax"]
    spoken = "; ".join(
        f"{mean['cell']} {_number(mean['peer'])} (worst shape {_number(mean['worst'])})" for mean in step
    )
    report = Report(
        question="How long does a training step of a recurrent layer take here and in other libraries?",
        answer=f"Best JAX peer's time over recurrax's for a training step, geometric mean over shapes: {spoken}.",
        findings=(),
        tables=(
            _mean_table(means),
            *(_time_table(config, found, kind) for kind in _PASSES.values()),
            _cost_table(ours),
        ),
        figures=(_ratio_figure(config, found, extra := dict(arrays)),),
        protocol=(
            "Value and gradient of the sum of squared outputs with respect to parameters and inputs, float32, inputs "
            "(B, T, D); 'forward' is the value alone.",
            "Contenders run in turn in one process, each after a warm-up, in another order each round; ratios are of "
            "medians over the rounds, times are minimum / median.",
            "'batch split' cuts the batch over all local devices, CPU cores counted as devices; PyTorch has as many "
            "threads as there are cores.",
            "Operations are those of the matrix products alone, against a large matrix product in the same rounds.",
            "Contenders that took no part are named in metrics.jsonl, with the reason.",
        ),
    )
    return extra, {"rows": found, "means": means}, report


def _mean_table(means: list[Row]) -> Table:
    return Table(
        "Ratios",
        "Time of the other over ours, geometric mean over shapes: above 1, ours is the faster. 'best JAX peer' is "
        "chosen anew for every shape.",
        ("cell", "pass", "ours", "best JAX peer", "its worst shape", "PyTorch"),
        tuple(
            (
                mean["cell"],
                mean["pass"],
                mean["contender"],
                *map(_number, (mean["peer"], mean["worst"], mean["pytorch"])),
            )
            for mean in means
        ),
    )


def _time_table(config: "Config", found: list[Row], kind: str) -> Table:
    names = list(dict.fromkeys(row["contender"] for row in found))
    by_place = {(row["cell"], row["shape"], row["contender"]): row for row in found if row["pass"] == kind}
    lines = []
    for cell in config.cells:
        for shape in dict.fromkeys(config.shapes.values()):
            cells = (by_place.get((cell, shape, name)) for name in names)
            shown = ("-" if row is None else f"{row['min_ms']:.3g} / {row['median_ms']:.3g}" for row in cells)
            lines.append((cell, " ".join(map(str, shape)), *shown))
    title = "Training step" if kind == "training" else "Forward"
    return Table(title, "Minimum / median, ms.", ("cell", "B T D H", *names), tuple(lines))


def _cost_table(ours: list[Row]) -> Table:
    return Table(
        "Cost of the training step",
        "Achieved operations per second over those of the large matrix product; compile time; temporaries over "
        "4 bytes x 6 T B H.",
        ("cell", "B T D H", "ours", "of the product's speed", "compile, s", "temporaries"),
        tuple(
            (
                row["cell"],
                " ".join(map(str, row["shape"])),
                row["contender"],
                *map(_number, (row["of_peak"], row["compile_s"], row["temporaries"])),
            )
            for row in ours
            if row["pass"] == "training"
        ),
    )


def _ratio_figure(config: "Config", found: list[Row], arrays: dict[str, np.ndarray]) -> Figure:
    shapes = list(dict.fromkeys(config.shapes.values()))
    arrays["shape_index"] = np.arange(1, len(shapes) + 1)
    panels = []
    for kind, title in (("training", "Training step"), ("forward", "Forward")):
        lines = []
        for slot, cell in enumerate(config.cells):
            of = {
                row["shape"]: row
                for row in found
                if (row["cell"], row["pass"], row["contender"]) == (cell, kind, "recurrax")
            }
            name = f"ratio.{cell}.{kind}"
            arrays[name] = np.array([ratio(found, of[shape], None) for shape in shapes])
            lines.append(Line(cell, "shape_index", name, slot))
        label = "shape, in the order of the tables"
        panels.append(Panel(title, label, "best JAX peer / recurrax, time", tuple(lines), markers=True))
    return Figure("ratios", "Speed against the best JAX peer", "Above 1, recurrax is the faster.", tuple(panels))


def _scaling(config: "Config", arrays: Arrays, found: list[Row]) -> tuple[dict[str, np.ndarray], Any, Report]:
    arrays = dict(arrays)
    quantities = {
        "median_ms": "training step, ms",
        "temporaries": "temporaries / (4 B x 6 T B H)",
        "compile_s": "compile time, s",
    }
    panels = []
    for axis, place in (("T", 1), ("B", 0), ("H", 3)):
        shapes = [shape for shape in contenders.SCALING[axis] if shape in config.shapes.values()]
        if not shapes:
            continue
        arrays[f"axis.{axis}"] = np.array([shape[place] for shape in shapes])
        for quantity, label in quantities.items():
            lines = []
            for slot, cell in enumerate(config.cells):
                of = {row["shape"]: row for row in found if (row["cell"], row["pass"]) == (cell, "training")}
                name = f"{quantity}.{axis}.{cell}"
                arrays[name] = np.array([of[shape][quantity] for shape in shapes])
                lines.append(Line(cell, f"axis.{axis}", name, slot))
            scale = "log" if quantity == "median_ms" else "linear"
            panels.append(
                Panel(f"against {axis}", axis, label, tuple(lines), x_scale="log", y_scale=scale, markers=True)
            )
    figures = (Figure("scaling", "Scaling", "One axis varies, the others stay.", tuple(panels), 3),) if panels else ()
    report = Report(
        question="How do time, temporaries and compile time of a training step grow with T, B and H?",
        answer="See the figure; compile time that does not grow with T means that time is walked by a loop.",
        findings=(),
        tables=(_cost_table(found),),
        figures=figures,
        protocol=("Value and gradient of the sum of squared outputs, float32, recurrax alone.",),
    )
    return arrays, {"rows": found}, report


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"
