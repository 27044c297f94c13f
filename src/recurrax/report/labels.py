"""Lines named where they end, without a legend and without overlaps."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from recurrax import extras
from recurrax.report import style

SIZE = 8.0
_ROW = 1.35 * SIZE
"""Points from one row of text to the next."""
GAP = 0.045
"""Of the panel's width, from its right edge to the labels."""


_TICKS = 7
"""At most so many steps between ticks of an axis with a floor."""
LEVEL = "level"
"""What marks the label of a level, which stands among those of the lines."""


class End(NamedTuple):
    """Where a line leaves the panel: x, y in data units, and whether that is through the floor."""

    x: float
    y: float
    sinks: bool


def end_of(x: np.ndarray, y: np.ndarray, floor: float) -> End:
    """The last finite point of a line (N,), or the place on the floor where it sinks for good.

    >>> end_of(np.arange(4.0), np.array([8.0, 4.0, 2.0, np.nan]), floor=3.0)
    End(x=1.5, y=3.0, sinks=True)
    """
    x, y = x[np.isfinite(y)], y[np.isfinite(y)]
    seen = np.flatnonzero(y >= floor)
    if not seen.size:
        return End(float(x[0]) if x.size else 0.0, floor, True)
    last = int(seen[-1])
    if last + 1 == len(y):
        return End(float(x[last]), float(y[last]), False)
    share = float((y[last] - floor) / (y[last] - y[last + 1]))
    return End(float(x[last] + share * (x[last + 1] - x[last])), floor, True)


def name_lines(figure: Any, panels: Mapping[Any, float | None]) -> None:
    """Writes every labelled line's label beside its end.

    A line that reaches the right edge is named beside it. Lines that sink through a floor are named in a strip below
    it, each under the place where it sank: the last one in the first row, so that no text meets another's leader.

    Args:
        figure: a matplotlib figure with a layout engine, which makes room for the labels.
        panels: the axes in it, each with the floor below which its lines are hidden, or None.
    """
    written = {axes: _write(axes, -np.inf if floor is None else floor) for axes, floor in panels.items()}
    figure.draw_without_rendering()  # from here on the sizes of panels and texts are known
    rows = max((len(below) for _, below in written.values()), default=0)
    for axes, (beside, below) in written.items():
        floor = panels[axes]
        if floor is not None:
            _stairs(axes, floor, sorted(below, key=lambda text: -text.xy[0]), rows)
        _spread(axes, beside)


def _write(axes: Any, floor: float) -> tuple[list[Any], list[Any]]:
    """The labels beside a panel and those below its floor, their heights still to be found."""
    beside, below = [text for text in axes.texts if text.get_gid() == LEVEL], []
    for line, label in zip(*axes.get_legend_handles_labels(), strict=True):
        x, y = (np.asarray(values, float) for values in line.get_data())
        end, colour = end_of(x, y, floor), line.get_color()
        text = axes.annotate(label, (end.x, end.y), fontsize=SIZE, color=_ink(colour), **led(colour))
        (below if end.sinks else beside).append(text)
    return beside, below


def led(colour: str) -> dict[str, Any]:
    """The place of an annotation beside a panel and its leader, as `Axes.annotate` takes them."""
    leader = {"arrowstyle": "-", "color": colour, "linewidth": 0.7, "relpos": (0, 0.5), "shrinkA": 0, "shrinkB": 0}
    return {"xytext": (1 + GAP, 0.5), "textcoords": "axes fraction", "va": "center", "arrowprops": leader}


def _spread(axes: Any, texts: Sequence[Any]) -> None:
    """Moves texts beside a panel as little as leaves them apart (isotonic regression of their heights)."""
    if not texts:
        return
    optimize = extras.require("scipy.optimize", "experiments")
    texts = sorted(texts, key=lambda text: text.xy[1])
    points = axes.figure.dpi / 72
    heights = np.array([_ROW * points * len(text.get_text().splitlines()) for text in texts])
    stacked = np.cumsum(heights) - heights / 2  # where centres are if all lie upon each other
    bottom, height = axes.bbox.y0, axes.bbox.height
    wanted = np.array([axes.transData.transform((0.0, text.xy[1]))[1] for text in texts]) - bottom
    lowest = optimize.isotonic_regression(wanted - stacked).x
    for text, y in zip(texts, np.clip(lowest, 0.0, max(height - heights.sum(), 0.0)) + stacked, strict=True):
        text.xyann, text.anncoords = (1 + GAP, y / height), "axes fraction"


def _stairs(axes: Any, floor: float, texts: Sequence[Any], rows: int) -> None:
    """Opens a strip of so many rows below a log axis' floor, and hangs the texts into it, a row each."""
    height, top = axes.bbox.height / axes.figure.dpi * 72, axes.get_ylim()[1]  # in points
    strip = (_ROW * (rows + 0.4) if rows else 1.0) / height  # of the panel
    bottom = floor * (top / floor) ** (-strip / (1 - strip))
    axes.set_ylim(bottom, top)
    low, high = math.log10(floor), math.log10(top)
    step = math.ceil((high - low) / _TICKS)
    axes.set_yticks([10.0**power for power in range(math.ceil(low), math.floor(high) + 1) if power % step == 0])
    axes.set_yticks([], minor=True)
    axes.axhspan(bottom, floor, facecolor="white", edgecolor="none", zorder=2.5)
    axes.axhline(floor, color=style.LEVEL, linewidth=0.8, zorder=2.6)
    for row, text in enumerate(texts):
        text.set(zorder=3, ha="left", annotation_clip=False)
        y = strip - _ROW * (row + 0.75) / height
        text.xyann, text.anncoords = (text.xy[0], y), axes.get_xaxis_transform()


def _ink(colour: str) -> tuple[float, ...]:
    """A line's colour, dark enough to be read as a text."""
    rgb = extras.require("matplotlib.colors", "experiments").to_rgb(colour)
    return tuple(0.62 * part for part in rgb)
