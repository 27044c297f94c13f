"""Figures drawn from saved arrays; matplotlib is loaded only here and only when something is drawn."""

from collections.abc import Mapping
from math import ceil
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np

from recurrax import extras
from recurrax.files import write_whole
from recurrax.report import labels, panels, style
from recurrax.report.description import Dots, Figure, Panel, Scatter
from recurrax.report.dots import draw_dots
from recurrax.report.scatter import draw_scatter

_PANEL_INCHES = (4.7, 3.0)


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
    width, height = _size(figure)
    with matplotlib.rc_context(style.SETTINGS):
        canvas = pyplot.Figure(figsize=(width * figure.columns, height * rows), layout="constrained")
        grid = canvas.subplots(rows, figure.columns, squeeze=False)
        of_lines = {}
        for axes, panel in zip(grid.flat, figure.panels, strict=False):
            if isinstance(panel, Dots):
                draw_dots(axes, panel, arrays)
            elif isinstance(panel, Scatter):
                draw_scatter(axes, panel, arrays)
            else:
                panels.draw_panel(axes, panel, arrays)
                of_lines[axes] = panels.floor(axes, panel)
            axes.set_title(fill(panel.title, 50))  # what is longer would be cut off at a panel's end
        for axes in grid.flat[len(figure.panels) :]:
            axes.set_visible(False)
        _head(canvas, figure, grid.flat[0])
        labels.name_lines(canvas, of_lines)
        paths = folder / f"{figure.name}.png", folder / f"{figure.name}.svg"
        save = canvas.savefig
        write_whole(paths[0], lambda file: save(file, format="png", metadata={"Software": None}))
        write_whole(paths[1], lambda file: save(file, format="svg", metadata={"Date": None, "Creator": None}))
    return paths


def _size(figure: Figure) -> tuple[float, float]:
    """Inches of a panel: more for many lines, each named at its end, for dots of many rows, or of long labels."""
    width, height = _PANEL_INCHES
    lines = max((len(panel.lines) for panel in figure.panels if isinstance(panel, Panel)), default=0)
    height = max(height, 0.25 * lines)
    named = [row.label for panel in figure.panels if isinstance(panel, Dots) for row in panel.rows]
    if len(named) > 12 * len(figure.panels):
        width, height = width + 0.065 * max(map(len, named)), 0.25 * len(named) / len(figure.panels) + 1.0
    return width, height


def _head(canvas: Any, figure: Figure, first: Any) -> None:
    """The finding above all panels, and for dots and points of several kinds what is which."""
    if figure.finding:
        said = "\n".join(fill(line, 57 * figure.columns) for line in figure.finding.splitlines())
        canvas.suptitle(said, x=0.01, ha="left", fontsize=9.6, fontweight="bold", linespacing=1.4)
    if isinstance(figure.panels[0], Scatter):
        first.legend(loc="upper left", fontsize=8)
    if isinstance(figure.panels[0], Dots):
        kinds = dict(zip(*reversed(first.get_legend_handles_labels()), strict=True))
        if kinds:
            canvas.legend(kinds.values(), kinds.keys(), loc="outside upper right", ncols=len(kinds))
