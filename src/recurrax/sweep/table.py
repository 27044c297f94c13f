"""A sweep's table: one row per setting that has ended, in one file that is whole at any time."""

import contextlib
import csv
import io
import itertools
import math
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recurrax.files import load_json, write_whole
from recurrax.report.sweeps import Row
from recurrax.sweep.grid import RESERVED

_MOST_FIGURES = 60


def save(path: Path, rows: Mapping[str, Row]) -> None:
    """Replaces the table: first what was set, then how it ended, then what was found."""
    seen = dict.fromkeys(name for row in rows.values() for name in row if name not in RESERVED)
    flags = [name for name in seen if name.startswith("--")]
    figures = [name for name in seen if not name.startswith("--")]
    text = io.StringIO(newline="")
    columns = ["setting", *flags, "status", "seconds", "folder", "error", *figures]
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows.values())
    write_whole(path, lambda file: file.write(text.getvalue().encode()))


def finished_run(folder: Path) -> Path | None:
    """The finished run that a program left under its `--out` folder."""
    for record in sorted(folder.glob("*/*/run.json")):
        try:
            if load_json(record).get("status") == "finished":
                return record.parent
        except (OSError, ValueError):
            continue
    return None


def figures(run: Path) -> Row:
    """The numbers of a run's summary.json, those under "numbers" if it has that, by their dotted names.

    The least deep come first, and none after the first 60; lists are left out.
    """
    try:
        summary = load_json(run / "summary.json")
    except (OSError, ValueError):
        return {}
    found: Row = {}
    level: dict[str, Any] = summary.get("numbers", summary)
    while level:
        deeper: dict[str, Any] = {}
        for name, value in level.items():
            if isinstance(value, dict):
                deeper |= {f"{name}.{inner}": content for inner, content in value.items()}
            elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                found[name] = repr(value)
        level = deeper
    return dict(list(found.items())[:_MOST_FIGURES])


def complaint(status: int, output: str) -> str:
    """Why a program failed, in one sentence: the last that it printed, or its exit status."""
    if status == 0:
        return "ended well, but left no finished run under its --out folder"
    if status > 128:
        with contextlib.suppress(ValueError):
            return f"ended by {signal.Signals(status - 128).name}"
    if output.rstrip().endswith("╯"):  # a box that tyro drew: its head, what is wrong, a rule, what to do about it
        box = output[output.rfind("╭") :].splitlines()[1:]
        told = " ".join(itertools.takewhile(_telling, (line.strip(" │\t") for line in box)))
    else:
        told = next(filter(_telling, reversed(output.splitlines())), "").strip()
    return f"{told[:300]} (exit status {status})" if told else f"exit status {status}"


def tail(path: Path) -> str:
    """The end of what a program printed."""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - 20_000))
        return file.read().decode(errors="replace")


def _telling(line: str) -> bool:
    return any(map(str.isalnum, line))
