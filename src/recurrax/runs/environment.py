"""What a run happened in: versions, devices, command and revision, and nothing that names a person or a machine."""

import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath, PureWindowsPath
from typing import Any

import jax

from recurrax.extras import COMPUTING, version
from recurrax.runs.processes import COMMAND

_JOBS = {
    "SLURM": ("SLURM_JOB_ID", "SLURM_ARRAY_TASK_ID"),
    "PBS": ("PBS_JOBID", "PBS_ARRAY_INDEX"),
    "LSF": ("LSB_JOBID", "LSB_JOBINDEX"),
}
"""Batch systems with the variables of a job's number and of its place in an array."""
SETTINGS = ("jax_enable_x64", "jax_default_matmul_precision", "jax_default_prng_impl")


def environment() -> dict[str, Any]:
    """Versions of Python and of the packages that compute, processor and memory, devices, JAX's settings, git's state.

    Only what is listed in this file is recorded: no user, host or path; of the environment, a job's number.
    """
    devices = jax.devices()
    return {
        "python": platform.python_version(),
        "packages": {name: version(name) for name in COMPUTING},
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory": _memory(),
        "job": job(os.environ),
        "devices": {"platform": devices[0].platform, "kind": devices[0].device_kind, "count": len(devices)},
        "processes": jax.process_count(),
        "settings": {name: getattr(jax.config, name) for name in SETTINGS},
        "git": git_state(),
    }


def git_state() -> dict[str, Any] | None:
    """The revision of the current folder's repository and whether files differ from it; None outside of one."""
    revision, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--untracked-files=no")
    if revision is None or changes is None:
        return None
    return {"revision": revision, "modified": bool(changes)}


def processor() -> str:
    """The model of the processor, as the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def job(variables: Mapping[str, str]) -> str | None:
    """The batch system's job that this is, None where it is none.

    >>> job({"SLURM_JOB_ID": "1234", "SLURM_ARRAY_TASK_ID": "7"}), job({"PBS_JOBID": "55.some-host"}), job({})
    ('SLURM 1234, task 7', 'PBS 55', None)
    """
    for system, (number, task) in _JOBS.items():
        if found := re.match(r"\d+", variables.get(number, "")):
            part = re.match(r"\d+", variables.get(task, ""))
            return f"{system} {found[0]}" + (f", task {part[0]}" if part else "")
    return None


def command_line(arguments: Sequence[str]) -> str:
    """The command as typed, for the folder in which its script lies; "" where nobody typed one, as in a notebook.

    Folders above a name are left out where they are not below the current one.

    >>> command_line(["experiments/gradient_decay.py", "--steps", "10", "--out=/home/someone/results"])
    'python experiments/gradient_decay.py --steps 10 --out=results'
    >>> command_line(["/usr/local/bin/recurrax", "compare", "--smoke"])
    'recurrax compare --smoke'
    """
    program, *rest = arguments or [""]
    path = PurePath(program)
    if program in ("", "-c") or path.name == "ipykernel_launcher.py":
        return ""
    started = ["python", "-m", path.parent.name] if path.name == "__main__.py" else [path.name]
    if path.suffix == ".py" and path.name != "__main__.py":
        started = ["python", _without_folders(program)]
    return shlex.join([*started, *(_without_folders(argument) for argument in rest)])


def resume_command() -> str:
    """The command that goes on with this program's run, its launcher's if it has one; to be typed where that was."""
    command = os.environ.get(COMMAND)
    typed = shlex.split(command) if command else [sys.executable, *sys.orig_argv[1:]]
    return shlex.join(part for part in typed if part != "--fresh")


def _without_folders(argument: str) -> str:
    name, equals, value = argument.rpartition("=")
    if not (PurePath(value).is_absolute() or PureWindowsPath(value).is_absolute() or value.startswith("~")):
        return argument
    try:
        return name + equals + Path(value).relative_to(Path.cwd()).as_posix()
    except ValueError:
        return name + equals + PureWindowsPath(value).name


def _git(*arguments: str) -> str | None:
    try:
        finished = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return finished.stdout.strip()


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.1f} GiB"
    except (AttributeError, OSError, ValueError):  # not POSIX, or it does not say
        return "unknown"
