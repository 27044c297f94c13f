"""Sequences read from files, made examples: aligned at their ends, scaled, and some of them held out."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Examples(NamedTuple):
    """xs (T, N, D) float32, all ending at T-1; mask (T, N), False before they begin; targets (N,) ints or (N, 1)."""

    xs: np.ndarray
    mask: np.ndarray
    targets: np.ndarray


class Data(NamedTuple):
    """train and held, the examples trained on and those held out; labels of the classes, () where targets are numbers.

    source says what was read, with its SHA-256.
    """

    train: Examples
    held: Examples
    labels: tuple[str, ...]
    source: str


def collect(
    sequences: Sequence[np.ndarray],
    targets: Sequence[str] | np.ndarray,
    source: str,
    labels: Sequence[str] = (),
    held: np.ndarray | None = None,
) -> Data:
    """Sequences as one set of data.

    Args:
        sequences: (T_i, D) each.
        targets: a text for each, its class, or numbers (N,).
        source: what was read.
        labels: all classes, in order; those that occur, sorted, if none are given.
        held: (N,) bools, which to hold out; if None a fifth of every class, chosen with seed 0.

    Raises:
        ValueError: no sequence is held out, or all are.
    """
    of_classes = not isinstance(targets, np.ndarray)
    labels = (tuple(labels) or tuple(sorted(set(targets)))) if of_classes else ()
    numbers = np.array([labels.index(target) for target in targets], np.int32) if of_classes else np.zeros(len(targets))
    held = _fifth_of_each(numbers) if held is None else held
    if held.all() or not held.any():
        raise ValueError(f"{source}: expected at least 5 sequences of a class, so that one can be held out")
    steps = np.concatenate([sequence for sequence, out in zip(sequences, held, strict=True) if not out])
    scale = steps.std(axis=0)
    mean, scale = steps.mean(axis=0), np.where(scale > 0, scale, 1.0)
    longest = max(map(len, sequences))
    xs = np.zeros((longest, len(sequences), steps.shape[1]), np.float32)
    mask = np.zeros((longest, len(sequences)), bool)
    for place, sequence in enumerate(sequences):
        xs[longest - len(sequence) :, place] = (sequence - mean) / scale
        mask[longest - len(sequence) :, place] = True
    said = numbers if of_classes else np.asarray(targets, np.float32)[:, None]
    train, out = (Examples(xs[:, part], mask[:, part], said[part]) for part in (~held, held))
    return Data(train, out, labels, source)


def _fifth_of_each(classes: np.ndarray) -> np.ndarray:
    """(N,) bools: a fifth of every class, rounded down."""
    held = np.zeros(len(classes), bool)
    order = np.random.default_rng(0).permutation(len(classes))
    for kind in np.unique(classes):
        of_kind = order[classes[order] == kind]
        held[of_kind[: len(of_kind) // 5]] = True
    return held


def finite(where: str, text: str) -> float:
    """The number that a text of a file is.

    Raises:
        ValueError: it is none, or not finite; the message begins with `where` it stands.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{where}: expected a finite number, got {text.strip()!r}")
    return value


def read_text(file: Path) -> str:
    """The text of a file in UTF-8.

    Raises:
        ValueError: it is not in UTF-8.
    """
    content = file.read_bytes()
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = 1 + content[: error.start].count(b"\n")
        raise ValueError(f"{file}, line {line}: expected text in UTF-8, got {content[error.start :][:1]!r}") from error
