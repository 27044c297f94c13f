"""Files that are whole or not there: written aside, flushed to disk, then renamed."""

import errno
import json
import math
import os
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def write_whole(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Replaces a file by what `write` writes, or leaves it as it was.

    The bytes go to a temporary name in the same folder, to the disk, then to their name; then the folder itself goes to
    the disk, so that the new name survives a power cut.

    Raises:
        OSError: the file cannot be written; the temporary one is gone again.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(aside, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Sends a folder's list of names to the disk, where the system lets a folder be opened."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def save_json(path: Path, content: Any) -> None:
    """Saves what `plain` makes of the content, indented, as a whole file."""
    text = json.dumps(plain(content), indent=2, allow_nan=False) + "\n"
    write_whole(path, lambda file: file.write(text.encode()))


def load_json(path: Path) -> dict[str, Any]:
    """Reads an object saved by `save_json`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: expected JSON, got a file that cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a JSON object, got a {type(content).__name__}")
    return content


def load_lines(path: Path, content: bytes | None = None) -> list[dict[str, Any]]:
    """The objects that `append_lines` left in a file, if there is one; a last line that a crash cut short is left out.

    Args:
        path: of the file.
        content: what to read in its stead, where its bytes are at hand.

    Raises:
        ValueError: a line is no JSON object.
    """
    if content is None:
        content = path.read_bytes() if path.exists() else b""
    records = []
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            raise ValueError(f"{path}: expected a JSON object in every line, got something else in line {number}")
        records.append(record)
    return records


def plain(value: Any) -> Any:
    """What JSON can hold of a configuration or a result.

    Dataclasses become objects with their class's name under "type", tuples and arrays lists, absolute paths their last
    part, infs and NaNs null.

    >>> plain({"seeds": (0, 1), "loss": np.float32(0.5), "worst": math.inf})
    {'seeds': [0, 1], 'loss': 0.5, 'worst': None}

    Raises:
        ValueError: there is something JSON cannot hold.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {"type": type(value).__name__} | {
            field.name: plain(getattr(value, field.name)) for field in fields(value)
        }
    if isinstance(value, Mapping):
        return {str(name): plain(entry) for name, entry in value.items()}
    if isinstance(value, Path):
        return value.name if value.is_absolute() else value.as_posix()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple | range):
        return [plain(entry) for entry in value]
    if hasattr(value, "__array__"):  # NumPy's and JAX's, without asking for JAX
        return plain(np.asarray(value).tolist())
    raise ValueError(f"config: expected numbers, texts and collections of them, got a {type(value).__name__}")


def append_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Appends one line of JSON per record, each in one write.

    Raises:
        OSError: a line could not be written whole.
    """
    with open(path, "ab", buffering=0) as file:
        for record in records:
            line = (json.dumps(plain(record), allow_nan=False) + "\n").encode()
            if file.write(line) < len(line):
                raise OSError(errno.ENOSPC, f"no space left for a whole line of {path}")


def save_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Saves named arrays as one uncompressed .npz, whole or not at all.

    Raises:
        ValueError: an array is of Python objects.
    """
    converted = {name: np.asarray(array) for name, array in arrays.items()}
    for name, array in converted.items():
        if array.dtype.hasobject:
            raise ValueError(f"arrays: expected numbers, got Python objects in {name!r}")
    write_whole(path, lambda file: np.savez(file, **converted))  # pyright: ignore[reportArgumentType]


def load_arrays(path: Path, file: BinaryIO | None = None) -> dict[str, np.ndarray]:
    """Reads arrays saved by `save_arrays`, checksums and sizes checked before memory is taken.

    Args:
        path: of the file.
        file: what to read in its stead, where its bytes are at hand.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, holds Python objects, or claims more than its own size.
    """
    try:
        with zipfile.ZipFile(path if file is None else file) as archive:
            return {entry.filename.removesuffix(".npy"): _read_array(archive, entry) for entry in archive.infolist()}
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged archive can fail in any part of the zip, header or array reader
        raise ValueError(f"{path}: expected arrays saved by a run, got a file that cannot be read: {error}") from error


def _read_array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    if entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{entry.filename} is compressed")
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        shape, fortran, dtype = _HEADERS[version](file)
        if dtype.hasobject:
            raise ValueError(f"{entry.filename} holds Python objects")
        content = file.read()
    if len(content) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{entry.filename} claims {math.prod(shape)} numbers and holds {len(content)} bytes")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C").copy(order="K")
