"""Series in the .ts text format of aeon and sktime."""

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from recurrax.tasks.examples import Data, collect, finite, read_text
from recurrax.tasks.sequences import Sequences
from recurrax.tasks.task import check_positive


@dataclass(frozen=True)
class TimeSeries(Sequences):
    """After a series of a .ts file and `silence` zeros, say which class it was of, or its number.

    Where the file's name ends in _TRAIN.ts, the one beside it that ends in _TEST.ts is held out; else a fifth of the
    series. See `Sequences` for features, mask, scores and landmarks.

    Fields: `path` of the file; `silence` in steps. `lag` is the longest series' length - 1 + `silence`.
    """

    path: str
    silence: int = 0

    def __post_init__(self):
        check_positive("silence", self.silence, least=0)

    @property
    def data(self) -> Data:
        return _read(self.path)


class Series(NamedTuple):
    """sequences, (T_i, D) each; targets, texts of classes or numbers (N,); labels of the classes, () for numbers."""

    sequences: list[np.ndarray]
    targets: list[str] | np.ndarray
    labels: tuple[str, ...]


def parse_ts(name: str, text: str) -> Series:
    r"""The series of a .ts text.

    A line of data has the values of every dimension, separated by commas, the dimensions by colons, and then the label.

    Raises:
        ValueError: the text is not of this form, or has time stamps or missing values; it says where.

    >>> series = parse_ts("two.ts", "@classLabel true a b\n@data\n1,2:3,4:a\n5:6:b")
    >>> series.sequences[0].tolist(), series.targets
    ([[1.0, 3.0], [2.0, 4.0]], ['a', 'b'])
    """
    header: dict[str, list[str]] = {}
    sequences: list[np.ndarray] = []
    targets: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        where, line = f"{name}, line {number}", line.strip()
        if not line or line[0] == "#":
            continue
        if "data" in header:
            sequence, target = _series(where, line, len(sequences[0].T) if sequences else None)
            sequences.append(sequence)
            targets.append(_target(where, target, header))
        elif line[0] == "@":
            key, *values = line[1:].split()
            header[key.lower()] = values
            if key.lower() == "timestamps" and values[:1] != ["false"]:
                raise ValueError(f"{where}: expected @timeStamps false, got {line!r}")
        else:
            raise ValueError(f"{where}: expected a line with @ or # before @data, got {line[:40]!r}")
    if not sequences:
        raise ValueError(f"{name}: expected series after a line @data, got none")
    if _is_true(header, "targetlabel"):
        return Series(sequences, np.array(targets, float), ())
    return Series(sequences, targets, tuple(header["classlabel"][1:]))


def _series(where: str, line: str, dimensions: int | None) -> tuple[np.ndarray, str]:
    """The values (T, D) and the target of a line."""
    *parts, target = line.split(":")
    if not parts or (dimensions is not None and len(parts) != dimensions):
        expected = "at least one dimension" if dimensions is None else f"{dimensions} dimensions"
        raise ValueError(f"{where}: expected {expected} and a label, separated by colons, got {len(parts)} dimensions")
    columns = [[finite(where, value) for value in part.split(",")] for part in parts]
    lengths = {len(column) for column in columns}
    if len(lengths) > 1:
        raise ValueError(f"{where}: expected dimensions of one length, got lengths {sorted(lengths)}")
    return np.array(columns).T, target.strip()


def _target(where: str, target: str, header: dict[str, list[str]]) -> str:
    if _is_true(header, "targetlabel"):
        return str(finite(where, target))
    labels = header.get("classlabel", [])[1:] if _is_true(header, "classlabel") else []
    if target not in labels:
        raise ValueError(f"{where}: expected a label of @classLabel, one of {labels}, got {target!r}")
    return target


def _is_true(header: dict[str, list[str]], key: str) -> bool:
    return [value.lower() for value in header.get(key, [])[:1]] == ["true"]


def of_parts(name: str, train: str, test: str | None) -> Data:
    """The data of the text trained on and of the one held out, if there is one."""
    parts = [parse_ts(name, train)] + ([] if test is None else [parse_ts(name.replace("_TRAIN", "_TEST"), test)])
    sequences = [sequence for part in parts for sequence in part.sequences]
    dimensions = {sequence.shape[1] for sequence in sequences}
    if len(dimensions) > 1 or len({part.labels for part in parts}) > 1:
        raise ValueError(f"{name}: expected the same dimensions and labels as in the file held out")
    targets: Sequence[str] | np.ndarray = [target for part in parts for target in part.targets]
    labels = parts[0].labels
    held = None if test is None else np.arange(len(sequences)) >= len(parts[0].sequences)
    digest = hashlib.sha256((train + (test or "")).encode()).hexdigest()
    source = f"{name}, {len(sequences)} series, SHA-256 {digest}"
    return collect(sequences, targets if labels else np.array(targets, float), source, labels, held)


@functools.cache
def _read(path: str) -> Data:
    train = Path(path)
    test = train.with_name(train.name.replace("_TRAIN.ts", "_TEST.ts"))
    held = read_text(test) if test != train and test.exists() else None
    return of_parts(train.name, read_text(train), held)
