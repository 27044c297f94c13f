"""Where a sweep's programs run: in processes of this machine, without a network, or on a Dask scheduler's workers."""

import contextlib
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from recurrax.extras import require
from recurrax.sweep.worker import Ending, run_on_dask, run_setting


class Future(Protocol):
    """A program under way, of `concurrent.futures` or of Dask."""

    def done(self) -> bool:
        """Whether it has ended."""
        ...

    def result(self) -> Ending:
        """How it ended."""
        ...


class Workers(NamedTuple):
    """`start` runs a command, given the folder of its setting; `stop` asks every program under way to save and end."""

    start: Callable[[list[str], Path], Future]
    stop: Callable[[], None]


class Tls(NamedTuple):
    """Files of a Dask scheduler that asks for TLS: of the authority, of this client's certificate and of its key."""

    ca: Path
    cert: Path
    key: Path


@contextlib.contextmanager
def processes(count: int) -> Iterator[Workers]:
    """At most `count` programs side by side, each a process of this machine; no port is opened."""
    asked, here = threading.Event(), str(Path.cwd())

    def start(command: list[str], folder: Path) -> Future:
        return pool.submit(run_setting, command, here, str(folder.resolve()), asked.is_set)

    with ThreadPoolExecutor(count) as pool:
        try:
            yield Workers(start, asked.set)
        finally:
            asked.set()


@contextlib.contextmanager
def dask(scheduler: str, tls: Tls | None) -> Iterator[Workers]:
    """The workers of a running scheduler, which share this file system and environment.

    Raises:
        ModuleNotFoundError: Dask distributed is not installed.
        OSError: nothing answers as a Dask scheduler there, or not with these certificates.
    """
    distributed = require("distributed", "sweep")
    with _client(distributed, scheduler, tls) as client:
        asked, here = distributed.Event(f"recurrax-sweep-{uuid.uuid4().hex}", client=client), str(Path.cwd())

        def start(command: list[str], folder: Path) -> Future:
            place = (here, str(folder.resolve()), asked.name)
            return client.submit(run_on_dask, command, *place, key=f"{folder.name}-{uuid.uuid4().hex}")

        try:
            yield Workers(start, asked.set)
        finally:
            asked.set()


def _client(distributed: Any, scheduler: str, tls: Tls | None) -> Any:
    address = urlsplit(scheduler)
    try:
        socket.create_connection((address.hostname, address.port), timeout=10).close()
        if tls is None:
            return distributed.Client(scheduler)
        files = {"tls_ca_file": str(tls.ca), "tls_client_cert": str(tls.cert), "tls_client_key": str(tls.key)}
        return distributed.Client(scheduler, security=distributed.Security(require_encryption=True, **files))
    except OSError as error:  # one of TLS and one of a timeout among them
        secured = " with these certificates" if tls else ""
        raise OSError(f"scheduler: nothing answers as a Dask scheduler at {scheduler}{secured}") from error
