"""A panel of points: one number against another on log axes, a fitted line, and what lies beyond the axes."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from recurrax.report import style
from recurrax.report.description import Scatter
from recurrax.report.dots import EDGE, MARKERS
from recurrax.report.panels import NOTE, values_of


def draw_scatter(axes: Any, panel: Scatter, arrays: Mapping[str, np.ndarray]) -> None:
    """Draws the points of a panel on empty matplotlib axes, inf on a shaded edge, and the line if there is one."""
    axes.set(title=panel.title, xlabel=panel.x_label, ylabel=panel.y_label, xscale="log", yscale="log")
    seen = []
    for group in panel.groups:
        x, y = (_inside(panel, values_of(name, arrays, ndim=1)) for name in (group.x, group.y))
        look = {"color": style.colour(group.slot), "marker": MARKERS[group.slot % len(MARKERS)], "linestyle": "none"}
        axes.plot(x, y, markersize=5, alpha=0.8, label=group.label, **look)
        seen.append((x, y))
    for axis, values in ((axes.xaxis, [x for x, _ in seen]), (axes.yaxis, [y for _, y in seen])):
        _scale(axis, panel.beyond, float(min(part.min() for part in values)))
    axes.axvspan(panel.beyond * 1.05, axes.get_xlim()[1], color="#F1F1F1", linewidth=0, zorder=0.5)
    axes.axhspan(panel.beyond * 1.05, axes.get_ylim()[1], color="#F1F1F1", linewidth=0, zorder=0.5)
    if panel.slope is not None:
        ends = np.array([axes.get_xlim()[0], panel.beyond])
        axes.plot(ends, 2.0**panel.intercept * ends**panel.slope, color=style.LEVEL, linewidth=1.2, zorder=1.5)
    axes.annotate(panel.note, (0.98, 0.03), xycoords="axes fraction", ha="right", va="bottom", **NOTE)


def _inside(panel: Scatter, values: np.ndarray) -> np.ndarray:
    """Values as they are drawn: those beyond an axis stand at its edge."""
    return np.where(np.isinf(values), panel.beyond * EDGE, values)


def _scale(axis: Any, beyond: float, least: float) -> None:
    """Powers of two along an axis, and a last tick for what lies beyond."""
    powers = 2.0 ** np.arange(np.floor(np.log2(least)), np.log2(beyond) + 1e-9)
    ticks, texts = [*powers, beyond * EDGE], [f"{tick:g}" for tick in powers]
    texts[-1:] = ["", f">{beyond:g}"]  # the last power would run into what is beyond it
    axis.set_ticks(ticks, texts)
    axis.set_ticks([], minor=True)
    axis.axes.set(**{f"{axis.axis_name}lim": (min(least, powers[0]) / 1.15, beyond * EDGE * 1.15)})
