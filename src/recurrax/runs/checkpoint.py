"""Checkpoints saved and restored: one file each, whole or not there, as `recurrax.checkpoints` reads them.

The name, with the SHA-256 of the content, is given by one rename: there is no second file to fall out of step with.
"""

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from recurrax.checkpoints import HEADER, is_whole, newest_first, read
from recurrax.files import write_whole
from recurrax.runs.processes import from_first


class Restored(NamedTuple):
    """tree, as saved, in NumPy arrays; header; damaged, the names of newer checkpoints that could not be used."""

    tree: Any
    header: dict[str, Any]
    damaged: tuple[str, ...]


def save(folder: Path, step: int, tree: Any, header: Mapping[str, Any], keep: int = 2) -> Path:
    """Saves a pytree of arrays as the checkpoint of a step, then removes all but the newest `keep`.

    Raises:
        OSError: it cannot be written; older checkpoints are as they were.
    """
    folder.mkdir(exist_ok=True)
    arrays = {HEADER: np.frombuffer(json.dumps(dict(header)).encode(), np.uint8)}
    arrays |= {name: _storable(np.asarray(leaf)) for name, leaf in _named_leaves(tree)}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # pyright: ignore[reportArgumentType]
    content = buffer.getvalue()
    path = folder / f"step-{step:09d}-{hashlib.sha256(content).hexdigest()}.npz"
    try:
        write_whole(path, lambda file: file.write(content))
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"{folder}: step {step} could not be saved, what was saved before is intact: {reason}") from error
    for old in [*newest_first(folder)[keep:], *folder.glob(".step-*.tmp")]:
        old.unlink()
    return path


def restore(folder: Path, config: str, like: Callable[[dict[str, Any]], Any]) -> Restored | None:
    """The newest checkpoint that is whole, None where there is none; process 0 reads it for all.

    Args:
        folder: of checkpoints.
        config: the hash that the header's "config" has to be.
        like: header to a pytree of the structure, shapes and dtypes that were saved.

    Raises:
        ValueError: the newest whole one is of another configuration, or its tensors are not those of `like`.
    """
    line, _, content = from_first(lambda: _newest_whole(folder)).partition(b"\n")
    if not content:
        return None
    name, damaged = json.loads(line)
    path = folder / name
    _, header, arrays = read(path, content)
    if header.get("config") != config:
        raise ValueError(f"{path}: expected a checkpoint of configuration {config}, got {header.get('config')!r}")
    return Restored(_shaped(path, arrays, like(header)), header, tuple(damaged))


def _newest_whole(folder: Path) -> bytes:
    """A line of JSON, [name, names of damaged ones that are newer], and the content; empty where there is none."""
    damaged = []
    for path in newest_first(folder):
        content = path.read_bytes()
        if is_whole(path, content):
            return json.dumps([path.name, damaged]).encode() + b"\n" + content
        damaged.append(path.name)
    return b""


def _shaped(path: Path, arrays: dict[str, np.ndarray], like: Any) -> Any:
    expected = _named_leaves(like)
    if arrays.keys() != {name for name, _ in expected}:
        odd = sorted(arrays.keys() ^ {name for name, _ in expected})
        raise ValueError(f"{path}: expected the tensors of this training, got a difference in {', '.join(odd[:3])}")
    leaves = []
    for name, leaf in expected:
        array = arrays[name]
        if array.shape != leaf.shape or array.dtype != _storable(np.empty(0, leaf.dtype)).dtype:
            raise ValueError(
                f"{path}: expected {name} to be {leaf.dtype} {leaf.shape}, got {array.dtype} {array.shape}"
            )
        leaves.append(array.view(leaf.dtype))
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _named_leaves(tree: Any) -> list[tuple[str, Any]]:
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree.leaves_with_path(tree)]


def _storable(array: np.ndarray) -> np.ndarray:
    """The same bits in a dtype that .npz knows: bfloat16 and its like are NumPy's only by extension."""
    return array.view(f"u{array.dtype.itemsize}") if array.dtype.kind == "V" else array
