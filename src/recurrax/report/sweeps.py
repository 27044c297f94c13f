"""A sweep's page: its key number against what was set, and a narrow table of all settings, from saved files alone."""

import contextlib
import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from recurrax.files import load_json, write_whole
from recurrax.report import findings, templates
from recurrax.report.findings import SMOKE, Ranking, Reading
from recurrax.report.saved import is_smoke
from recurrax.report.sweep_figure import MOST_LINES, MOST_PANELS, Panels, draw_sweep, natural
from recurrax.report.training import plain_numbers

TABLE, PAGE = "table.csv", "sweep.html"
Row = dict[str, str]
"""A setting's cells of the table by column: "setting", its flags such as "--steps", "status", "folder", numbers."""


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
    axis, panels = _panels(settings, varied)
    found = [ranking.heading for one in settings for ranking in one.rankings]
    content = {
        "heading": f"recurrax · {folder.name}",
        "title": f"{found[0]} against {' and '.join(varied)}" if found and varied else "Settings that were tried",
        "answer": SMOKE if smoke else _answer(settings, varied),
        "smoke": smoke,
        "figure": templates.embedded(draw_sweep(folder, axis, panels)) if varied and panels else None,
        "narrow": len(panels) == 1,
        "whole": len(panels) <= MOST_PANELS and all(len(lines) <= MOST_LINES for lines in panels.values()),
        "settings": settings,
        "varied": varied,
        "fixed": {name: settings[0].values.get(name, "") for name in names if name not in varied},
    }
    page = templates.fill("sweep.html.jinja", content)
    write_whole(folder / PAGE, lambda file: file.write(page))
    return folder / PAGE


def _setting(folder: Path, row: Row) -> Setting:
    values = {name.removeprefix("--"): value for name, value in row.items() if name.startswith("--")}
    run, summary, ranked = folder / row.get("folder", ""), {}, []
    if run == folder:
        return Setting(values, row.get("status", ""), row.get("error", ""), "", ranked, smoke=False)
    # There is no summary, or somebody damaged or made it up, which can fail anywhere: the run's own page says so.
    with contextlib.suppress(Exception):
        summary = load_json(run / "summary.json")
        ranked = findings.rankings(summary) or _plain_number(summary)
    smoke = is_smoke(run, summary)
    link = quote(f"{row['folder']}/report.html") if (run / "report.html").exists() else ""
    return Setting(values, row.get("status", ""), row.get("error", ""), link, [] if smoke else ranked, smoke)


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


def _panels(settings: Sequence[Setting], varied: Sequence[str]) -> tuple[str, Panels]:
    """The flag with most values, and the key number against it: a panel per task, a line per cell and other setting."""
    axis = max(varied, key=lambda name: len({one.values.get(name) for one in settings}), default="")
    panels: Panels = {}
    for one in settings:
        others = " ".join(f"{name}={one.values.get(name, '-')}" for name in varied if name != axis)
        for ranking in one.rankings:
            for reading in ranking.readings:
                lines = panels.setdefault(ranking.heading, {})
                lines.setdefault(f"{reading.label} {others}".strip(), []).append((one.values.get(axis, "-"), reading))
    return axis, panels
