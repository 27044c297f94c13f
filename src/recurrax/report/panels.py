"""A panel of lines: medians over networks in bands, levels across and marks along."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from recurrax.report import decades, labels, style
from recurrax.report.description import Panel

_BAND = (0.1, 0.9)
NOTE = {"fontsize": 7.5, "color": style.LEVEL}
"""How levels and marks are written."""


def floor(axes: Any, panel: Panel) -> float | None:
    """The least norm that a panel shows, None where it shows all there is."""
    if panel.y_scale != "exp" or panel.y_limits is None or axes.get_yscale() != "log":
        return None
    return float(decades.position(axes, panel.y_limits[0]))


def draw_panel(axes: Any, panel: Panel, arrays: Mapping[str, np.ndarray]) -> None:
    """Titles, labels, scales, lines, levels and marks of a panel on matplotlib axes; see `figures.draw`."""
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
    axes.margins(x=0.015 if panel.markers else 0.0)
    for level in panel.levels:
        _draw_level(axes, float(place(level.value)), level.label)
    for mark in panel.marks:
        axes.axvline(mark.value, color=style.LEVEL, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1.5)
        at = {"xy": (mark.value, 1.0), "xycoords": axes.get_xaxis_transform(), "xytext": (4, -1)}
        axes.annotate(mark.label, **at, textcoords="offset points", ha="left", va="top", **NOTE)


def _draw_level(axes: Any, value: float, label: str) -> None:
    axes.axhline(value, color=style.LEVEL, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1.5)
    # Outside the panel, where no line runs through it; `labels.name_lines` moves it away from the lines' labels.
    beside = axes.get_yaxis_transform()  # x in panel widths, y in the data's unit
    at = {**labels.led(style.LEVEL), "xycoords": beside, "textcoords": beside, "xytext": (1 + labels.GAP, value)}
    text = axes.annotate(label, (1.0, value), **NOTE, **at)
    text.set_gid(labels.LEVEL)


def _curve(x: str, y: str, arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Positions (N,), and the ends of the band and the median of values (S, N) between them, (3, N)."""
    at, values = values_of(x, arrays, ndim=1), np.atleast_2d(values_of(y, arrays, ndim=None))
    if values.shape[-1] != at.shape[0]:
        raise ValueError(f"{y}: expected (S, N) with the N = {at.shape[0]} of {x}, got {values.shape}")
    finite = np.where(np.isfinite(values), values, np.nan)
    return at, np.quantile(finite, [_BAND[0], 0.5, _BAND[1]], axis=0)


def values_of(name: str, arrays: Mapping[str, np.ndarray], ndim: int | None) -> np.ndarray:
    """A saved array in float64, of `ndim` axes, or of one or two if None.

    Raises:
        ValueError: it was not saved, or has other axes.
    """
    if name not in arrays:
        raise ValueError(f"{name}: the figure names an array which is not among the saved ones")
    values = np.asarray(arrays[name], dtype=np.float64)
    if values.ndim not in ((1, 2) if ndim is None else (ndim,)):
        raise ValueError(f"{name}: expected {ndim or '1 or 2'} axes, got shape {values.shape}")
    return values
