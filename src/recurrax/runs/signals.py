"""Stopping at the end of a chunk when asked to by a signal, at once when asked again."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

from recurrax.runs.processes import largest

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(SystemExit):
    """A signal asked the program to stop and everything is saved; the exit status is the shell's, 128 + signal."""

    def __init__(self, number: int):
        super().__init__(128 + number)
        self.signal = signal.Signals(number)


class Stop:
    """Whether a signal has asked to stop; shared by all threads of a run."""

    def __init__(self):
        self.number: int | None = None

    @property
    def requested(self) -> bool:
        """True once a signal has come to this process."""
        return self.number is not None

    def asked(self) -> int | None:
        """The signal that has come to this process or another one; all of them come here at the same point."""
        return largest(self.number or 0) or None

    def check(self) -> None:
        """Raises Stopped if `asked`: to be called where everything is saved."""
        number = self.asked()
        if number is not None:
            raise Stopped(number)


@contextlib.contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Turns SIGTERM and SIGINT into a request for the duration of a `with` block; a second one exits at once.

    Python lets only the main thread change what signals do; in another one nothing changes.
    """
    stop = Stop()

    def handle(number: int, frame: object) -> None:
        if stop.requested:
            os._exit(128 + number)
        stop.number = number
        name = signal.Signals(number).name
        os.write(2, f"{name}: saving at the end of this chunk; once more stops at once\n".encode())

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
