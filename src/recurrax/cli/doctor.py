"""`recurrax doctor`: what this machine has, what is missing, and whether a scan runs."""

import importlib.metadata
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from recurrax.extras import COMPUTING, installation, version
from recurrax.report.console import terminal

HUGE_PAGES = "GLIBC_TUNABLES=glibc.malloc.hugetlb=1"
_STEPS, _BATCH, _INPUTS, _HIDDEN = 128, 32, 64, 128
_ROUNDS = 10
_GIB = 2.0**30
_EXTRA = re.compile(r"""extra == ['"]([A-Za-z0-9_-]+)['"]""")
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[([^\]]*)\])?")


class Scan(NamedTuple):
    """Seconds of one forward pass and of one training step, the least and the median of some rounds."""

    forward: tuple[float, float]
    training: tuple[float, float]


def examine() -> int:
    """Versions, devices, memory, one timed scan, extras that are missing and what adds them, settings that would pay.

    Exits with 1 if there is no device to compute on or the scan fails.
    """
    console = terminal()
    _show(console, "Versions", versions())
    status, jax = 0, None
    try:
        import jax

        _show(console, "Devices", devices(jax))
        _show(console, "Fused scan", _timings(time_scan()))
    except ModuleNotFoundError as error:
        status = 1
        print(f"recurrax: {error.name} is not installed; in a clone of recurrax: {installation()}", file=sys.stderr)
    except Exception as error:  # whatever a broken backend raises is what was to be found out
        status = 1
        print(f"recurrax: the fused scan failed: {type(error).__name__}: {error}", file=sys.stderr)
    _show(console, "Extras", {extra: _advice(extra, gone) for extra, gone in missing_extras().items()})
    if jax and not status and huge_pages_would_pay(os.environ, jax.default_backend()):
        console.print(
            Text(
                "Advice: huge pages take away most page faults of programs with large temporaries; try\n"
                f"  {HUGE_PAGES} python ..."
            )
        )
    return status


def versions() -> dict[str, str]:
    """Python and the packages that compute."""
    return {"python": platform.python_version()} | {name: version(name) or "not installed" for name in COMPUTING}


def devices(jax: Any) -> dict[str, str]:
    """JAX's devices, their memory where the backend tells, the machine's memory and cores."""
    from recurrax.train.devices import cpu_cores

    kinds: dict[str, int] = {}
    for device in jax.local_devices():
        name = f"{device.platform}, {device.device_kind}"
        limit = (device.memory_stats() or {}).get("bytes_limit")
        name += "" if limit is None else f", {limit / _GIB:.1f} GiB for JAX"
        kinds[name] = kinds.get(name, 0) + 1
    try:
        cores, counted = cpu_cores(), len(jax.local_devices(backend="cpu"))
    except RuntimeError:  # JAX was told to leave the CPU alone
        cores, counted = cpu_cores(), 0
    found = {"JAX computes on": "; ".join(f"{count} x {name}" for name, count in kinds.items())}
    free = available_memory()
    found["memory available"] = "unknown" if free is None else f"{free / _GIB:.1f} GiB"
    found["CPU cores"] = f"{cores}, counted by JAX as {counted} device{'' if counted == 1 else 's'}"
    if 0 < counted < cores:
        found["CPU cores"] += f"; recurrax.train.use_cpu_devices({cores}) before anything else lets a batch be split"
    return found


def available_memory() -> int | None:
    """Bytes a program may still take: what the system has, or what its group of processes is allowed."""
    limits = []
    try:
        fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        limits.append(1024 * int(fields["MemAvailable"].split()[0]))
        allowed, used = (Path(f"/sys/fs/cgroup/memory.{name}").read_text() for name in ("max", "current"))
        limits.append(int(allowed) - int(used))
    except (OSError, KeyError, ValueError):
        pass  # not Linux, or no limit is set
    return min(limits, default=None)


def time_scan() -> Scan:
    """Times an LSTM's fused scan over (T, B, D) = (128, 32, 64) with 128 units.

    Raises:
        FloatingPointError: what it computes is not finite.
    """
    import jax
    import jax.numpy as jnp

    from recurrax.cells import LSTM
    from recurrax.kernels import scan

    cell = LSTM(_HIDDEN)
    params = cell.init(jax.random.key(0), _INPUTS)
    xs = jax.random.normal(jax.random.key(1), (_STEPS, _BATCH, _INPUTS))

    def loss(params: Any) -> jax.Array:
        return jnp.mean(jnp.square(scan(cell, params, xs, implementation="fused").outputs))

    for value in jax.tree.leaves((gradients := jax.jit(jax.value_and_grad(loss)))(params)):
        if not jnp.isfinite(value).all():
            raise FloatingPointError("the fused scan gives numbers that are not finite")
    return Scan(_timed(jax.jit(loss), params), _timed(gradients, params))


def missing_extras() -> dict[str, list[str]]:
    """Every extra of recurrax, and which of its packages are not installed."""
    extras = importlib.metadata.metadata("recurrax").get_all("Provides-Extra") or []
    return {extra: [name for name in packages_of("recurrax", extra) if version(name) is None] for extra in extras}


def packages_of(package: str, extra: str) -> Iterator[str]:
    """The packages that an extra of an installed package adds, those of extras it asks for in turn included."""
    for requirement in importlib.metadata.requires(package) or []:
        if extra not in _EXTRA.findall(requirement):
            continue
        name, further = _REQUIREMENT.match(requirement).groups()  # pyright: ignore[reportOptionalMemberAccess]
        yield name
        for inner in (further or "").split(","):
            if inner and name != package and version(name) is not None:
                yield from packages_of(name, inner.strip())


def huge_pages_would_pay(environment: Mapping[str, str], backend: str) -> bool:
    """Whether glibc can be asked for huge pages and has not been: on a CPU, where the kernel gives them on request."""
    name, version = platform.libc_ver()
    if backend != "cpu" or name != "glibc" or tuple(map(int, version.split(".")[:2])) < (2, 35):
        return False
    try:
        on_request = "[madvise]" in Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
    except OSError:
        return False
    return on_request and "glibc.malloc.hugetlb" not in environment.get("GLIBC_TUNABLES", "")


def _timings(scan: Scan) -> dict[str, str]:
    size = f"LSTM, {_STEPS} steps, batch {_BATCH}, {_INPUTS} inputs, {_HIDDEN} units, float32; {_ROUNDS} runs"
    return {"size": size, "forward pass": _in_units(*scan.forward), "training step": _in_units(*scan.training)}


def _in_units(least: float, middle: float) -> str:
    step = 1e6 * middle / _STEPS
    return f"{1e3 * least:.2f} ms at best, {1e3 * middle:.2f} ms in the median, {step:.1f} µs per time step"


def _timed(run: Callable[[Any], Any], params: Any) -> tuple[float, float]:
    import jax

    jax.block_until_ready(run(params))
    seconds = []
    for _ in range(_ROUNDS):
        begun = time.perf_counter()
        jax.block_until_ready(run(params))
        seconds.append(time.perf_counter() - begun)
    return min(seconds), sorted(seconds)[_ROUNDS // 2]


def _advice(extra: str, gone: Sequence[str]) -> str:
    return f"without {', '.join(gone)}; {installation(extra)} in a clone adds what is missing" if gone else "complete"


def _show(console: Console, title: str, entries: Mapping[str, str]) -> None:
    table = Table.grid(padding=(0, 3), pad_edge=False)
    for name, value in entries.items():
        table.add_row(Text("  " + name), Text(value))
    console.print(Text(title))
    console.print(table)
