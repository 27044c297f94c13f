"""Pairs of texts of one's own, the second to be said after the first."""

import functools
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from recurrax.tasks.examples import read_text
from recurrax.tasks.task import Batch, check_positive, frequencies_loss
from recurrax.tasks.translation import Translation
from recurrax.typing import Array, Key


@dataclass(frozen=True)
class Pairs(Translation):
    """A text is read character by character; after a wait say the one that belongs to it, and then that it ends.

    A line of the file is SOURCE, a tab, ANSWER, in UTF-8. A fifth of the lines is held out, chosen with seed 0; the
    file is read once per process. See `Translation` for the answer, which is said with feedback; symbol 0 of it is the
    end, and steps after the end have no weight.

    Fields: `pad` in steps; `reverse`, the source from its end to its start; `path` of the file.

    Landmarks: "nothing known", ln of the answers' symbols; "frequencies known", what the shares of these symbols in the
    lines trained on lose on those held out, in nats per symbol.
    """

    path: str = field(kw_only=True)

    @property
    def describes(self) -> str:
        return f"the text that belongs to another, {self.pad} blanks after that"

    @property
    def source(self) -> str:
        """What was read, to be recorded with every result."""
        return self._lines.source

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        lines = self._lines
        return len(lines.sources.T), 1 + len(lines.source_symbols), len(lines.answers.T), 1 + len(lines.answer_symbols)

    @property
    def landmarks(self) -> Mapping[str, float]:
        lines = self._lines
        train, held = (lines.answers[part][lines.weights[part] > 0] for part in (~lines.held, lines.held))
        size = self.output_size
        return {"nothing known": math.log(size), "frequencies known": frequencies_loss(train, held, size)}

    def pairs(self, key: Key, batch_size: int) -> tuple[Array, Array, Array]:
        train = ~self._lines.held
        return self._chosen(train, jax.random.randint(key, (batch_size,), 0, int(train.sum())))

    def held_out(self, batch_size: int) -> Batch:
        """The first B lines that are held out.

        Raises:
            ValueError: there are less than B.
        """
        check_positive("batch_size", batch_size)
        count = int(self._lines.held.sum())
        if batch_size > count:
            raise ValueError(f"batch_size: expected at most the {count} lines held out, got {batch_size}")
        return self._batch(*self._chosen(self._lines.held, jnp.arange(batch_size)))

    @property
    def _lines(self) -> "Lines":
        return _read(self.path)

    def _chosen(self, part: np.ndarray, places: Array) -> tuple[Array, Array, Array]:
        lines = self._lines
        sources, answers, weights = (jnp.asarray(ids[part])[places].T for ids in lines[:3])
        return sources, answers, weights


class Lines(NamedTuple):
    """sources (N, S), answers and weights (N, n), held (N,); the symbols, numbered from 1; source, what was read."""

    sources: np.ndarray
    answers: np.ndarray
    weights: np.ndarray
    held: np.ndarray
    source_symbols: str
    answer_symbols: str
    source: str


@functools.cache
def _read(path: str) -> Lines:
    file = Path(path)
    text, pairs = read_text(file), []
    for number, line in enumerate(text.splitlines(), 1):
        parts = line.split("\t")
        if len(parts) != 2 or not all(parts):
            raise ValueError(f"{file}, line {number}: expected a text, a tab and a text, got {line[:40]!r}")
        pairs.append(parts)
    if len(pairs) < 5:
        raise ValueError(f"{file}: expected at least 5 lines, so that one can be held out, got {len(pairs)}")
    (sources, source_symbols), (answers, answer_symbols) = (
        _numbered([pair[side] for pair in pairs]) for side in (0, 1)
    )
    answers = np.pad(answers, ((0, 0), (0, 1)))  # a step for the end of the longest
    weights = np.arange(len(answers.T))[None] <= np.sum(answers > 0, axis=1)[:, None]
    held = np.zeros(len(pairs), bool)
    held[np.random.default_rng(0).permutation(len(pairs))[: len(pairs) // 5]] = True
    read = f"{file.name}, {len(pairs)} lines, SHA-256 {hashlib.sha256(text.encode()).hexdigest()}"
    return Lines(sources, answers, weights.astype(np.float32), held, source_symbols, answer_symbols, read)


def _numbered(texts: list[str]) -> tuple[np.ndarray, str]:
    """The texts as numbers (N, longest), 0 after their ends, and the characters that are 1, 2, ..."""
    symbols = "".join(sorted(set("".join(texts))))
    number = {symbol: place for place, symbol in enumerate(symbols, 1)}
    ids = np.zeros((len(texts), max(map(len, texts))), np.int32)
    for row, text in zip(ids, texts, strict=True):
        row[: len(text)] = [number[symbol] for symbol in text]
    return ids, symbols
