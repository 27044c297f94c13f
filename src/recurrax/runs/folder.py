"""One folder per run: `results/<experiment>/<slug>-<8 hex of the configuration>/`.

| file | what |
|---|---|
| config.json | the configuration, whole |
| run.json | status, command, times, versions, devices, git's state |
| program.json | the fingerprint of what it computes, where `open_run` was given one |
| metrics.jsonl | one object per line, appended as the run goes |
| arrays.npz | measurements |
| summary.json | what the report says |

All but metrics.jsonl are written aside and renamed, so whatever is there is whole.

Where several processes have joined, every one of them opens the run and calls the same methods in the same order;
process 0 alone reads and writes, and what it reads, or could not write, all are told.
"""

import contextlib
import hashlib
import io
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from recurrax.files import append_lines, load_arrays, load_json, load_lines, plain, save_arrays, save_json
from recurrax.runs.environment import command_line, environment, resume_command
from recurrax.runs.lock import LockedError, locked
from recurrax.runs.processes import from_first, is_first_process, on_first
from recurrax.runs.program import check_fingerprint
from recurrax.runs.signals import Stop, Stopped, stop_on_signals

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

Records = Sequence[Mapping[str, Any]]
Tracker = Callable[[Path], contextlib.AbstractContextManager[Callable[[Records], None]]]
"""A run's folder to a `with` block in which every line of metrics is also told to somebody else."""


@dataclass(frozen=True)
class RunFolder:
    """A run's folder and what may be done with it.

    Fields: `path`; `finished`, whether the run in it had already finished when it was opened; `config_hash`, 8 hex;
    `stop`, whether a signal has asked the run to stop; `track`, what is told of every line of metrics.
    """

    path: Path
    finished: bool
    config_hash: str
    stop: Stop
    track: Callable[[Records], None] = lambda records: None

    def append_metrics(self, record: Mapping[str, Any]) -> None:
        """Appends one line to metrics.jsonl in one write."""

        def append() -> None:
            append_lines(self.path / "metrics.jsonl", [record])
            self.track([record])

        on_first(append)

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; one that a crash cut short is left out."""
        path = self.path / "metrics.jsonl"
        return load_lines(path, from_first(lambda: path.read_bytes() if path.exists() else b""))

    def save_arrays(self, arrays: Mapping[str, Any]) -> None:
        """Writes arrays.npz."""
        on_first(lambda: save_arrays(self.path / "arrays.npz", arrays))

    def arrays(self) -> dict[str, np.ndarray]:
        """What arrays.npz holds."""
        path = self.path / "arrays.npz"
        return load_arrays(path, io.BytesIO(from_first(path.read_bytes)))

    def save_summary(self, summary: Mapping[str, Any]) -> None:
        """Writes summary.json."""
        on_first(lambda: save_json(self.path / "summary.json", summary))

    def summary(self) -> dict[str, Any]:
        """What summary.json holds."""
        return json.loads(from_first(lambda: json.dumps(load_json(self.path / "summary.json")).encode()))


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
    return Path(root) / check_name("experiment", experiment) / f"{check_name('slug', slug)}-{config_hash(config)}"


def check_name(argument: str, name: str) -> str:
    """The name, if it can be a file's on any system and cannot lead out of its folder.

    Raises:
        ValueError: it cannot.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{argument}: expected at most 100 letters, digits, dots, dashes and underscores, the first a letter or a "
            f"digit, got {name[:120]!r}"
        )
    return name


@contextlib.contextmanager
def open_run(
    root: Path | str,
    experiment: str,
    slug: str,
    config: Any,
    command: Sequence[str] | None = None,
    track: Tracker | None = None,
    *,
    program: Mapping[str, str] | None = None,
    fresh: bool = False,
) -> Iterator[RunFolder]:
    """Opens the folder of a run for the duration of a `with` block, and keeps the status in its run.json.

    The status is "running" inside the block, "finished" after it, "failed" after an exception, "preempted" after a
    signal. A run that has already finished is opened as it is: look at `finished` first, and compute nothing. Inside
    the block the folder is locked, and SIGTERM and SIGINT only ask: heed `stop`, as `fit_saved` does. Then the command
    that goes on is printed and the exit status is 143 or 130; a second signal exits at once.

    Args:
        root: folder of all results, made where it does not exist.
        experiment: name of the experiment.
        slug: a few readable words on this configuration.
        config: a dataclass or mapping; what the results depend on and nothing else, since its hash names the folder.
        command: the command line to record, `sys.argv` if None.
        track: who else is told of metrics, such as `tensorboard`; nobody if None.
        program: what the run computes, `recurrax.train.fingerprint` of its training: a run of another program is then
            not taken for this one, finished or not. None relies on the configuration alone.
        fresh: whether to delete what is in the folder, and begin anew.

    Raises:
        ValueError: a name is no plain name, or the folder holds another configuration.
        OtherProgramError: the run in the folder is of another program, or does not say of which.
        OSError: the folder cannot be made or written.
        LockedError: another process has this run open; nothing has been written.
        ElsewhereError: in the other processes, whatever stopped process 0 here.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root, open_run(root, "demo", "small", {"steps": 2}) as run:
    ...     run.append_metrics({"step": 0, "loss": 0.5})
    ...     run.path.name, run.metrics()
    ('small-a0e13e02', [{'step': 0, 'loss': 0.5}])
    """
    path = run_path(root, experiment, slug, config)
    record = {"experiment": experiment, "command": command_line(sys.argv if command is None else command)}
    with contextlib.ExitStack() as held, stop_on_signals() as stop:
        before = json.loads(from_first(lambda: json.dumps(_begin(path, config, record, held, program, fresh)).encode()))
        run = RunFolder(path, before.get("status") == "finished", config_hash(config), stop)
        if run.finished:
            yield run
            return
        if track is not None and is_first_process():
            run = replace(run, track=held.enter_context(track(path)))
        try:
            yield run
        except Stopped as stopped:
            _note(path, {"status": "preempted", "finished": _now()})
            if is_first_process():
                print(f"stopped by {stopped.signal.name}, all saved; to go on: {resume_command()}", file=sys.stderr)
            raise
        except BaseException as error:
            # On a full disk this cannot be written either; what matters is the error that came first.
            with contextlib.suppress(OSError):
                _note(path, {"status": "failed", "error": type(error).__name__, "finished": _now()})
            raise
        _note(path, {"status": "finished", "finished": _now()})


def _begin(
    path: Path,
    config: Any,
    record: dict[str, Any],
    held: contextlib.ExitStack,
    program: Mapping[str, str] | None,
    fresh: bool,
) -> dict[str, Any]:
    """Claims the folder and, unless the run in it has finished, notes that it is running; run.json as it was."""
    _claim(path, config, held)
    if fresh:
        _clear(path)
    before = load_json(path / "run.json") if (path / "run.json").exists() else {}
    if program is not None and before:
        saved = path / "program.json"
        check_fingerprint(path, load_json(saved) if saved.exists() else None, program)
    if before.get("status") != "finished":
        if program is not None:
            save_json(path / "program.json", dict(program))
        started = before.get("started", _now())
        save_json(path / "run.json", record | {"status": "running", "started": started, "environment": environment()})
    return before


def _clear(path: Path) -> None:
    """Deletes all that a run has left in its folder; what a symbolic link leads to stays."""
    for entry in path.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name not in (".lock", "config.json"):
            entry.unlink()


def _note(path: Path, changes: dict[str, Any]) -> None:
    # No process waits for another here: on the way out of an error, only some of them may come this way.
    if is_first_process():
        save_json(path / "run.json", load_json(path / "run.json") | changes)


def _claim(path: Path, config: Any, held: contextlib.ExitStack) -> None:
    """Makes the folder, locks it and writes its config.json, or leaves nothing behind."""
    for folder in (path, path.parent):
        if folder.is_symlink():
            raise ValueError(f"{folder}: expected a folder of its own, got a symbolic link")
    made: list[Path] = []
    try:
        _check_config(path, config)
        made = [folder for folder in (path, path.parent, path.parent.parent) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True)
        held.enter_context(locked(path))
        if not _check_config(path, config):
            save_json(path / "config.json", config)
    except LockedError:
        raise
    except OSError as error:
        with contextlib.suppress(OSError):
            for folder in made:
                (folder / ".lock").unlink(missing_ok=True)
                folder.rmdir()
        raise OSError(f"{path}: the run's folder cannot be written: {error.strerror or error}") from error


def _check_config(path: Path, config: Any) -> bool:
    """Whether the folder holds a configuration, which then is this one."""
    if not (path / "config.json").exists():
        return False
    saved, expected = load_json(path / "config.json"), plain(config)
    if saved != expected:
        odd = sorted(saved.keys() ^ expected.keys()) or [key for key in expected if saved[key] != expected[key]]
        raise ValueError(
            f"{path}: expected this run's configuration in config.json, got another one, "
            f"which differs in {', '.join(map(repr, odd[:3]))}"
        )
    return True


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
