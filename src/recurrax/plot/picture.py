"""What is drawn of a result, as data: lines with bands under labels with units; and the drawing of it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from recurrax import lag
from recurrax.report import Level, Panel, decades, panels, style

DASHED: Mapping[str, Any] = {"linestyle": style.DASHES[1]}
_MARKER_SIZE = 3.2
BAND = (0.1, 0.5, 0.9)
"""Quantiles over the batch: the ends of a band and the line in it."""


class Series(NamedTuple):
    """A line, in natural logs if the picture is of norms.

    x: (N,). bands: (3, N), the lower end of the band, the line, the upper end. error: (N,), bars of that length to
    either side, or None. look: what `Axes.plot` is given beside that.
    """

    label: str | None
    x: np.ndarray
    bands: np.ndarray
    look: Mapping[str, Any] = {}
    error: np.ndarray | None = None


class Picture(NamedTuple):
    """Labels and lines of a result.

    norms: whether the lines are natural logs of norms. finish: draws on the axes what is no line.
    """

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    norms: bool = False
    levels: tuple[Level, ...] = ()
    marks: tuple[Level, ...] = ()
    finish: Callable[[Any], None] | None = None


def series(label: str | None, x: Any, values: Any, levels: Any = None, error: Any = None, **look: Any) -> Series:
    """A line in order of x (N,): median and band over the batch axes of values (N, *batch).

    With `levels` (Q,) the last axis of the values holds those quantiles, and any axes before it networks.
    """
    x, values = np.asarray(x), np.asarray(values, np.float64)
    order = np.argsort(x)
    if levels is None:
        bands = lag.quantiles(values, BAND)
    else:
        levels = np.asarray(levels, np.float64)
        places = (levels.argmin(), np.abs(levels - 0.5).argmin(), levels.argmax())
        bands = np.stack([lag.quantiles(values[..., place], (0.5,))[0] for place in places])
    return Series(label, x[order], bands[:, order], look, None if error is None else np.asarray(error)[order])


def draw_all(ax: Any, pictures: list[Picture]) -> None:
    """Draws pictures on the same axes, which get labels and scales from the first unless they hold something."""
    first = pictures[0]
    if not (ax.lines or ax.collections):
        panel = Panel(first.title, first.x_label, first.y_label, (), first.levels, first.marks)
        panels.draw_panel(ax, panel, {})
        if first.norms:
            decades.label(ax, first.y_label, [one.bands for picture in pictures for one in picture.series])
    for picture in pictures:
        for one in picture.series:
            _draw(ax, one, norms=picture.norms)
        if picture.finish is not None:
            picture.finish(ax)


def _draw(ax: Any, one: Series, *, norms: bool) -> None:
    def place(values: np.ndarray) -> np.ndarray:
        return decades.position(ax, values) if norms else np.where(np.isfinite(values), values, np.nan)

    look = {"color": _colour(ax, one.label), "markersize": _MARKER_SIZE, **one.look}
    low, middle, high = place(one.bands)
    ax.plot(one.x, middle, label=one.label, **look)
    if not np.array_equal(low, high, equal_nan=True):
        ax.fill_between(one.x, low, high, color=look["color"], alpha=0.15, linewidth=0)
    if one.error is not None:
        # An interval of a logarithm is not symmetric in the norm.
        below, above = (np.abs(place(one.bands[1] + side * one.error) - middle) for side in (-1, 1))
        ax.errorbar(one.x, middle, (below, above), fmt="none", color=look["color"], capsize=2)


def _colour(ax: Any, label: str | None) -> str:
    """That of the family of cells which a label names, or else the first that no labelled line has."""
    taken = [line.get_color() for line in ax.get_legend_handles_labels()[0] if hasattr(line, "get_color")]
    own = [style.colour(style.FAMILIES.index(label))] if label in style.FAMILIES else []
    free = [colour for colour in (*own, *style.COLOURS) if colour not in taken]
    return free[0] if free else style.colour(len(taken))
