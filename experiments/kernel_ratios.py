"""How the times of `kernel_speed.py` compare: ours with those of the best JAX peer and of PyTorch, shape by shape."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import peers

from recurrax import report
from recurrax.study.named import Name

PASSES = {"training": True, "forward": False}
"""Whether a pass has a derivative, by its name."""


def only(found: Sequence[Mapping[str, Any]], **fields: Any) -> list[Any]:
    """The rows that have these values."""
    return [row for row in found if all(row[name] == value for name, value in fields.items())]


def ratio(found: Sequence[Mapping[str, Any]], row: Mapping[str, Any], against: str | None) -> float:
    """Median time of a contender, or of the best JAX peer if None, over that of `row`; nan where it took no part."""
    alike = only(found, **{field: row[field] for field in ("cell", "shape", "pass")})
    left_out = () if against else (*peers.OURS, "PyTorch")
    others = [of for of in alike if of["contender"] == against or (not against and of["contender"] not in left_out)]
    return min((other["median_ms"] for other in others), default=math.nan) / row["median_ms"]


def geometric_mean(values: list[float]) -> float:
    """Of those that are numbers; nan of none."""
    logs = [math.log(value) for value in values if math.isfinite(value)]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan


def means(found: Sequence[Mapping[str, Any]], cells: Sequence[Name]) -> Iterator[dict[str, Any]]:
    """How many times as long others take as we do, over all shapes."""
    for cell, kind, ours in itertools.product(cells, PASSES, peers.OURS[:2]):
        of = only(found, cell=cell.label, contender=ours, **{"pass": kind})
        best, torch = ([ratio(found, row, against) for row in of] for against in (None, "PyTorch"))
        if of:
            worst = min(filter(math.isfinite, best), default=math.nan)
            values = {"peer": geometric_mean(best), "worst": worst, "pytorch": geometric_mean(torch)}
            yield {"cell": cell.label, "pass": kind, "contender": ours, **values}


def dots(kind: str, of: Sequence[Any], looks: Mapping[str, Any], drawn: dict[str, Any]) -> report.Dots:
    """A row per shape and a dot per cell: how many times as long the best JAX peer takes; arrays go into `drawn`."""
    rows = []
    for row in (row for row in of if math.isfinite(row["ratio"])):
        shape = ", ".join(f"{axis} {size}" for axis, size in zip("BTDH", row["shape"], strict=True))
        rows.append(report.Row(shape, f"{kind}.{row['cell']}.{shape}", looks[row["cell"]].slot, name=row["cell"]))
        drawn[rows[-1].x] = np.array([row["ratio"]])
    return report.Dots(
        kind.capitalize(), "time of the best JAX peer / recurrax's", tuple(rows), (report.Level(1.0, "as fast"),)
    )
