"""A text that every Python carries: the source of its own standard library, read in place."""

import functools
import hashlib
import platform
import sysconfig
from pathlib import Path
from typing import NamedTuple

import numpy as np

LEFT_OUT = frozenset({"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"})
"""Folders whose files are not part of the corpus: tests, and whatever has been installed beside the library."""


class Corpus(NamedTuple):
    """A text and where it came from.

    ids (N,) uint8, positions in `vocabulary`; vocabulary, the bytes that occur, in order; sha256 of the text itself, to
    be recorded with every result since the text changes with `python_version`; files it was read from, relative to the
    standard library's folder.
    """

    ids: np.ndarray
    vocabulary: bytes
    sha256: str
    python_version: str
    files: tuple[str, ...]

    @property
    def text(self) -> bytes:
        """The bytes the ids stand for."""
        return np.frombuffer(self.vocabulary, np.uint8)[self.ids].tobytes()


@functools.cache
def standard_library(max_bytes: int = 1_000_000) -> Corpus:
    """The first `max_bytes` bytes of the running Python's standard library source, read once per process.

    Files are *.py in the order of their paths, without the folders `LEFT_OUT`, joined as they are; the last is cut.

    Raises:
        FileNotFoundError: this Python has no library source, or less than 1000 bytes of it.

    >>> corpus = standard_library(10_000)
    >>> len(corpus.ids), corpus.files[0]
    (10000, '__future__.py')
    """
    root = Path(sysconfig.get_path("stdlib"))
    found = {path.relative_to(root).as_posix(): path for path in root.rglob("*.py")}
    text, files = bytearray(), []
    for name in sorted(name for name in found if LEFT_OUT.isdisjoint(name.split("/"))):
        text += found[name].read_bytes()
        files.append(name)
        if len(text) >= max_bytes:
            break
    if len(text) < 1000:
        raise FileNotFoundError("corpus: this Python carries no source of its standard library, which is read as text")
    return from_bytes(bytes(text[:max_bytes]), files=tuple(files))


def from_bytes(text: bytes, files: tuple[str, ...] = ()) -> Corpus:
    """A corpus of any bytes, its vocabulary being those that occur.

    >>> from_bytes(b"banana").vocabulary, from_bytes(b"banana").ids.tolist()
    (b'abn', [1, 0, 2, 0, 2, 0])
    """
    occurring, ids = np.unique(np.frombuffer(text, np.uint8), return_inverse=True)
    return Corpus(
        ids=ids.astype(np.uint8),
        vocabulary=occurring.tobytes(),
        sha256=hashlib.sha256(text).hexdigest(),
        python_version=platform.python_version(),
        files=files,
    )


def fold(corpus: Corpus, symbols: int) -> Corpus:
    r"""The same text over `symbols` symbols: its most frequent characters in that order, and NUL for whatever is left.

    >>> fold(from_bytes(b"banana"), 2).vocabulary, fold(from_bytes(b"banana"), 2).ids.tolist()
    (b'a\x00', [1, 0, 1, 0, 1, 0])
    """
    kept = np.argsort(-np.bincount(corpus.ids), kind="stable")
    if symbols < len(kept):
        kept = kept[: symbols - 1]
    others = b"\0" if len(kept) < len(corpus.vocabulary) else b""
    vocabulary = bytes(corpus.vocabulary[symbol] for symbol in kept) + others
    return corpus._replace(ids=encode(vocabulary, corpus.text), vocabulary=vocabulary)


def encode(vocabulary: bytes, text: bytes) -> np.ndarray:
    r"""Positions in a vocabulary, uint8; a character that it lacks becomes its NUL, or is left out where it has none.

    >>> encode(b"ab", b"abcb").tolist(), encode(b"ab\0", b"abcb").tolist()
    ([0, 1, 1], [0, 1, 2, 1])
    """
    position = np.full(256, vocabulary.find(b"\0"))
    position[list(vocabulary)] = range(len(vocabulary))
    ids = position[np.frombuffer(text, np.uint8)]
    return ids[ids >= 0].astype(np.uint8)


def unigram_entropy(corpus: Corpus) -> float:
    """H(c_t) = -Σ p(c) ln p(c) in nats, p being the frequencies of the corpus itself."""
    return _entropy(np.bincount(corpus.ids))


def bigram_entropy(corpus: Corpus) -> float:
    """H(c_t | c_tm1) = H(c_tm1, c_t) - H(c_tm1) in nats, frequencies being those of the corpus itself."""
    size = len(corpus.vocabulary)
    pairs = corpus.ids[:-1].astype(np.int64) * size + corpus.ids[1:]
    return _entropy(np.bincount(pairs)) - _entropy(np.bincount(corpus.ids[:-1]))


def _entropy(counts: np.ndarray) -> float:
    p = counts[counts > 0] / counts.sum()
    return float(-np.sum(p * np.log(p)))
