"""A program that does not outlive whoever started it: `python leash.py <lock file> <command> ...`.

Standard input is a pipe that the starter holds open. When it closes, because the starter let go or was killed, the
program gets SIGTERM, and SIGKILL with all it started once its time to save is over. A program under way holds the lock
file, so that a second one on the same work begins after the first has ended. Only the standard library is used: this is
one more process per program, and it should cost no more than starting Python.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading

GRACE = 300
"""Seconds to save in: a training stops at the end of a chunk."""


def main(lock: str, *command: str) -> int:
    """Runs the command; its exit status, that of a shell where a signal ended it."""
    started: list[subprocess.Popen] = []
    starting = threading.Lock()
    threading.Thread(target=_watch, args=(starting, started), daemon=True).start()
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    with contextlib.suppress(ImportError):
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX)
    # It holds the lock too, so that the lock stays held if this process is killed and the program goes on.
    with starting:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=(descriptor,), process_group=0)
        started.append(process)
    status = process.wait()
    return 128 - status if status < 0 else status


def _watch(starting: threading.Lock, started: list[subprocess.Popen]) -> None:
    while os.read(0, 1):
        pass
    with starting:
        if not started:
            os._exit(128 + signal.SIGTERM)
    started[0].terminate()
    try:
        started[0].wait(GRACE)
    except subprocess.TimeoutExpired:
        os.killpg(started[0].pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
