"""A cell and its parameters in one safetensors file, which other programs can read; nothing in it is ever run."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from recurrax.cells import ALL as CELLS
from recurrax.extras import require, version
from recurrax.files import write_whole
from recurrax.typing import Params
from recurrax.wrappers import ALL as WRAPPERS

_LAYOUT = "recurrax 1"
"""What metadata call the layout: leaves by their path in the parameters. Another layout gets another number."""
_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "BOOL": "bool", "U8": "uint8"}
_DTYPES |= {"I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64", "U16": "uint16", "U32": "uint32"}
_DTYPES |= {"U64": "uint64"}


class File(NamedTuple):
    """Arrays by name, and metadata, texts by name."""

    arrays: dict[str, np.ndarray]
    metadata: dict[str, str]


def save(path: str | Path, cell: Any, params: Params) -> None:
    """Keeps a cell and its parameters in one safetensors file, whole or not at all.

    Metadata hold the cell as a text, the versions that wrote it and a checksum of the arrays.

    Args:
        path: of the file; one that is there is replaced.
        cell: a cell of the library, or a wrapper around such; for any other only its name is kept, and `load` is told.
        params: its parameters, of any structure.

    Raises:
        ModuleNotFoundError: safetensors, of the extra "interchange", is not installed.
        ValueError: parameters are not such as the cell's `init` draws, or have complex leaves or keys, for which the
            format has no place.
    """
    arrays = {jax.tree_util.keystr(at): leaf for at, leaf in jax.tree.leaves_with_path(params)}
    metadata = {"layout": _LAYOUT, "cell": _text(cell), "input_size": str(_input_size(cell, params))}
    write_arrays(Path(path), arrays, metadata)


def load(path: str | Path, cell: Any = None) -> tuple[Any, Params]:
    """The cell and the parameters of a file that `save` has written.

    Args:
        path: of the file.
        cell: the cell it is of, where that is none of the library's; else it has to be the file's.

    Raises:
        ModuleNotFoundError: safetensors is not installed.
        ValueError: the file is damaged, none of `save`'s, or of another cell.

    ```python
    recurrax.save("lstm.safetensors", cell, params)
    cell, params = recurrax.load("lstm.safetensors")
    ```
    """
    path = Path(path)
    arrays, metadata = read_arrays(path)
    if metadata.get("layout") != _LAYOUT:
        hint = "recurrax.convert.from_torch and weights_from read the arrays of other libraries"
        raise ValueError(f"{path}: expected a file that recurrax.save has written, got another; {hint}")
    kept = _cell(path, metadata["cell"]) if cell is None else cell
    if _text(kept) != metadata["cell"]:
        raise ValueError(f"cell: {path} holds {metadata['cell']:.100}, got {_text(kept):.100}")
    like = jax.eval_shape(partial(kept.init, input_size=int(metadata["input_size"])), jax.random.key(0))
    leaves = [(jax.tree_util.keystr(at), leaf.shape) for at, leaf in jax.tree.leaves_with_path(like)]
    if leaves != [(name, arrays[name].shape) for name, _ in leaves if name in arrays] or len(leaves) != len(arrays):
        raise ValueError(f"{path}: expected the parameters of {type(kept).__name__}, got {', '.join(arrays)}")
    return kept, jax.tree.structure(like).unflatten([jnp.asarray(arrays[name]) for name, _ in leaves])


def write_arrays(path: Path, arrays: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Writes named arrays as a safetensors file, with versions and a checksum among the metadata."""
    held = {name: np.ascontiguousarray(array).reshape(np.shape(array)) for name, array in arrays.items()}
    for name, array in held.items():
        if array.dtype.name not in _DTYPES.values():
            raise ValueError(f"params: expected real numbers in {name!r}, got {array.dtype}, which safetensors lacks")
    metadata = {**(metadata or {}), "recurrax": version("recurrax") or "", "jax": version("jax") or ""}
    metadata["sha256"] = _checksum(held, metadata)
    written = require("safetensors.numpy", "interchange").save(held, metadata)
    write_whole(path, lambda file: file.write(written))


def read_arrays(path: Path) -> File:
    """Reads a safetensors file of anybody's.

    Raises:
        ValueError: it is none, or its arrays are not those that were written.
    """
    safetensors = require("safetensors", "interchange")
    content = path.read_bytes()
    try:
        found = safetensors.deserialize(content)
        metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")]).get("__metadata__", {})
        arrays = {
            name: np.frombuffer(entry["data"], jnp.dtype(_DTYPES[entry["dtype"]])).reshape(entry["shape"])
            for name, entry in found
        }
    except Exception as error:  # a damaged file can fail in any part of the reader
        raise ValueError(f"{path}: expected a safetensors file, got one that cannot be read: {error}") from error
    if "sha256" in metadata and metadata["sha256"] != _checksum(arrays, metadata):
        raise ValueError(f"{path}: expected what was written, got something else: the file is damaged")
    return File(arrays, metadata)


def _checksum(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    said = {name: text for name, text in metadata.items() if name != "sha256"}
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype.name} {arrays[name].shape}".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


def _input_size(cell: Any, params: Params) -> int:
    """The features D for which `init` gives parameters of this structure and these shapes."""
    shapes = jax.tree.map(jnp.shape, params)
    sizes = sorted({1} | {size for leaf in jax.tree.leaves(params) for size in jnp.shape(leaf) if size})
    for size in sizes:
        like = jax.eval_shape(partial(cell.init, input_size=size), jax.random.key(0))
        if jax.tree.structure(like) == jax.tree.structure(params) and jax.tree.map(jnp.shape, like) == shapes:
            return size
    name, kind = type(cell).__name__, type(params).__name__
    raise ValueError(f"params: expected what {name}.init draws, got a {kind} of another structure or other shapes")


def _text(cell: Any) -> str:
    """A cell as JSON: its class and fields, cells among them; for a user's own its name alone."""
    return json.dumps(_plain(cell))


def _plain(value: Any) -> Any:
    if type(value) in (*CELLS, *WRAPPERS):
        return {"class": type(value).__name__} | {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple | list):
        return [_plain(entry) for entry in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return {"class": type(value).__name__}


def _cell(path: Path, text: str) -> Any:
    def build(value: Any) -> Any:
        if isinstance(value, list):
            return tuple(build(entry) for entry in value)
        if not isinstance(value, dict):
            return value
        given = {name: build(entry) for name, entry in value.items() if name != "class"}
        kind = next((kind for kind in (*CELLS, *WRAPPERS) if kind.__name__ == value.get("class")), None)
        if kind is None:
            said = "say recurrax.load(path, cell=...)"
            raise ValueError(f"{path}: holds the parameters of {value.get('class')}, none of recurrax's cells; {said}")
        return kind(**given)

    try:
        return build(json.loads(text))
    except (TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: expected a cell of this version of recurrax, got {text:.100}: {error}") from error
