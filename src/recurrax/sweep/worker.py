"""What a sweep's workers do. Dask imports this file there, so it loads nothing that computes."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

from recurrax.sweep import leash


class Ended(NamedTuple):
    """How a setting's program ended: its exit status, as of a shell, and the seconds it took."""

    status: int
    seconds: float


_ONE_AT_A_TIME = threading.Lock()
"""A worker with several threads would otherwise run several settings on the devices of one."""


def run_setting(command: list[str], start_in: str, folder: str, stop: str) -> Ended:
    """Runs a setting's program to its end, or until the Dask event named `stop` is set.

    What the program prints is appended to output.txt in the setting's folder.
    """
    from distributed import Event

    asked = Event(stop)
    leashed = [sys.executable, leash.__file__, str(Path(folder) / ".lock"), sys.executable, *command]
    with _ONE_AT_A_TIME, open(Path(folder) / "output.txt", "ab") as output:
        start = time.monotonic()
        if asked.is_set():
            return Ended(128 + signal.SIGTERM, 0.0)
        with subprocess.Popen(
            leashed,
            cwd=start_in,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the sweep, which then lets go of all its programs
        ) as process:
            while process.poll() is None and not asked.is_set():
                try:
                    process.wait(0.5)
                except subprocess.TimeoutExpired:
                    continue
        return Ended(process.returncode, time.monotonic() - start)
