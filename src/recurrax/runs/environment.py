"""What a run happened in: versions, devices, command and revision, and nothing that names a person or a machine."""

import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path, PurePath, PureWindowsPath
from typing import Any

import jax

from recurrax.runs.processes import COMMAND

PACKAGES = ("recurrax", "jax", "jaxlib", "flax", "optax", "numpy")
SETTINGS = ("jax_enable_x64", "jax_default_matmul_precision", "jax_default_prng_impl")


def environment() -> dict[str, Any]:
    """Versions of Python and of the packages that compute, kind and number of devices, JAX's settings, git's state.

    Only what is listed in this file is recorded: no user, host, path or environment variable.
    """
    devices = jax.devices()
    return {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
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


def command_line(arguments: Sequence[str]) -> str:
    """The command as typed, folders above a name left out.

    >>> command_line(["experiments/gradient_decay.py", "--steps", "10", "--out=/home/someone/results"])
    'python experiments/gradient_decay.py --steps 10 --out=.../results'
    """
    return shlex.join(["python", *(_without_folders(argument) for argument in arguments)])


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
        return f"{name}{equals}.../{PureWindowsPath(value).name}"


def _git(*arguments: str) -> str | None:
    try:
        finished = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return finished.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
