"""A run folder turned into figures and one HTML page that needs no other file."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recurrax import extras
from recurrax.files import write_whole
from recurrax.report import figures, templates
from recurrax.report.description import Table
from recurrax.report.saved import Saved, load


def render(folder: str | Path) -> Path:
    """Draws every figure of a finished run and writes its report, from the saved files alone.

    Args:
        folder: a run's folder; `<figure>.png`, `<figure>.svg` and `report.html` are written into it, in place of any
            that are there.

    Returns:
        The path of `report.html`: one file with its images inside, no scripts, nothing fetched.

    Raises:
        FileNotFoundError: a saved file is missing.
        ValueError: a saved file cannot be read or does not hold what the report draws.
        ModuleNotFoundError: matplotlib or jinja2 is not installed.
    """
    return write_page(load(folder))


def write_page(saved: Saved) -> Path:
    """The same of a run that has been read."""
    drawn = []
    for figure in saved.report.figures:
        _, svg = figures.draw(figure, saved.arrays, saved.folder)
        encoded = base64.b64encode(svg.read_bytes()).decode("ascii")
        drawn.append(
            {"title": figure.title, "caption": figure.caption, "source": f"data:image/svg+xml;base64,{encoded}"}
        )
    path = saved.folder / "report.html"
    page = _html(saved, drawn)
    write_whole(path, lambda file: file.write(page))
    return path


def _html(saved: Saved, drawn: list[dict[str, str]]) -> bytes:
    markup = extras.require("markupsafe", "experiments").Markup
    facts = [
        ("Configuration", list(flat(saved.config))),
        ("Environment", [(name.removeprefix("environment."), value) for name, value in flat(saved.run)]),
    ]
    content = {
        "report": saved.report,
        "figures": drawn,
        "heading": " · ".join(["recurrax", str(saved.run.get("experiment", "")), minute(saved.run.get("finished"))]),
        "command": saved.run.get("command", ""),
        "facts": facts,
        "number_class": lambda table, column: markup(' class="number"') if is_number(table, column) else "",
    }
    return templates.fill("page.html.jinja", content)


def minute(time: Any) -> str:
    """A time as run.json has it, to the minute.

    >>> minute("2026-11-22T09:05:22+00:00")
    '2026-11-22 09:05 UTC'
    """
    return f"{str(time)[:16].replace('T', ' ')} UTC" if time else ""


def is_number(table: Table, column: int) -> bool:
    """Whether a column holds numbers, which line up on the right."""
    entries = [row[column] for row in table.rows]
    return bool(entries) and all(entry[:1] in "0123456789<>+-\N{MINUS SIGN}\N{EN DASH}" for entry in entries)


def flat(saved: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as lines: ("devices.kind", "cpu")."""
    for name, value in saved.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", ", ".join(map(str, value)) if isinstance(value, list) else str(value)
