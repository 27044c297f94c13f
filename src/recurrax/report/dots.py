"""A panel of dots: a row for each thing compared, its values as small dots, and an arrow to what became of it."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from recurrax.report import style
from recurrax.report.description import Dots, Row
from recurrax.report.panels import NOTE, values_of

MARKERS = "os^Dvp*X"
WIDE, _NARROW = (1, 2, 5), (1, 1.2, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)
"""Ticks within a decade, for axes of more than one decade and of less."""
EDGE = 1.45
"""Where what lies beyond the axis is drawn, in multiples of its last value."""
_STILL = 0.15
"""Octaves; an arrow that short would not be seen, and a full dot stands for it."""


def draw_dots(axes: Any, panel: Dots, arrays: Mapping[str, np.ndarray]) -> None:
    """Draws the rows of a panel on empty matplotlib axes, the first at the top.

    Without arrows a row's values are small dots and their median is a large one. With arrows, values before are small
    rings above the arrow and values after small dots below it; a full dot stands for an arrow too short to be seen.
    """
    axes.set(title=panel.title, xlabel=panel.x_label, xscale="log")
    labels = list(dict.fromkeys(row.label for row in panel.rows))
    shown = [values_of(name, arrays, ndim=1) for row in panel.rows for name in (row.x, row.to) if name]
    for row in panel.rows:
        beside = [other.name for other in panel.rows if other.label == row.label]
        shift = 0.5 * ((beside.index(row.name) + 0.5) / len(beside) - 0.5)
        (_arrow if row.to else _values)(axes, panel, row, labels.index(row.label) + shift, arrays)
    for level in panel.levels:
        axes.axvline(level.value, color=style.LEVEL, linewidth=1.0, zorder=1.5)
        place = {"xy": (level.value, 1.0), "xycoords": axes.get_xaxis_transform(), "xytext": (3, 0)}
        axes.annotate(level.label, **place, textcoords="offset points", ha="left", va="top", **NOTE)
    _ticks(axes, panel, np.concatenate([*shown, [level.value for level in panel.levels]]))
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.9 if panel.levels else -0.6)
    axes.tick_params(axis="y", length=0)


def _values(axes: Any, panel: Dots, row: Row, y: float, arrays: Mapping[str, np.ndarray]) -> None:
    x = _inside(panel, values_of(row.x, arrays, ndim=1))
    look = {"color": style.colour(row.slot), "marker": MARKERS[row.slot % len(MARKERS)], "linestyle": "none"}
    if len(x) > 1:
        axes.plot(x, np.full(len(x), y), markersize=2.5, alpha=0.6, **look)
    axes.plot([np.median(x)], [y], markersize=6.5, label=row.name or None, zorder=3, **look)


def _arrow(axes: Any, panel: Dots, row: Row, y: float, arrays: Mapping[str, np.ndarray]) -> None:
    before, after = (_inside(panel, values_of(name, arrays, ndim=1)) for name in (row.x, row.to))
    colour, (start, end) = style.colour(row.slot), (float(np.median(values)) for values in (before, after))
    axes.plot(before, np.full(len(before), y - 0.24), "o", markersize=3.0, color=colour, fillstyle="none")
    axes.plot(after, np.full(len(after), y + 0.24), "o", markersize=3.0, color=colour)
    moved = abs(math.log2(end / start)) > _STILL
    face = "white" if moved else colour
    axes.plot([start], [y], "o", markersize=5.5, color=colour, markerfacecolor=face, markeredgewidth=1.6, zorder=3)
    if moved:
        arrow = {
            "arrowstyle": "-|>",
            "color": colour,
            "linewidth": 2.0,
            "mutation_scale": 13,
            "shrinkA": 3,
            "shrinkB": 0,
        }
        axes.annotate("", (end, y), (start, y), arrowprops=arrow)


def _inside(panel: Dots, values: np.ndarray) -> np.ndarray:
    """Values as they are drawn: those beyond the axis stand at its edge."""
    return values if panel.beyond is None else np.where(np.isinf(values), panel.beyond * EDGE, values)


def _ticks(axes: Any, panel: Dots, values: np.ndarray) -> None:
    """Plain numbers along the axis, and a shaded edge for what lies beyond it."""
    seen = _inside(panel, values)
    low, high = float(seen.min()) / 1.12, float(seen.max()) * 1.12
    if panel.beyond is not None:
        high = panel.beyond * EDGE * 1.12
        axes.axvspan(panel.beyond * 1.05, high, color="#F1F1F1", linewidth=0, zorder=0.5)
    steps = WIDE if high / low > 10 else _NARROW
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    last = high if panel.beyond is None else panel.beyond
    ticks = [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= last]
    texts = [f"{tick:g}" for tick in ticks]
    if panel.beyond is not None:
        ticks, texts = [*ticks, panel.beyond * EDGE], [*texts, f">{panel.beyond:g}"]
    axes.set_xlim(low, high)
    axes.set_xticks(ticks, texts)
    axes.set_xticks([], minor=True)
