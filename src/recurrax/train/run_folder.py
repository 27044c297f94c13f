"""One folder per run: `results/<experiment>/<slug>-<8 hex of the configuration>/`.

| file | what |
|---|---|
| config.json | the configuration, whole |
| run.json | status, command, times, versions, devices, git's state |
| metrics.jsonl | one object per line, appended as the run goes |
| arrays.npz | measurements |
| summary.json | what the report says |

All but metrics.jsonl are written aside and renamed, so whatever is there is whole.
"""

import contextlib
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from recurrax.train.environment import command_line, environment
from recurrax.train.files import load_arrays, load_json, plain, save_arrays, save_json

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class RunFolder:
    """A run's folder and what may be done with it.

    Fields: `path`; `finished`, whether the run in it had already finished when it was opened.
    """

    path: Path
    finished: bool

    def append_metrics(self, record: Mapping[str, Any]) -> None:
        """Appends one line to metrics.jsonl in one write."""
        line = json.dumps(plain(record), allow_nan=False) + "\n"
        with open(self.path / "metrics.jsonl", "ab", buffering=0) as file:
            file.write(line.encode())

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; one that a crash cut short is left out."""
        path = self.path / "metrics.jsonl"
        lines = path.read_bytes().split(b"\n") if path.exists() else [b""]
        return [json.loads(line) for line in lines[:-1]]

    def save_arrays(self, arrays: Mapping[str, Any]) -> None:
        """Writes arrays.npz."""
        save_arrays(self.path / "arrays.npz", arrays)

    def arrays(self) -> dict[str, np.ndarray]:
        """What arrays.npz holds."""
        return load_arrays(self.path / "arrays.npz")

    def save_summary(self, summary: Mapping[str, Any]) -> None:
        """Writes summary.json."""
        save_json(self.path / "summary.json", summary)

    def summary(self) -> dict[str, Any]:
        """What summary.json holds."""
        return load_json(self.path / "summary.json")


def config_hash(config: Any) -> str:
    """The first 8 hex digits of the SHA-256 of a configuration, the order of its entries aside.

    >>> config_hash({"steps": 10, "cell": "lstm"}) == config_hash({"cell": "lstm", "steps": 10})
    True
    """
    text = json.dumps(plain(config), sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def run_path(root: Path | str, experiment: str, slug: str, config: Any) -> Path:
    """Where the run of this configuration lies, whether or not it exists.

    Raises:
        ValueError: the experiment or the slug is no plain name.
    """
    for name, value in (("experiment", experiment), ("slug", slug)):
        if not _NAME.fullmatch(value):
            raise ValueError(
                f"{name}: expected at most 100 letters, digits, dots, dashes and underscores, the first a letter or a "
                f"digit, got {value[:120]!r}"
            )
    return Path(root) / experiment / f"{slug}-{config_hash(config)}"


@contextlib.contextmanager
def open_run(
    root: Path | str, experiment: str, slug: str, config: Any, command: Sequence[str] | None = None
) -> Iterator[RunFolder]:
    """Opens the folder of a run for the duration of a `with` block, and keeps the status in its run.json.

    The status is "running" inside the block, "finished" after it, "failed" after an exception. A run that has already
    finished is opened as it is: look at `finished` first, and compute nothing.

    Args:
        root: folder of all results, made where it does not exist.
        experiment: name of the experiment.
        slug: a few readable words on this configuration.
        config: a dataclass or mapping; what the results depend on and nothing else, since its hash names the folder.
        command: the command line to record, `sys.argv` if None.

    Raises:
        ValueError: a name is no plain name, or the folder holds another configuration.
        OSError: the folder cannot be made or written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root, open_run(root, "demo", "small", {"steps": 2}) as run:
    ...     run.append_metrics({"step": 0, "loss": 0.5})
    ...     run.path.name, run.metrics()
    ('small-a0e13e02', [{'step': 0, 'loss': 0.5}])
    """
    path = run_path(root, experiment, slug, config)
    _prepare(path, config)
    before = load_json(path / "run.json") if (path / "run.json").exists() else {}
    if before.get("status") == "finished":
        yield RunFolder(path, finished=True)
        return
    record = {
        "experiment": experiment,
        "status": "running",
        "command": command_line(sys.argv if command is None else command),
        "started": before.get("started", _now()),
        "environment": environment(),
    }
    save_json(path / "run.json", record)
    try:
        yield RunFolder(path, finished=False)
    except BaseException as error:
        save_json(
            path / "run.json", record | {"status": "failed", "error": f"{type(error).__name__}", "finished": _now()}
        )
        raise
    save_json(path / "run.json", record | {"status": "finished", "finished": _now()})


def _prepare(path: Path, config: Any) -> None:
    """Makes the folder and its config.json, or checks that they are this configuration's."""
    for folder in (path, path.parent):
        if folder.is_symlink():
            raise ValueError(f"{folder}: expected a folder of its own, got a symbolic link")
    made = [folder for folder in (path, path.parent, path.parent.parent) if not folder.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError("permission denied")
        if not (path / "config.json").exists():
            save_json(path / "config.json", config)
    except OSError as error:
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise OSError(f"{path}: the run's folder cannot be written: {error.strerror or error}") from error
    if load_json(path / "config.json") != plain(config):
        raise ValueError(f"{path}: expected this run's configuration in config.json, got another one")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
