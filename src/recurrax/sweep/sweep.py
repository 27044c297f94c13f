"""`recurrax sweep`: one script, every combination of the values given, on Dask's workers."""

import contextlib
import hashlib
import json
import logging
import re
import shlex
import signal
import socket
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from recurrax.extras import require
from recurrax.sweep import grid as grids
from recurrax.sweep import table
from recurrax.sweep.worker import Ended, run_setting

if TYPE_CHECKING:
    from distributed import Client, LocalCluster
    from tyro.conf import UseAppendAction

    from recurrax.runs.signals import Stop
else:
    try:
        from tyro.conf import UseAppendAction
    except ModuleNotFoundError:  # `recurrax` then says what to install, before it looks at any flag
        UseAppendAction = tuple

_LOSSES = 3
"""How many times a setting may lose its worker and be given to another."""
_MOST_WORKERS = 1024


@dataclass(frozen=True)
class Work:
    """One setting: its folder, named after it, and its command's arguments."""

    folder: Path
    setting: dict[str, str]
    command: list[str]

    @property
    def name(self) -> str:
        return self.folder.name


def sweep(
    script: Path,
    /,
    grid: UseAppendAction[tuple[tuple[str, ...], ...]],
    workers: int = 2,
    scheduler: str | None = None,
    out: Path = Path("results"),
) -> int:
    """Runs a script once per setting of a grid, several settings side by side.

    Every setting gets a folder in `<out>/sweeps/<script and flags>/`, handed to the script as --out, and a row in the
    table.csv there once it has ended: what was set, status, seconds, run folder, and the numbers of its summary.json.
    The same command again runs what has not finished; values added to a flag join the same table. A setting that fails
    is a row with its error. One whose worker was killed is given to another, up to three times.

    Args:
        script: an experiment: takes --out and leaves a run folder in it, as those in experiments/ do.
        grid: name=value,value for each flag of the script, or name alone for one that takes no value.
        workers: settings that run side by side; 1 where they would share one accelerator.
        scheduler: tcp://host:port of a running Dask scheduler whose workers share this file system and environment;
            workers on this machine alone, where none is given.
        out: folder of all results.
    """
    try:
        settings = grids.settings([text for texts in grid for text in texts])
        if not script.is_file():
            raise ValueError(f"script: expected a file, got {str(script)!r}")
        if not 1 <= workers <= _MOST_WORKERS:
            raise ValueError(f"workers: expected 1 to {_MOST_WORKERS}, got {workers}")
        if scheduler is not None and not re.fullmatch(r"(tcp|tls)://[^/\s]+:\d{1,5}", scheduler):
            raise ValueError(f"scheduler: expected tcp://host:port, got {scheduler!r}")
    except ValueError as error:
        print(f"recurrax sweep: {error}", file=sys.stderr)
        return 2
    require("distributed", "sweep")
    folder = out / "sweeps" / _folder_name(script, settings[0])
    works = [_work(script, folder, setting) for setting in settings]
    return _sweep(folder, works, workers, scheduler)


def _sweep(folder: Path, works: Sequence[Work], workers: int, scheduler: str | None) -> int:
    # Loads JAX, which Dask's workers need not do: so not at the top of this file.
    from recurrax.runs.lock import locked
    from recurrax.runs.signals import stop_on_signals

    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder), stop_on_signals() as stop:
        rows = table.load(folder / "table.csv")
        missing = []
        for work in works:
            run = table.finished_run(work.folder)
            if run is None:
                missing.append(work)
            elif rows.get(work.name, {}).get("status") != "finished":
                rows[work.name] = _row(work, run)
        _save(folder, works, rows)
        print(f"{len(works)} settings, {len(works) - len(missing)} of them finished before", flush=True)

        def ended(work: Work, result: Ended | Exception) -> None:
            run = table.finished_run(work.folder)
            if stop.requested and run is None:
                return
            row = rows[work.name] = _row(work, run) | _how(work, result, run)
            _save(folder, works, rows)
            told = row["error"] if "error" in row else f"finished in {row['seconds']} s"
            print(f"{shlex.join(grids.flags(work.setting))}: {told}", flush=True)

        if missing:
            workers = min(workers, len(missing))
            with _client(workers, scheduler) as client:
                _run_all(client, missing, workers, stop, ended)
        finished = sum(rows.get(work.name, {}).get("status") == "finished" for work in works)
        print(f"{finished} of {len(works)} settings finished: {folder / 'table.csv'}", flush=True)
        if stop.requested:
            print("stopped, finished settings are kept; the same command goes on", file=sys.stderr)
            stop.check()
    return 0 if finished == len(works) else 1


def _run_all(
    client: "Client",
    missing: Sequence[Work],
    workers: int,
    stop: "Stop",
    ended: Callable[[Work, Ended | Exception], None],
) -> None:
    """Keeps as many settings under way as there are workers, until all have ended or a signal asks to stop."""
    from distributed import Event, wait

    asked = Event(f"recurrax-sweep-{uuid.uuid4().hex}", client=client)
    waiting, under_way = list(reversed(missing)), {}
    try:
        while (waiting and not stop.requested) or under_way:
            while waiting and len(under_way) < workers and not stop.requested:
                work = waiting.pop()
                work.folder.mkdir(exist_ok=True)
                arguments = (work.command, str(Path.cwd()), str(work.folder.resolve()), asked.name)
                under_way[client.submit(run_setting, *arguments, key=f"{work.name}-{uuid.uuid4().hex}")] = work
            if stop.requested:
                asked.set()
            with contextlib.suppress(TimeoutError):
                wait(list(under_way), timeout=0.5, return_when="FIRST_COMPLETED")
            for future in [future for future in under_way if future.done()]:
                ended(under_way.pop(future), _result(future))
    finally:
        asked.set()


def _result(future: Any) -> Ended | Exception:
    if future.status == "finished":
        return future.result()
    if future.status == "error":
        return future.exception()
    raise OSError("the Dask scheduler was lost; the same command goes on")


@contextlib.contextmanager
def _client(workers: int, scheduler: str | None) -> "Iterator[Client]":
    """A client of the scheduler, or of a cluster of `workers` processes that listens on the loopback device alone."""
    from distributed import Client

    if scheduler is None:
        with _local_cluster(workers) as cluster, Client(cluster) as client:
            yield client
        return
    address = urlsplit(scheduler)
    try:
        socket.create_connection((address.hostname, address.port), timeout=10).close()
        client = Client(scheduler)
    except OSError as error:
        raise OSError(f"scheduler: nothing answers as a Dask scheduler at {scheduler}") from error
    with client:
        yield client


def _local_cluster(workers: int) -> "LocalCluster":
    import dask.config
    from distributed import LocalCluster

    # Ctrl-C reaches every process of a terminal. Workers are started with SIGINT blocked, since they inherit this
    # thread's mask; multiprocessing's tracker is started before, because that would unblock it.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        # Dask would set variables that limit the threads of a setting's program to one.
        with dask.config.set({"distributed.nanny.pre-spawn-environ": {}}):
            return LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address=None,  # pyright: ignore[reportArgumentType]
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0", "allowed_failures": _LOSSES},
                memory_limit=0,  # a setting's memory is not its worker's
                silence_logs=logging.CRITICAL,
            )
    except RuntimeError as error:
        raise OSError(f"the workers did not start: {error}") from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _save(folder: Path, works: Sequence[Work], rows: dict[str, table.Row]) -> None:
    """The table in the order of the grid, settings of other grids last."""
    order = dict.fromkeys([*(work.name for work in works), *rows])
    table.save(folder / "table.csv", {name: rows[name] for name in order if name in rows})


def _folder_name(script: Path, setting: dict[str, str]) -> str:
    """From the script and the names of the flags: values can be added to a sweep."""
    name = script.name if script.is_absolute() else script.as_posix()
    identity = hashlib.sha256(json.dumps([name, sorted(setting)]).encode()).hexdigest()[:8]
    return f"{grids.slug({script.stem: '', **dict.fromkeys(setting, '')}) or 'sweep'}-{identity}"


def _work(script: Path, folder: Path, setting: dict[str, str]) -> Work:
    identity = hashlib.sha256(json.dumps(setting, sort_keys=True).encode()).hexdigest()[:8]
    own = folder / f"{grids.slug(setting)}-{identity}"
    return Work(own, setting, [str(script), *grids.flags(setting), f"--out={own.resolve()}"])


def _row(work: Work, run: Path | None) -> table.Row:
    row = {"setting": work.name} | {f"--{name}": value or "yes" for name, value in work.setting.items()}
    if run is None:
        return row | {"status": "failed"}
    return row | {"status": "finished", "folder": run.relative_to(work.folder.parent).as_posix()} | table.figures(run)


def _how(work: Work, result: Ended | Exception, run: Path | None) -> table.Row:
    """Seconds, and why where it failed."""
    if isinstance(result, Exception):
        from distributed import KilledWorker

        killed = isinstance(result, KilledWorker)
        return {
            "error": f"its worker was killed {_LOSSES + 1} times" if killed else f"{type(result).__name__}: {result}"
        }
    seconds = {"seconds": f"{result.seconds:.1f}"}
    if run is not None and result.status == 0:
        return seconds
    return seconds | {"error": table.complaint(result.status, work.folder / "output.txt")}
