"""One setting's program from its start to its end. Dask's workers import this file: it loads nothing that computes."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from recurrax.sweep import leash

KILLS = 3
"""How many times a program that was killed is started again."""
_KILLED = 128 + signal.SIGKILL
_ONE_AT_A_TIME = threading.Lock()
"""A Dask worker with several threads would otherwise run several settings on its devices."""


class Ending(NamedTuple):
    """How a setting's program ended: its exit status, as of a shell, and the seconds it took."""

    status: int
    seconds: float


def run_setting(command: list[str], start_in: str, folder: str, asked: Callable[[], bool]) -> Ending:
    """Runs a setting's program to its end, or until `asked()` says to stop.

    A program that was killed, as by a system short of memory, is started again, at most `KILLS` times. What it prints
    is appended to output.txt in the setting's folder.
    """
    start, status = time.monotonic(), 128 + signal.SIGTERM
    with open(Path(folder) / "output.txt", "ab") as output:
        for _ in range(1 + KILLS):
            if asked():
                break
            status = _run(command, start_in, folder, asked, output.fileno())
            if status != _KILLED:
                break
    return Ending(status, time.monotonic() - start)


def run_on_dask(command: list[str], start_in: str, folder: str, stop: str) -> Ending:
    """`run_setting` on a Dask worker, until the Dask event named `stop` is set."""
    from distributed import Event

    asked = Event(stop)
    with _ONE_AT_A_TIME:
        return run_setting(command, start_in, folder, lambda: bool(asked.is_set()))


def _run(command: list[str], start_in: str, folder: str, asked: Callable[[], bool], output: int) -> int:
    leashed = [sys.executable, leash.__file__, str(Path(folder) / ".lock"), sys.executable, *command]
    with subprocess.Popen(
        leashed,
        cwd=start_in,
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C is for the sweep, which then lets go of all its programs
    ) as process:
        while process.poll() is None and not asked():
            try:
                process.wait(0.5)
            except subprocess.TimeoutExpired:
                continue
    # Popen's exit has closed the pipe, which lets go of the program, and waited for its end.
    return 128 - process.returncode if process.returncode < 0 else process.returncode
