"""Series of a user's own as a CSV table or an NPZ file of arrays."""

import csv
import functools
import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recurrax.tasks.examples import Data, collect, finite, read_text
from recurrax.tasks.sequences import Sequences
from recurrax.tasks.task import check_positive


@dataclass(frozen=True)
class Tables(Sequences):
    """After a series of a table and `silence` zeros, say which class it was of, or, with `numbers`, its number.

    A .csv file has the columns sequence, target, and one for every feature; a row is a step, the rows of a sequence
    follow one another and agree on the target. An .npz file has the arrays xs (T, N, D), targets (N,) and, where not
    all are T steps long, lengths (N,): the first steps of each. A fifth of the sequences, with classes of every class,
    is held out. See `Sequences` for features, mask, scores and landmarks.

    Fields: `path` of the file; `silence` in steps; `numbers`, whether targets are numbers. `lag` is the longest
    series' length - 1 + `silence`.
    """

    path: str
    silence: int = 0
    numbers: bool = False

    def __post_init__(self):
        check_positive("silence", self.silence, least=0)

    @property
    def data(self) -> Data:
        return _read(self.path, self.numbers)


@functools.cache
def _read(path: str, numbers: bool) -> Data:
    file = Path(path)
    content = file.read_bytes()
    if file.suffix == ".npz":
        sequences, targets = _arrays(file, content)
    elif file.suffix == ".csv":
        sequences, targets = _rows(file, read_text(file), numbers)
    else:
        raise ValueError(f"{file}: expected a file .csv or .npz, got {file.suffix or 'no ending'}")
    source = f"{file.name}, {len(sequences)} series, SHA-256 {hashlib.sha256(content).hexdigest()}"
    if numbers:
        return collect(sequences, np.array(targets, float), source)
    return collect(sequences, [str(target) for target in targets], source)


def _rows(file: Path, text: str, numbers: bool) -> tuple[list[np.ndarray], list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""))
    header = next(reader, [])
    if header[:2] != ["sequence", "target"] or len(header) < 3:
        raise ValueError(f"{file}, line 1: expected columns sequence, target and features, got {', '.join(header)!r}")
    series: dict[str, list[list[float]]] = {}
    targets: dict[str, str] = {}
    last = None
    for row in reader:
        where = f"{file}, line {reader.line_num}"
        if len(row) != len(header):
            raise ValueError(f"{where}: expected {len(header)} values, got {len(row)}")
        name, target = row[:2]
        if name != last and name in series:
            raise ValueError(f"{where}: expected the rows of a sequence together, got {name!r} again")
        if targets.setdefault(name, target) != target:
            raise ValueError(f"{where}: expected the target {targets[name]!r} of sequence {name!r}, got {target!r}")
        values = [*row[2:], *([target] if numbers else [])]
        series.setdefault(name, []).append([finite(where, value) for value in values][: len(header) - 2])
        last = name
    if not series:
        raise ValueError(f"{file}, line 2: expected a row of values, got none")
    return [np.array(steps) for steps in series.values()], list(targets.values())


def _arrays(file: Path, content: bytes) -> tuple[list[np.ndarray], np.ndarray]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise ValueError(f"{file}: expected an NPZ file of numbers, got one that cannot be read: {error}") from error
    if not {"xs", "targets"} <= found.keys():
        raise ValueError(f"{file}: expected arrays xs, targets and perhaps lengths, got {', '.join(found) or 'none'}")
    xs, targets = found["xs"], found["targets"]
    if xs.ndim != 3 or targets.shape != xs.shape[1:2]:
        raise ValueError(f"{file}: expected xs (T, N, D) and targets (N,), got shapes {xs.shape} and {targets.shape}")
    lengths = found.get("lengths", np.full(len(targets), len(xs)))
    if lengths.shape != targets.shape or not ((lengths >= 1) & (lengths <= len(xs))).all():
        raise ValueError(f"{file}: expected lengths (N,) from 1 to {len(xs)}, got {lengths.tolist()}")
    sequences = [xs[:length, place] for place, length in enumerate(lengths.tolist())]
    for place, sequence in enumerate(sequences):
        if not np.isfinite(sequence).all():
            raise ValueError(f"{file}: expected finite numbers in xs, got others in sequence {place}")
    return sequences, targets
