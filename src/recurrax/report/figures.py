"""Figures drawn from saved arrays; matplotlib is loaded only here and only when something is drawn."""

from collections.abc import Mapping
from math import ceil
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np

from recurrax import extras
from recurrax.files import write_whole
from recurrax.report import decades, labels, style
from recurrax.report.description import Figure, Panel

_PANEL_INCHES = (4.7, 3.0)
_BAND = (0.1, 0.9)
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
        canvas = pyplot.Figure(figsize=(width * figure.columns, height * rows), layout="constrained")
        grid = canvas.subplots(rows, figure.columns, squeeze=False)
        for axes, panel in zip(grid.flat, figure.panels, strict=False):
            draw_panel(axes, panel, arrays)
            axes.set_title(fill(panel.title, 50))  # what is longer would be cut off at a panel's end
        for axes in grid.flat[len(figure.panels) :]:
            axes.set_visible(False)
        if figure.finding:
            canvas.suptitle(
                fill(figure.finding, 50 * figure.columns), x=0.01, ha="left", fontsize=11, fontweight="bold"
            )
        labels.name_lines(
            canvas, {axes: floor(axes, panel) for axes, panel in zip(grid.flat, figure.panels, strict=False)}
        )
        paths = folder / f"{figure.name}.png", folder / f"{figure.name}.svg"
        save = canvas.savefig
        write_whole(paths[0], lambda file: save(file, format="png", metadata={"Software": None}))
        write_whole(paths[1], lambda file: save(file, format="svg", metadata={"Date": None, "Creator": None}))
    return paths


def floor(axes: Any, panel: Panel) -> float | None:
    """The least norm that a panel shows, None where it shows all there is."""
    if panel.y_scale != "exp" or panel.y_limits is None or axes.get_yscale() != "log":
        return None
    return float(decades.position(axes, panel.y_limits[0]))


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
    curves = [_curve(line.x, line.y, arrays) for line in panel.lines]
    if panel.y_scale == "exp":
        shown = [band for _, bands in curves for band in bands]
        decades.label(axes, panel.y_label, shown if panel.y_limits is None else [np.asarray(panel.y_limits)])

    def place(values: Any) -> np.ndarray:
        return decades.position(axes, values) if panel.y_scale == "exp" else np.asarray(values)

    for line, (x, bands) in zip(panel.lines, curves, strict=True):
        low, middle, high = place(bands)
        look = style.line(line.slot, line.dash)
        axes.plot(x, middle, label=line.label, marker="o" if panel.markers else None, markersize=3.2, **look)
        if not np.array_equal(low, high, equal_nan=True):
            axes.fill_between(x, low, high, color=look["color"], alpha=0.13, linewidth=0)
    if panel.y_limits is not None:
        axes.set_ylim(*place(panel.y_limits))
    axes.margins(x=0.0)
    for level in panel.levels:
        _draw_level(axes, float(place(level.value)), level.label)
    for mark in panel.marks:
        axes.axvline(mark.value, color=style.LEVEL, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1.5)
        at = {"xy": (mark.value, 1.0), "xycoords": axes.get_xaxis_transform(), "xytext": (4, -1)}
        axes.annotate(mark.label, **at, textcoords="offset points", ha="left", va="top", **_NOTE)


def _draw_level(axes: Any, value: float, label: str) -> None:
    axes.axhline(value, color=style.LEVEL, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1.5)
    # Outside the panel, where no line runs through it; its height is settled with those of the lines' labels.
    text = axes.annotate(label, (axes.get_xlim()[1], value), **_NOTE, **labels.led(style.LEVEL))
    text.set_gid(labels.LEVEL)


def _curve(x: str, y: str, arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Positions (N,), and the ends of the band and the median of values (S, N) between them, (3, N)."""
    at, values = _values(x, arrays, ndim=1), np.atleast_2d(_values(y, arrays, ndim=None))
    if values.shape[-1] != at.shape[0]:
        raise ValueError(f"{y}: expected (S, N) with the N = {at.shape[0]} of {x}, got {values.shape}")
    finite = np.where(np.isfinite(values), values, np.nan)
    return at, np.quantile(finite, [_BAND[0], 0.5, _BAND[1]], axis=0)


def _values(name: str, arrays: Mapping[str, np.ndarray], ndim: int | None) -> np.ndarray:
    if name not in arrays:
        raise ValueError(f"{name}: the figure names an array which is not among the saved ones")
    values = np.asarray(arrays[name], dtype=np.float64)
    if values.ndim not in ((1, 2) if ndim is None else (ndim,)):
        raise ValueError(f"{name}: expected {ndim or '1 or 2'} axes, got shape {values.shape}")
    return values
