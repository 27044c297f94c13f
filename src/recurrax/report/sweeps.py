"""A sweep's page: its key number against what was set, and a narrow table of all settings, from saved files alone."""

import contextlib
import csv
import io
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import quote

from recurrax import extras
from recurrax.files import load_json, write_whole
from recurrax.report import findings, style, templates
from recurrax.report.findings import SMOKE, Ranking, Reading
from recurrax.report.saved import is_smoke
from recurrax.report.training import plain_numbers

TABLE, PAGE = "table.csv", "sweep.html"
Row = dict[str, str]
"""A setting's cells of the table by column: "setting", its flags such as "--steps", "status", "folder", numbers."""
Lines: TypeAlias = dict[str, list[tuple[str, Reading]]]
"""What a panel draws: by a line's label, values of the flag with the key number there."""
_MOST_PANELS, _MOST_LINES = 4, 8
_WIDE = 20
"""Where the largest value is this many times the smallest, the flag's axis is a log scale."""


class Setting(NamedTuple):
    """A row of a sweep: what was set, by flag; how it ended; its report's address; its key number, a ranking a task."""

    values: dict[str, str]
    status: str
    error: str
    link: str
    rankings: list[Ranking]
    smoke: bool


def read_table(path: Path) -> dict[str, Row]:
    """The rows of a sweep's table by their setting; none where there is no table.

    Raises:
        ValueError: the file is no table of a sweep.
    """
    if not path.exists():
        return {}
    rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline=""))
    if "setting" not in (rows.fieldnames or ()):
        raise ValueError(f"{path}: expected a sweep's table with a column 'setting', got none")
    return {row["setting"]: {name: value for name, value in row.items() if value} for row in rows}


def sweep_folders(root: Path) -> Iterator[Path]:
    """The folders under `root`, itself included, that hold a sweep's table; a file of another kind is left alone."""
    for folder, inner, files in os.walk(root):
        inner.sort()
        if TABLE in files:
            with contextlib.suppress(ValueError, OSError):
                read_table(Path(folder) / TABLE)
                yield Path(folder)


def render_sweep(folder: Path) -> Path:
    """Writes sweep.html into a sweep's folder, and sweep.png and sweep.svg where there is a number to draw.

    Raises:
        ValueError: the table cannot be read.
        ModuleNotFoundError: matplotlib or jinja2 is not installed.
    """
    rows = read_table(folder / TABLE).values()
    settings = sorted((_setting(folder, row) for row in rows), key=lambda one: list(map(natural, one.values.values())))
    names = dict.fromkeys(name for one in settings for name in one.values)
    varied = [name for name in names if len({one.values.get(name) for one in settings}) > 1]
    smoke = any(one.smoke for one in settings)
    figure = None if smoke or not varied else _draw(folder, settings, varied)
    found = [ranking.heading for one in settings for ranking in one.rankings]
    content = {
        "heading": f"recurrax · {folder.name}",
        "title": f"{found[0]} against {' and '.join(varied)}" if found and varied else "Settings that were tried",
        "answer": SMOKE if smoke else _answer(settings, varied),
        "smoke": smoke,
        "figure": figure,
        "settings": settings,
        "varied": varied,
        "fixed": {name: settings[0].values.get(name, "") for name in names if name not in varied},
    }
    page = templates.fill("sweep.html.jinja", content)
    write_whole(folder / PAGE, lambda file: file.write(page))
    return folder / PAGE


def natural(value: str) -> tuple[Any, ...]:
    """A key that sorts values as people count.

    >>> sorted(["10", "64", "2", "1e-3", "h16", "h2"], key=natural)
    ['1e-3', '2', '10', '64', 'h2', 'h16']
    """
    try:
        return (0, float(value), "")
    except ValueError:
        parts = re.split(r"(\d+)", value)
        return (1, 0.0, *((part.isdecimal(), int(part) if part.isdecimal() else part) for part in parts))


def _setting(folder: Path, row: Row) -> Setting:
    values = {name.removeprefix("--"): value for name, value in row.items() if name.startswith("--")}
    run, summary = folder / row.get("folder", ""), {}
    if run != folder:
        with contextlib.suppress(OSError, ValueError):  # there is none, or the run's own page says that it is damaged
            summary = load_json(run / "summary.json")
    smoke = is_smoke(run, summary)
    link = quote(f"{row['folder']}/report.html") if run != folder and (run / "report.html").exists() else ""
    ranked = [] if smoke else findings.rankings(summary) or _plain_number(summary)
    return Setting(values, row.get("status", ""), row.get("error", ""), link, ranked, smoke)


def _plain_number(summary: Mapping[str, Any]) -> list[Ranking]:
    """The first number of a summary that has none with an interval."""
    for name, value in plain_numbers(summary).items():
        return [Ranking(name, (Reading("", value, value, value, f"{value:.6g}"),))]
    return []


def _answer(settings: Sequence[Setting], varied: Sequence[str]) -> str:
    """How many have finished, and where the key number is smallest and largest."""
    readings: dict[str, list[Reading]] = {}
    for one in settings:
        place = ", ".join(f"{name} = {one.values.get(name, '-')}" for name in varied)
        for ranking in one.rankings:
            of_cells = (reading._replace(label=f"{reading.label} {place}".strip()) for reading in ranking.readings)
            readings.setdefault(ranking.heading, []).extend(of_cells)
    ends = [findings.ends(findings.ranked(heading, of_number)) for heading, of_number in readings.items()]
    finished = sum(one.status == "finished" for one in settings)
    return " ".join([f"{finished} of {len(settings)} settings finished.", *(f"{end}." for end in ends)])


def _draw(folder: Path, settings: Sequence[Setting], varied: Sequence[str]) -> str | None:
    """The key number against the flag with most values, a panel per task, a line per cell and other setting."""
    axis = max(varied, key=lambda name: len({one.values.get(name) for one in settings}))
    panels: dict[str, Lines] = {}
    for one in settings:
        others = " ".join(f"{name}={one.values.get(name, '-')}" for name in varied if name != axis)
        for ranking in one.rankings:
            for reading in ranking.readings:
                lines = panels.setdefault(ranking.heading, {})
                lines.setdefault(f"{reading.label} {others}".strip(), []).append((one.values.get(axis, "-"), reading))
    if not panels:
        return None
    values = sorted({one.values.get(axis, "-") for one in settings}, key=natural)
    numeric = all(natural(value)[0] == 0 for value in values)
    places = {value: float(value) if numeric else float(index) for index, value in enumerate(values)}
    return templates.embedded(_save(folder, axis, list(panels.items())[:_MOST_PANELS], places, numeric))


def _save(folder: Path, axis: str, panels: list[tuple[str, Lines]], places: Mapping[str, float], numeric: bool) -> Path:
    """Draws the panels into sweep.png and sweep.svg; the latter's path."""
    matplotlib = extras.require("matplotlib", "experiments")
    columns = min(2, len(panels))
    rows = math.ceil(len(panels) / columns)
    with matplotlib.rc_context(style.SETTINGS):
        canvas = extras.require("matplotlib.figure", "experiments").Figure(
            figsize=(5 * columns, 3.2 * rows), layout="constrained"
        )
        for number, (heading, lines) in enumerate(panels, start=1):
            axes = canvas.add_subplot(rows, columns, number)
            axes.set_title(heading)
            axes.set_xlabel(axis)
            if numeric and min(places.values()) > 0 and max(places.values()) >= _WIDE * min(places.values()):
                axes.set_xscale("log")
            axes.set_xticks(list(places.values()), list(places))
            axes.minorticks_off()
            for slot, (label, points) in enumerate(list(lines.items())[:_MOST_LINES]):
                _draw_line(axes, label, [(places[value], reading) for value, reading in points], style.colour(slot))
            if len(axes.get_legend_handles_labels()[1]) > 1:
                axes.legend(fontsize=7.5)
        save = canvas.savefig
        write_whole(folder / "sweep.png", lambda file: save(file, format="png", metadata={"Software": None}))
        path = folder / "sweep.svg"
        write_whole(path, lambda file: save(file, format="svg", metadata={"Date": None, "Creator": None}))
    return path


def _draw_line(axes: Any, label: str, points: Sequence[tuple[float, Reading]], colour: str) -> None:
    """Estimates with their intervals; a triangle at the limit where the estimate lies beyond it."""
    x, y = [place for place, _ in points], [reading.estimate for _, reading in points]
    spans = [
        [max(reading.estimate - reading.low, 0.0) for _, reading in points],
        [max(reading.high - reading.estimate, 0.0) for _, reading in points],
    ]
    finite = [[0.0 if math.isnan(span) else span for span in side] for side in spans]
    axes.errorbar(x, y, yerr=finite, color=colour, label=label or None, marker="o", markersize=4, capsize=2.5)
    beyond = [(place, limit) for place, reading in points if (limit := findings.limit(reading)) is not None]
    if beyond:
        axes.plot(*zip(*beyond, strict=True), linestyle="", marker="^", color=colour, markerfacecolor="none")
