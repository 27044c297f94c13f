"""`recurrax sweep`: one script, every combination of the values given, several programs side by side."""

import re
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from recurrax import report
from recurrax.extras import require
from recurrax.sweep import grid as grids
from recurrax.sweep import table, trial
from recurrax.sweep.work import Work, works
from recurrax.sweep.worker import Ending
from recurrax.sweep.workers import Future, Tls, Workers, dask, processes

if TYPE_CHECKING:
    from tyro.conf import UseAppendAction, arg

    from recurrax.runs.signals import Stop
else:
    try:
        from tyro.conf import UseAppendAction, arg
    except ModuleNotFoundError:  # `recurrax` then says what to install, before it looks at any flag
        UseAppendAction, arg = tuple, dict

_MOST_WORKERS = 1024
_MOST_REFUSALS = 5


def sweep(
    script: Path,
    /,
    grid: UseAppendAction[tuple[tuple[str, ...], ...]],
    workers: int = 2,
    scheduler: str | None = None,
    tls_ca: Path | None = None,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    commands: Annotated[bool, arg(name="print")] = False,
    collect: bool = False,
    out: Path = Path("results"),
) -> int:
    """Runs a script once per setting of a grid, several settings side by side.

    Every setting gets a folder in `<out>/sweeps/<script and flags>/`, handed to the script as --out, and a row in the
    table.csv there once it has ended: what was set, status, seconds, run folder, and the numbers of its summary.json;
    sweep.html draws the first of them against what was set.
    The same command again runs what has not finished; values added to a flag join the same table. Before anything
    starts, every setting's flags are tried by the script's --dry-run. A setting that fails is a row with its error; one
    whose program was killed is started again, up to three times.

    Args:
        script: an experiment: takes --out and leaves a run folder in it, as those in experiments/ do.
        grid: name=value,value for each flag of the script, or name alone for one that takes no value.
        workers: settings that run side by side; 1 where they would share one accelerator.
        scheduler: tls://host:port or tcp://host:port of a running Dask scheduler whose workers share this file system
            and environment; processes of this machine, without a network, where none is given.
        tls_ca: file of the authority that signed the scheduler's certificate; with tls://.
        tls_cert: file of this client's certificate.
        tls_key: file of its key.
        commands: run nothing; print the command of every setting that has not finished, one a line, for a job array.
        collect: run nothing; gather the runs that have finished into the table and its page.
        out: folder of all results.
    """
    try:
        settings = grids.settings([text for texts in grid for text in texts])
        if not script.is_file():
            raise ValueError(f"script: expected a file, got {str(script)!r}")
        if not 1 <= workers <= _MOST_WORKERS:
            raise ValueError(f"workers: expected 1 to {_MOST_WORKERS}, got {workers}")
        if commands and collect:
            raise ValueError("print: expected without --collect, got both")
        tls = _tls(scheduler, tls_ca, tls_cert, tls_key)
        todo = works(script, settings, out)
        missing = [work for work in todo if table.finished_run(work.folder) is None]
        if not collect:
            _try(script, missing)
    except ValueError as error:
        print(f"recurrax sweep: {error}", file=sys.stderr)
        return 2
    if scheduler is not None:
        require("distributed", "sweep")
    if commands:
        print(*(work.line for work in missing), sep="\n", end="\n" if missing else "")
        return 0
    if collect:
        missing = []
    opened = processes(min(workers, len(missing) or 1)) if scheduler is None else dask(scheduler, tls)
    return _sweep(todo, missing, workers, opened)


def _tls(scheduler: str | None, *files: Path | None) -> Tls | None:
    """The files of a scheduler that asks for them.

    Raises:
        ValueError: no scheduler is at such an address, or the files are not what it asks for.
    """
    if scheduler is not None and not re.fullmatch(r"(tcp|tls)://[^/\s]+:\d{1,5}", scheduler):
        raise ValueError(f"scheduler: expected tls://host:port or tcp://host:port, got {scheduler!r}")
    given = [file for file in files if file is not None]
    if not (scheduler or "").startswith("tls:"):
        if given:
            raise ValueError(f"tls-ca, tls-cert, tls-key: expected with --scheduler tls://host:port, got {scheduler}")
        if scheduler:
            print(f"recurrax sweep: whoever reaches {scheduler} can run code on its workers; tls:// asks for a key",
                  file=sys.stderr)  # fmt: skip
        return None
    if len(given) < len(files) or not all(file.is_file() for file in given):
        raise ValueError(f"tls-ca, tls-cert, tls-key: expected three files, got {', '.join(map(str, files))}")
    return Tls(*given)


def _try(script: Path, missing: Sequence[Work]) -> None:
    """Dry runs of every setting.

    Raises:
        ValueError: the script refuses the flags of one.
    """
    refused = trial.refused(script, [work.command[1:] for work in missing]) if missing else {}
    told = [
        f"{shlex.join(grids.flags(missing[place].setting))}: {table.complaint(status, said)}"
        for place, (status, said) in list(refused.items())[:_MOST_REFUSALS]
    ]
    if told:
        more = f"; and {len(refused) - len(told)} more" if len(refused) > len(told) else ""
        raise ValueError(f"grid: {script.name} refuses {'; '.join(told)}{more}")


def _sweep(todo: Sequence[Work], missing: Sequence[Work], workers: int, opened: AbstractContextManager[Workers]) -> int:
    # Loads JAX, which a sweep's other commands need not do: so not at the top of this file.
    from recurrax.runs.lock import locked
    from recurrax.runs.signals import stop_on_signals

    folder = todo[0].folder.parent
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder), stop_on_signals() as stop:
        rows = report.read_table(folder / "table.csv")
        for work in todo:
            run = table.finished_run(work.folder)
            if run is not None and rows.get(work.name, {}).get("status") != "finished":
                rows[work.name] = work.row(run)
        _save(folder, todo, rows)
        before = sum(rows.get(work.name, {}).get("status") == "finished" for work in todo)
        print(f"{len(todo)} settings, {before} of them finished before", flush=True)

        def ended(work: Work, result: Ending | Exception) -> None:
            run = table.finished_run(work.folder)
            if stop.requested and run is None:
                return
            row = rows[work.name] = work.row(run) | work.ending(result, run)
            _save(folder, todo, rows)
            told = row["error"] if "error" in row else f"finished in {row['seconds']} s"
            print(f"{shlex.join(grids.flags(work.setting))}: {told}", flush=True)

        if missing:
            with opened as group:
                _run_all(group, missing, workers, stop, ended)
        finished = sum(rows.get(work.name, {}).get("status") == "finished" for work in todo)
        print(f"{finished} of {len(todo)} settings finished: {report.render_sweep(folder)}", flush=True)
        if stop.requested:
            print("stopped, finished settings are kept; the same command goes on", file=sys.stderr)
            stop.check()
    return 0 if finished == len(todo) else 1


def _run_all(
    group: Workers,
    missing: Sequence[Work],
    workers: int,
    stop: "Stop",
    ended: Callable[[Work, Ending | Exception], None],
) -> None:
    """Keeps as many settings under way as there are workers, until all have ended or a signal asks to stop."""
    waiting, under_way = list(reversed(missing)), {}
    while (waiting and not stop.requested) or under_way:
        while waiting and len(under_way) < workers and not stop.requested:
            work = waiting.pop()
            work.folder.mkdir(exist_ok=True)
            under_way[group.start(work.command, work.folder)] = work
        if stop.requested:
            group.stop()
        for future in [future for future in under_way if future.done()]:
            ended(under_way.pop(future), _result(future))
        time.sleep(0.05)


def _result(future: Future) -> Ending | Exception:
    try:
        return future.result()
    except CancelledError as error:
        raise OSError("the Dask scheduler was lost; the same command goes on") from error
    except Exception as error:  # whatever broke on a worker is that setting's row
        return error


def _save(folder: Path, todo: Sequence[Work], rows: dict[str, table.Row]) -> None:
    """The table in the order of the grid, settings of other grids last."""
    order = dict.fromkeys([*(work.name for work in todo), *rows])
    table.save(folder / "table.csv", {name: rows[name] for name in order if name in rows})
