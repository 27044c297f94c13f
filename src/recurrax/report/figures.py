"""Figures drawn from saved arrays; matplotlib is loaded only here and only when something is drawn."""

from collections.abc import Mapping
from math import ceil, log
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np

from recurrax import extras
from recurrax.files import write_whole
from recurrax.report import style
from recurrax.report.description import Figure, Panel

_PANEL_INCHES = (4.7, 3.0)
_BAND = (0.1, 0.9)
_LEGEND_COLUMNS = 6
_LN_10 = log(10.0)
_NOTE = {"fontsize": 7.5, "color": style.LEVEL}


def draw(figure: Figure, arrays: Mapping[str, np.ndarray], folder: Path) -> tuple[Path, Path]:
    """Draws a figure as PNG and SVG.

    A line over (S, N) is the median over S with a band from the 10th to the 90th percentile. A value that is not
    finite is not left out of them: the line stops there, since quantiles over survivors would flatter it.

    Args:
        figure: what to draw; every name in it must be among `arrays`.
        arrays: the run's saved arrays.
        folder: where `<name>.png` and `<name>.svg` are written.

    Returns:
        The paths of the PNG and the SVG.

    Raises:
        ValueError: the figure names an array which was not saved, or one of the wrong shape.
        ModuleNotFoundError: matplotlib is not installed.
    """
    matplotlib = extras.require("matplotlib", "experiments")
    pyplot = extras.require("matplotlib.figure", "experiments")
    rows = ceil(len(figure.panels) / figure.columns)
    width, height = _PANEL_INCHES
    with matplotlib.rc_context(style.SETTINGS):
        canvas = pyplot.Figure(figsize=(width * figure.columns, height * rows + 0.45), layout="constrained")
        grid = canvas.subplots(rows, figure.columns, squeeze=False)
        for axes, panel in zip(grid.flat, figure.panels, strict=False):
            draw_panel(axes, panel, arrays)
            axes.set_title(fill(panel.title, 50))  # what is longer would be cut off at a panel's end
        for axes in grid.flat[len(figure.panels) :]:
            axes.set_visible(False)
        _add_legend(canvas, grid.flat)
        paths = folder / f"{figure.name}.png", folder / f"{figure.name}.svg"
        save = canvas.savefig
        write_whole(paths[0], lambda file: save(file, format="png", metadata={"Software": None}))
        write_whole(paths[1], lambda file: save(file, format="svg", metadata={"Date": None, "Creator": None}))
    return paths


def draw_panel(axes: Any, panel: Panel, arrays: Mapping[str, np.ndarray]) -> None:
    """Titles, labels, scales, lines, levels and marks of a panel on matplotlib axes; see `draw`."""
    axes.set_title(panel.title)
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)
    if panel.x_scale == "log":
        axes.set_xscale("symlog", linthresh=1.0)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    if panel.y_scale == "log":
        axes.set_yscale("log")
    for line in panel.lines:
        x, y = _values(line.x, arrays, ndim=1), np.atleast_2d(_values(line.y, arrays, ndim=None))
        if y.shape[-1] != x.shape[0]:
            raise ValueError(f"{line.y}: expected (S, N) with the N = {x.shape[0]} of {line.x}, got {y.shape}")
        drawn = np.where(np.isfinite(y), _decades(y) if panel.y_scale == "exp" else y, np.nan)
        low, middle, high = np.quantile(drawn, [_BAND[0], 0.5, _BAND[1]], axis=0)
        look = {"color": style.colour(line.slot), "label": line.label}
        axes.plot(x, middle, marker="o" if panel.markers else None, markersize=3.2, **look)
        if len(y) > 1:
            axes.fill_between(x, low, high, color=look["color"], alpha=0.17, linewidth=0)
    if panel.y_limits is not None:
        axes.set_ylim(*(_decades(np.asarray(panel.y_limits)) if panel.y_scale == "exp" else panel.y_limits))
    if panel.y_scale == "exp":
        axes.yaxis.set_major_locator(extras.require("matplotlib.ticker", "experiments").MaxNLocator(7, integer=True))
        axes.yaxis.set_major_formatter(lambda value, _: style.power_of_ten(value))
    axes.margins(x=0.015)
    for level in panel.levels:
        _draw_level(axes, _decades(level.value) if panel.y_scale == "exp" else level.value, level.label)
    for mark in panel.marks:
        axes.axvline(mark.value, color=style.LEVEL, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1.5)
        place = {"xy": (mark.value, 1.0), "xycoords": axes.get_xaxis_transform(), "xytext": (4, -1)}
        axes.annotate(mark.label, **place, textcoords="offset points", ha="left", va="top", **_NOTE)


def _draw_level(axes: Any, value: float, label: str) -> None:
    axes.axhline(value, color=style.LEVEL, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1.5)
    # Outside the panel, where no line runs through it.
    place = {"xy": (1.0, value), "xycoords": axes.get_yaxis_transform(), "xytext": (4, 0)}
    axes.annotate(label, **place, textcoords="offset points", ha="left", va="center", **_NOTE)


def _add_legend(canvas: Any, grid: Any) -> None:
    """One legend for all panels: a cell has one colour throughout."""
    entries = {}
    for axes in grid:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if len(entries) > 1:
        columns = len(entries) if len(entries) <= _LEGEND_COLUMNS else ceil(len(entries) / 2)
        canvas.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=columns, handlelength=1.6)


def _values(name: str, arrays: Mapping[str, np.ndarray], ndim: int | None) -> np.ndarray:
    if name not in arrays:
        raise ValueError(f"{name}: the figure names an array which is not among the saved ones")
    values = np.asarray(arrays[name], dtype=np.float64)
    if values.ndim not in ((1, 2) if ndim is None else (ndim,)):
        raise ValueError(f"{name}: expected {ndim or '1 or 2'} axes, got shape {values.shape}")
    return values


def _decades(natural_log: Any) -> Any:
    """Natural logs as powers of ten: drawn as such, a norm of 1e-400 is no different from one of 1e-4."""
    return natural_log / _LN_10
