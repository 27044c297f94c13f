"""One run per folder: a lock that the system lets go of when its holder ends, however it ends."""

import contextlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path


class LockedError(BlockingIOError):
    """Another process is running in this folder."""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the folder's `.lock` for the duration of a `with` block; where the system has no `flock`, does nothing.

    Raises:
        LockedError: another process holds it; the sentence names it. Nothing has been written.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace") or "a process just starting"
            raise LockedError(f"{folder}: this run is already under way in {holder}") from error
        since = datetime.now(UTC).isoformat(timespec="seconds")
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} since {since}".encode(), 0)
        yield
    finally:
        os.close(descriptor)
