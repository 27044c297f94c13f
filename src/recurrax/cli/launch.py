"""`recurrax launch -n 2 -- <command>`: the same command in several processes of this machine that train together."""

import contextlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import IO, Annotated

try:
    from tyro.conf import arg
except ModuleNotFoundError:  # `recurrax` then says what to install, before it looks at any flag
    arg = dict

_POLL_SECONDS = 0.05
_SETTLE_SECONDS = 2.0


def launch(
    command: Annotated[tuple[str, ...], arg(metavar="COMMAND ...")],
    /,
    processes: Annotated[int, arg(aliases=("-n",))] = 2,
    grace: float = 30.0,
    quiet: bool = False,
) -> int:
    """Starts a command several times on this machine, as processes that train together.

    A script joins the others by calling recurrax.runs.join_processes() first; those in experiments/ do. When one fails
    the others are ended. SIGTERM and Ctrl-C are passed on, so that a run saves and can be gone on with.

    Args:
        command: what to run, after a `--`.
        processes: how many of them.
        grace: seconds from SIGTERM to SIGKILL for those that are to end because another one failed.
        quiet: show what process 0 prints, as it is; otherwise the lines of all, each with its process's number.
    """
    try:
        if not command or shutil.which(command[0]) is None:
            raise ValueError(f"command: expected a program after `--`, got {shlex.join(command)!r}")
        if processes < 1:
            raise ValueError(f"processes: expected at least 1, got {processes}")
    except ValueError as error:
        print(f"recurrax launch: {error}", file=sys.stderr)
        return 2
    with _signals() as received, _started(command, processes, quiet) as children:
        status = _wait(children, grace, received)
        if status and not received:
            print(f"recurrax launch: {_failure(children, status)}: {shlex.join(command)}", file=sys.stderr)
    return status


def _wait(children: Sequence[subprocess.Popen], grace: float, received: list[int]) -> int:
    """Sees the processes to their end; 0, or the status of the one that failed first."""
    status, passed_on, failed_at, told = 0, 0, 0.0, False
    while running := [child for child in children if child.poll() is None]:
        for number in received[passed_on:]:
            passed_on += 1
            # The first signal asks a run to save, the second one ends it at once; a third one means it.
            _send(running, number if passed_on < 3 else signal.SIGKILL)
        if status == 0:
            status, failed_at = _first_failure(children), time.monotonic()
        else:
            since = time.monotonic() - failed_at
            # What one process meets, the others often meet too: they should say so themselves. And who has been asked
            # to save must not be asked a second time, which would end it at once.
            if since > _SETTLE_SECONDS and not told and not passed_on:
                _send(running, signal.SIGTERM)
                told = True
            if since > _SETTLE_SECONDS + grace:
                _send(running, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)
    return status or _first_failure(children)


def _first_failure(children: Sequence[subprocess.Popen]) -> int:
    """The exit status of one that failed, 0 where none has yet; of several, rather one that was not killed."""
    failed = [child.returncode for child in children if child.returncode]
    if not failed:
        return 0
    code = max(failed)
    return code if code > 0 else 128 - code


def _failure(children: Sequence[subprocess.Popen], status: int) -> str:
    """Which process it was that failed with a status, and how."""
    rank = next(rank for rank, child in enumerate(children) if child.returncode in (status, 128 - status))
    killed = children[rank].returncode < 0
    how = f"was ended by {signal.Signals(status - 128).name}" if killed else f"ended with exit status {status}"
    return f"process {rank} of {len(children)} {how}"


def _send(children: Sequence[subprocess.Popen], number: int) -> None:
    """Sends a signal to processes and all that they have started."""
    for child in children:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, number)


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Collects SIGTERM and SIGINT for the duration of a `with` block."""
    received: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda number, frame: received.append(number)) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _started(command: Sequence[str], count: int, quiet: bool) -> Iterator[list[subprocess.Popen]]:
    """The processes, each in a session of its own: Ctrl-C reaches them once, from here, and none outlives the block."""
    from recurrax.runs import processes as names  # loads JAX: not at the top of this file

    variables = _variables(command, count, quiet)
    # The processes read from a pipe that nobody writes to: it ends when this process does, however that comes about.
    lifeline, held = os.pipe()
    children: list[subprocess.Popen] = []
    readers: list[threading.Thread] = []
    lock = threading.Lock()
    try:
        for rank in range(count):
            shown = None if quiet and rank == 0 else subprocess.DEVNULL if quiet else subprocess.PIPE
            child = subprocess.Popen(
                command,
                env=variables | {names.RANK: str(rank), names.LIFELINE: str(lifeline)},
                stdin=subprocess.DEVNULL,
                stdout=shown,
                stderr=shown,
                pass_fds=(lifeline,),
                start_new_session=True,
            )
            children.append(child)
            for pipe, stream in ((child.stdout, sys.stdout), (child.stderr, sys.stderr)):
                if pipe is not None:
                    readers.append(threading.Thread(target=_relay, args=(pipe, stream, rank, lock), daemon=True))
                    readers[-1].start()
        yield children
    finally:
        _send(children, signal.SIGKILL)  # also what a process that has ended left behind
        for child in children:
            child.wait()
        for reader in readers:
            reader.join(timeout=5)  # longer only if something that left the session still holds the pipe
        os.close(lifeline)
        os.close(held)


def _variables(command: Sequence[str], count: int, quiet: bool) -> dict[str, str]:
    from recurrax.runs import processes as names

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    again = [sys.executable, "-m", "recurrax", "launch", "-n", str(count), *(["--quiet"] if quiet else []), "--"]
    return os.environ | {
        "PYTHONUNBUFFERED": "1",
        names.COORDINATOR: f"127.0.0.1:{port}",
        names.COUNT: str(count),
        names.COMMAND: shlex.join([*again, *command]),
    }


def _relay(pipe: IO[bytes], stream: IO[str], rank: int, lock: threading.Lock) -> None:
    """Prints lines as they come, the process's number before each."""
    with pipe:
        for line in pipe:
            text = line.decode(errors="replace").rstrip("\r\n")
            with lock:
                print(f"[{rank}] {text}", file=stream, flush=True)
