"""The report of a run that describes none: what its trainings logged and probed, drawn from their own files."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recurrax import checkpoints
from recurrax.checkpoints import Checkpoint
from recurrax.files import load_lines
from recurrax.report.description import Figure, KeyFigure, Line, Panel, Report, Scale, Table

Arrays = dict[str, np.ndarray]
_MOST_PANELS = 8
_BAND = "Median over networks, band from the 10th to the 90th percentile."


def describe(
    folder: Path, record: Mapping[str, Any], summary: Mapping[str, Any], saved: Arrays
) -> tuple[Report, Arrays]:
    """A report of what is in a run's folder, and the arrays that it draws beside the saved ones.

    Args:
        folder: the run's; metrics.jsonl and checkpoints are read, of the run and of each of its trainings.
        record: run.json.
        summary: summary.json, empty where there is none.
        saved: arrays.npz, likewise.

    Raises:
        ValueError: a line of metrics or a checkpoint is damaged.
    """
    drawn: Arrays = {}
    metrics = {name: _metrics(place.parent) for name, place in _trainings(folder).items()}
    kinds = dict.fromkeys(kind for columns in metrics.values() for kind in columns if kind != "step")
    panels = {kind: _metric_panel(kind, metrics, drawn) for kind in kinds}
    probes = [panel for name, place in checkpoints.places(folder).items() for panel in _probes(name, place, drawn)]
    first = [panels.pop("loss")] if "loss" in panels else []
    figures = [
        *_figure("loss", "Loss against training step", first),
        *_figure("probes", "What was probed", probes),
        *_figure("metrics", "What else was logged", list(panels.values())),
    ]
    keys = (
        *_last_losses(metrics),
        *(KeyFigure(name, f"{value:.6g}") for name, value in plain_numbers(summary).items()),
    )
    what = "a report in its summary" if summary else "a summary"
    rows = tuple((name, str(array.shape), str(array.dtype)) for name, array in saved.items())
    report = Report(
        question=str(record.get("experiment", folder.name)),
        answer=" ".join([f"Finished, without {what}.", *(f"{key.name}: {key.value}." for key in keys)]),
        findings=(),
        tables=(Table("Saved arrays", "In arrays.npz.", ("name", "shape", "dtype"), rows),) if rows else (),
        figures=tuple(figures),
        protocol=(),
        key_figures=keys,
    )
    return report, drawn


def _trainings(folder: Path) -> dict[str, Path]:
    """The files of metrics, the run's own under ""."""
    found = {"": folder / "metrics.jsonl"}
    found |= {place.parent.name: place for place in sorted(folder.glob("*/metrics.jsonl"))}
    return {name: place for name, place in found.items() if place.is_file()}


def _metrics(folder: Path) -> Arrays:
    """What was logged with every step, as arrays (steps,) and (steps, S); "step" is one of them."""
    lines = [line for line in load_lines(folder / "metrics.jsonl") if isinstance(line.get("step"), int)]
    if not lines:
        return {}
    columns = {"step": np.array([line["step"] for line in lines])}
    for name in lines[0]:
        try:
            values = np.array([line[name] for line in lines])
            numbers = values if values.dtype == bool else values.astype(float)  # null was an inf or a NaN
        except (KeyError, ValueError, TypeError):
            continue  # a text, a value that came later, or rows of several lengths
        if name != "step" and numbers.dtype != bool and numbers.ndim <= 2:
            columns[name] = numbers
    return columns


def _metric_panel(kind: str, metrics: Mapping[str, Arrays], drawn: Arrays) -> Panel:
    """A metric against training step, a line per training."""
    lines = []
    for slot, (name, columns) in enumerate((name, columns) for name, columns in metrics.items() if kind in columns):
        line = Line(name or kind, f"x.{name}.{kind}", f"y.{name}.{kind}", slot)
        drawn |= {line.x: columns["step"], line.y: columns[kind].T}
        lines.append(line)
    return Panel(kind, "training step", _label(kind), tuple(lines), y_scale=_scale(kind))


def _probes(name: str, place: Path, drawn: Arrays) -> Iterator[Panel]:
    """A panel for each array (P, S, ...) that the newest whole checkpoint holds of probes."""
    newest: Checkpoint | None = next(checkpoints.read_all(place), None)
    if newest is None or ".probe_steps" not in newest.arrays:
        return
    steps = newest.arrays[".probe_steps"]
    for kind, array in newest.below(".probes").items():
        if np.issubdtype(array.dtype, np.floating) and array.ndim >= 2 and array.size and len(array) == len(steps):
            yield _probe_panel(f"{name}: {kind}" if name else kind, kind, array, steps, drawn)


def _probe_panel(title: str, kind: str, array: np.ndarray, steps: np.ndarray, drawn: Arrays) -> Panel:
    """One number (P, S) against training step; more of them (P, S, T, ...) at the first and the last probe."""
    axes: dict[str, Any] = {"y_label": _label(kind), "y_scale": _scale(kind)}
    x, y = f"x.probe.{title}", f"y.probe.{title}"
    if array.ndim == 2:
        drawn |= {x: steps, y: array.T}
        return Panel(title, "training step", lines=(Line(kind, x, y, 0),), x_scale="log", markers=True, **axes)
    curves = np.median(array.reshape(*array.shape[:3], -1).astype(float), axis=-1)  # (P, S, T)
    drawn[x] = np.arange(curves.shape[2])
    lines = []
    for slot, probe in enumerate(sorted({0, len(steps) - 1})):
        drawn[f"{y}.{probe}"] = curves[probe]
        lines.append(Line(f"at step {steps[probe]}", x, f"{y}.{probe}", slot))
    return Panel(title, "index", lines=tuple(lines), **axes)


def _figure(name: str, title: str, panels: list[Panel]) -> Iterator[Figure]:
    if panels:
        left_out = f" {len(panels) - _MOST_PANELS} more are left out." if len(panels) > _MOST_PANELS else ""
        shown = tuple(panels[:_MOST_PANELS])
        yield Figure(name, title, _BAND + left_out, shown, columns=min(2, len(shown)))


def _scale(kind: str) -> Scale:
    """A natural log, as names of this library say, is shown as a power of ten."""
    return "exp" if _label(kind) != kind else "linear"


def _label(kind: str) -> str:
    """The name of what an axis shows: of a log, the name of its number."""
    return re.sub(r"(^|\.)log_", r"\1", kind)


def _last_losses(metrics: Mapping[str, Arrays]) -> Iterator[KeyFigure]:
    for name, columns in metrics.items():
        if "loss" in columns:
            last, step = np.atleast_1d(columns["loss"][-1]), columns["step"][-1]
            over = f", median of {len(last)} networks" if len(last) > 1 else ""
            yield KeyFigure(f"{name} loss at step {step}".strip(), f"{np.median(last):.4g}{over}")


def plain_numbers(summary: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a summary that stand at its top, or under "numbers", without an interval."""
    numbers = summary.get("numbers", summary)
    found = numbers.items() if isinstance(numbers, Mapping) else ()
    return {name: value for name, value in found if isinstance(value, int | float) and not isinstance(value, bool)}
