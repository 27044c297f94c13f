"""A run folder turned into figures and one HTML page that needs no other file."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from recurrax import extras
from recurrax.files import write_whole
from recurrax.report import figures, findings, templates
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
        narrow = min(figure.columns, len(figure.panels)) == 1
        about = {"title": figure.title, "caption": figure.caption, "narrow": narrow}
        drawn.append(about | {"source": templates.embedded(svg)})
    page = templates.fill("page.html.jinja", _content(saved) | {"figures": drawn})
    path = saved.folder / "report.html"
    write_whole(path, lambda file: file.write(page))
    return path


def _content(saved: Saved) -> dict[str, Any]:
    """What the page says, but for its figures; nothing is found where sizes were the smallest."""
    markup = extras.require("markupsafe", "experiments").Markup
    judged = findings.verdicts(saved)
    ranked = [] if saved.smoke else findings.rankings(saved.summary)
    heading = ("recurrax", str(saved.run.get("experiment", "")), minute(saved.run.get("finished")))
    return {
        "report": saved.report,
        "smoke": saved.smoke,
        "answer": findings.answer(saved),
        "verdicts": judged,
        "findings": () if judged or saved.smoke else saved.report.findings,
        "rankings": [(one.heading, *findings.bars(one)) for one in ranked],
        "heading": " · ".join(filter(None, heading)),
        "command": saved.run.get("command", ""),
        "protocol": saved.report.protocol,
        "facts": [("Settings", list(flat(saved.config))), ("Environment", list(_environment(saved.run)))],
        "number_class": lambda table, column: markup(' class="number"') if is_number(table, column) else "",
    }


def _environment(run: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What a run happened in, how long it took first; nothing for what does not apply."""
    lasted = seconds(run)
    if lasted is not None:
        parts = ((lasted // 3600, "h"), (lasted // 60 % 60, "min"), (lasted % 60, "s"))
        yield "duration", " ".join(f"{number:.0f} {unit}" for number, unit in parts if number) or "under 1 s"
    for name, value in flat(run):
        if value != "None" and name not in ("experiment", "command"):
            yield name.removeprefix("environment."), value


def seconds(run: Mapping[str, Any]) -> float | None:
    """From a run's first start to its end, by its run.json; None where it does not say.

    >>> seconds({"started": "2026-11-22T09:05:22+00:00", "finished": "2026-11-22T09:06:00+00:00"})
    38.0
    """
    try:
        started, finished = (datetime.fromisoformat(run[when]) for when in ("started", "finished"))
    except (KeyError, TypeError, ValueError):
        return None
    return (finished - started).total_seconds()


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
