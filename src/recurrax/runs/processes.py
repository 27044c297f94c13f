"""Several processes that train together: joining them, and agreeing on what one of them knows.

Every process runs the same program on the same arguments. What concerns the disk is done by process 0, and what comes
of it is told to the others, so that all go on, or stop, together.
"""

import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import NamedTuple

import jax
import numpy as np

COORDINATOR, COUNT, RANK = "RECURRAX_COORDINATOR", "RECURRAX_PROCESSES", "RECURRAX_RANK"
"""Variables that `recurrax launch` sets: host:port of process 0, how many processes there are, which one this is."""
LIFELINE = "RECURRAX_LIFELINE"
"""Variable with the number of a pipe's reading end that closes when the launcher is gone."""
COMMAND = "RECURRAX_COMMAND"
"""Variable with the launcher's own command line."""

_SLURM = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID")
_BLOCK = 1 << 24
# The launcher sees at once when a process ends. Heartbeats would only take a suspended machine for a dead one.
_HEARTBEAT_SECONDS = 24 * 3600
_GRACE_SECONDS = 30


class Place(NamedTuple):
    """Where a launched process stands: host:port of process 0, the number of processes, its own rank."""

    coordinator: str
    count: int
    rank: int


class ElsewhereError(RuntimeError):
    """Process 0 could not do what all processes depend on; it says why."""


def join_processes() -> bool:
    """Joins the other processes that `recurrax launch` or SLURM's `srun` started; does nothing where there are none.

    To be called before anything asks JAX for a device or an array. From then on `jax.devices()` are those of all
    processes, an exception that nothing catches ends its process without waiting for the others, and a launched process
    saves and ends when its launcher is gone.

    Returns:
        Whether there are several processes.

    Raises:
        ValueError: the launcher's variables cannot be meant.
        RuntimeError: JAX has already started, or the others did not come.

    >>> join_processes()
    False
    """
    if jax.distributed.is_initialized():
        return jax.process_count() > 1
    place = launched_place(os.environ)
    if (place.count if place else slurm_count(os.environ)) == 1:
        return False
    # JAX's own notice of preemption catches SIGTERM below Python, where no run hears of it.
    jax.config.update("jax_enable_preemption_service", False)
    if place is None:
        jax.distributed.initialize(cluster_detection_method="slurm")
    else:
        jax.distributed.initialize(
            *place, coordinator_bind_address=place.coordinator, heartbeat_timeout_seconds=_HEARTBEAT_SECONDS
        )
        _end_with_launcher(os.environ.get(LIFELINE, ""))
        for name in (COORDINATOR, COUNT, RANK, LIFELINE):
            os.environ.pop(name, None)  # a program that this one starts is not one of the processes
    sys.excepthook = _end_at_once
    return True


def launched_place(variables: Mapping[str, str]) -> Place | None:
    """What the launcher's variables say, None where there are none.

    >>> launched_place({"RECURRAX_COORDINATOR": "127.0.0.1:4000", "RECURRAX_PROCESSES": "2", "RECURRAX_RANK": "1"})
    Place(coordinator='127.0.0.1:4000', count=2, rank=1)

    Raises:
        ValueError: one is missing or cannot be meant.
    """
    found = [variables.get(name) for name in (COORDINATOR, COUNT, RANK)]
    if found == [None] * 3:
        return None
    address, count, rank = (text or "" for text in found)
    host, _, port = address.rpartition(":")
    numbers = port.isdecimal() and count.isdecimal() and rank.isdecimal()
    if not (numbers and host and int(rank) < int(count)):
        raise ValueError(
            f"{COORDINATOR}, {COUNT}, {RANK}: expected host:port, a number of processes and a rank below it, "
            f"got {address!r}, {count!r}, {rank!r}"
        )
    return Place(address, int(count), int(rank))


def slurm_count(variables: Mapping[str, str]) -> int:
    """How many processes a SLURM job step has; 1 outside of one, as in the shell of an allocation.

    >>> slurm_count({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4"})
    1
    """
    count = variables.get("SLURM_NTASKS", "")
    return int(count) if count.isdecimal() and all(name in variables for name in _SLURM) else 1


def several_processes() -> bool:
    """Whether this process has joined others; starts nothing."""
    return jax.distributed.is_initialized() and jax.process_count() > 1


def is_first_process() -> bool:
    """Whether this is process 0, which alone writes and speaks; starts nothing."""
    return not several_processes() or jax.process_index() == 0


def from_first(make: Callable[[], bytes]) -> bytes:
    """What `make` gives in process 0, in every process; alone, a call of `make`.

    Every process has to come here, in the same order as to whatever else they do together.

    Raises:
        ElsewhereError: in the other processes, what `make` raised in process 0.
    """
    if not several_processes():
        return make()
    if jax.process_index() > 0:
        told = _broadcast(b"")
        if told[:1] != b"+":
            raise ElsewhereError(f"process 0: {told[1:].decode(errors='replace')}")
        return told[1:]
    try:
        content = make()
    except BaseException as error:
        _broadcast(b"-" + str(error).encode())
        raise
    _broadcast(b"+" + content)
    return content


def on_first(do: Callable[[], object]) -> None:
    """Has process 0 do something; every process learns whether it could, as in `from_first`."""

    def done() -> bytes:
        do()
        return b""

    from_first(done)


def largest(number: int) -> int:
    """The largest of the numbers, 0 to 2^31 - 1, that the processes come here with."""
    if not several_processes():
        return number
    from jax.experimental.multihost_utils import process_allgather

    return int(np.max(process_allgather(np.int32(number))))


def _broadcast(content: bytes) -> bytes:
    from jax.experimental.multihost_utils import broadcast_one_to_all

    size = int.from_bytes(broadcast_one_to_all(np.frombuffer(len(content).to_bytes(8), np.uint8)).tobytes())
    pieces = []
    for start in range(0, size, _BLOCK):
        length = min(_BLOCK, size - start)
        # Padded to a power of two: a program is compiled per shape.
        padded = np.zeros(max(1024, 1 << (length - 1).bit_length()), np.uint8)
        piece = np.frombuffer(content[start : start + length], np.uint8)
        padded[: len(piece)] = piece
        pieces.append(broadcast_one_to_all(padded)[:length].tobytes())
    return b"".join(pieces)


def _end_with_launcher(lifeline: str) -> None:
    """Has this process save and end when the other end of the pipe closes, however the launcher ended."""
    if not lifeline.isdecimal():
        return
    descriptor = int(lifeline)
    try:
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            return
    except OSError:
        return

    def wait() -> None:
        os.read(descriptor, 1)  # nothing is ever written: it returns at the end
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_GRACE_SECONDS)
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


def _end_at_once(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    # On the usual way out JAX waits for the other processes, and they wait for what this one will not do any more.
    sys.__excepthook__(kind, error, trace)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(128 + signal.SIGINT if issubclass(kind, KeyboardInterrupt) else 1)
