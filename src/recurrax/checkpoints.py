"""Checkpoint files as they lie on disk, read without JAX; `recurrax.runs.checkpoint` writes and restores them.

`step-<step>-<sha256>.npz` holds every leaf of a pytree by its path, and a JSON header. A file whose content is not that
of its name is damaged.
"""

import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from recurrax.files import load_arrays

HEADER = "header"
"""The name of the header among the arrays."""
_NAME = re.compile(r"step-(\d{9,})-([0-9a-f]{64})\.npz")


class Checkpoint(NamedTuple):
    """A checkpoint's step, header, and leaves by path: ".state.params.bias", ".probes['lag'].log_norm"."""

    step: int
    header: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def below(self, start: str) -> dict[str, np.ndarray]:
        """The leaves whose path begins so, by the rest of it in dotted names: "lag.log_norm" for ".probes"."""
        return {dotted(path[len(start) :]): array for path, array in self.arrays.items() if path.startswith(start)}


def dotted(path: str) -> str:
    """A path in a pytree as names with dots between them.

    >>> dotted("['held out']['accuracy']"), dotted(".opt_state[1].count")
    ('held out.accuracy', 'opt_state.1.count')
    """
    return re.sub(r"\['?(.*?)'?\]", r".\1", path).strip(".")


def newest_first(folder: Path) -> list[Path]:
    """The checkpoints in a folder, by their names."""
    return sorted((path for path in folder.glob("step-*.npz") if _NAME.fullmatch(path.name)), reverse=True)


def is_whole(path: Path, content: bytes) -> bool:
    """Whether a file's content is the one that its name says."""
    return path.name.endswith(f"-{hashlib.sha256(content).hexdigest()}.npz")


def read(path: Path, content: bytes) -> Checkpoint:
    """A checkpoint from its file's content.

    Raises:
        ValueError: it is none.
    """
    arrays = load_arrays(path, io.BytesIO(content))
    array = arrays.pop(HEADER, None)
    try:
        header = json.loads(b"" if array is None else array.tobytes())
    except ValueError:
        header = None
    if not isinstance(header, dict):
        raise ValueError(f"{path}: expected a checkpoint with a header, got {'none' if array is None else 'another'}")
    return Checkpoint(int(path.name.split("-")[1]), header, arrays)


def read_all(folder: Path) -> Iterator[Checkpoint]:
    """Every whole checkpoint in a folder, the newest first; damaged ones are left out."""
    for path in newest_first(folder):
        content = path.read_bytes()
        if is_whole(path, content):
            yield read(path, content)


def places(run: Path) -> Mapping[str, Path]:
    """The folders of checkpoints in a run's folder, by the names of its trainings, "" for one without."""
    named = {place.parent.name: place for place in sorted(run.glob("*/checkpoints"))}
    return {name: place for name, place in ({"": run / "checkpoints"} | named).items() if place.is_dir()}
