"""The report room: tables, figures and an HTML page made from a run's saved files, and from nothing else.

A run describes its report as data (`Report`) in `summary.json`; `render` draws it. Whatever is printed or drawn can
be made again later, elsewhere, without the run. matplotlib and jinja2 come with the `experiments` extra and are loaded
when something is drawn.
"""

from recurrax.report.console import show
from recurrax.report.description import (
    Dots,
    Figure,
    Group,
    KeyFigure,
    Level,
    Line,
    Panel,
    Report,
    Row,
    Scatter,
    Table,
)
from recurrax.report.findings import SMOKE
from recurrax.report.page import render, seconds
from recurrax.report.runs import Run, overview
from recurrax.report.saved import Saved, load
from recurrax.report.sweeps import read_table, render_sweep

__all__ = [
    "SMOKE",
    "Dots",
    "Figure",
    "Group",
    "KeyFigure",
    "Level",
    "Line",
    "Panel",
    "Report",
    "Row",
    "Run",
    "Saved",
    "Scatter",
    "Table",
    "load",
    "overview",
    "read_table",
    "render",
    "render_sweep",
    "seconds",
    "show",
]
