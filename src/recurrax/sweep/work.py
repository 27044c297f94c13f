"""A sweep's settings as work to be done: a folder, a command and a row of the table each."""

import hashlib
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recurrax import report
from recurrax.files import load_json
from recurrax.sweep import grid, table
from recurrax.sweep.worker import KILLS, Ending


@dataclass(frozen=True)
class Work:
    """One setting: its folder, named after it, and its command's arguments."""

    folder: Path
    setting: Mapping[str, str]
    command: list[str]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def line(self) -> str:
        """Its command for a shell."""
        return shlex.join([sys.executable, *self.command])

    def row(self, run: Path | None) -> table.Row:
        """What the table says of it, given the finished run that it left."""
        row = {"setting": self.name} | {f"--{name}": value or "yes" for name, value in self.setting.items()}
        if run is None:
            return row | {"status": "failed"}
        found = {"status": "finished", "folder": run.relative_to(self.folder.parent).as_posix()}
        return row | found | _seconds(run) | table.figures(run)

    def ending(self, result: Ending | Exception, run: Path | None) -> table.Row:
        """How its program ended: the seconds, and why where it failed."""
        if isinstance(result, Exception):
            return {"error": f"{type(result).__name__}: {result}"}
        seconds = {"seconds": f"{result.seconds:.1f}"}
        if run is not None and result.status == 0:
            return seconds
        told = table.complaint(result.status, table.tail(self.folder / "output.txt"))
        return seconds | {"error": f"{told}, {KILLS + 1} times" if told.endswith("SIGKILL") else told}


def works(script: Path, settings: Sequence[Mapping[str, str]], out: Path) -> list[Work]:
    """The work of every setting; all in one folder, named after the script and its flags: values can be added."""
    name = script.name if script.is_absolute() else script.as_posix()
    flags = dict.fromkeys(settings[0], "")
    folder = out / "sweeps" / f"{grid.slug({script.stem: '', **flags}) or 'sweep'}-{_digest([name, sorted(flags)])}"
    return [_work(script, folder, setting) for setting in settings]


def _work(script: Path, folder: Path, setting: Mapping[str, str]) -> Work:
    own = folder / f"{grid.slug(setting)}-{_digest(setting)}"
    return Work(own, setting, [str(script), *grid.flags(setting), f"--out={own.resolve()}"])


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


def _seconds(run: Path) -> table.Row:
    """How long a finished run took, by its own record."""
    lasted = report.seconds(load_json(run / "run.json"))
    return {} if lasted is None else {"seconds": f"{lasted:.1f}"}
