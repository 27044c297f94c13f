"""Next-character prediction on the source of Python's standard library."""

import functools
from dataclasses import dataclass, replace

import numpy as np

from recurrax.tasks.corpus import Corpus, encode, fold, standard_library
from recurrax.tasks.task import check_positive
from recurrax.tasks.text import Text


@dataclass(frozen=True)
class Characters(Text):
    """At every step say the next character of Python's own standard library source.

    x_t = onehot(c_t),  target c_{t+1},  windows c_s .. c_{s+T} with s uniform over the corpus

    The text is read in place from the Python that runs (`recurrax.tasks.standard_library`), so it differs between
    Python versions: record `corpus.sha256` and `corpus.python_version` with every result. The loss is in nats per
    character; `recurrax.tasks.bits` converts. "accuracy" is the fraction of characters foretold. Held out is the tenth
    of `max_bytes` of text that follows those trained on; a character that does not occur in these is left out of it.
    `after_context` asks for held-out characters from a context of given length, `held_out_landmarks` are what n-grams
    make of the same ones.

    Fields: `length` T in steps; `max_bytes` of text used, from its start; `symbols`, 0 for every character that
    occurs, otherwise at least 2: the `symbols` - 1 most frequent characters, and one symbol for all others. The size of
    a one-hot input decides the scale of what reaches the units: under lecun initialisation a unit's drive has variance
    1/symbols. `shuffled` puts the characters in a random order, always the same one, so that only their frequencies
    are left to learn.

    Landmarks: knowing nothing, log of the vocabulary's size; the frequencies of characters, the entropy H(c_t); the
    current character too, H(c_{t+1} | c_t), the best that a predictor without memory can do. All frequencies are the
    corpus's own. How far back a character still helps is not known: `lag` is the longest a window has, T - 1.

    >>> import jax
    >>> task = Characters(length=20, max_bytes=10_000)
    >>> batch = task.batch(jax.random.key(0), batch_size=3)
    >>> batch.xs.shape == (20, 3, task.input_size), batch.targets.shape
    (True, (20, 3))
    """

    length: int = 100
    max_bytes: int = 1_000_000
    symbols: int = 0
    shuffled: bool = False

    def __post_init__(self):
        check_positive("length", self.length)
        check_positive("max_bytes", self.max_bytes, least=max(1000, self.length + 1))
        if self.symbols != 0:
            check_positive("symbols", self.symbols, least=2)

    @property
    def corpus(self) -> Corpus:
        return _corpus(self.max_bytes, self.symbols, self.shuffled)

    @property
    def held_out_ids(self) -> np.ndarray:
        return _held_out(self.max_bytes, self.symbols, self.shuffled)

    @property
    def describes(self) -> str:
        order = ", its characters shuffled" if self.shuffled else ""
        return f"the next character of Python's standard library source{order}, one of {self.output_size} symbols"

    @property
    def source(self) -> str:
        """Which text it is, to be recorded with every result."""
        corpus = self.corpus
        size, digest = len(corpus.ids), corpus.sha256
        return f"the standard library of Python {corpus.python_version}, {size} bytes, SHA-256 {digest}"

    def with_lag(self, lag: int) -> "Characters":
        check_positive("lag", lag)
        return replace(self, length=lag + 1)


@functools.cache
def _corpus(max_bytes: int, symbols: int, shuffled: bool) -> Corpus:
    corpus = standard_library(max_bytes)
    corpus = fold(corpus, symbols) if symbols else corpus
    return corpus._replace(ids=_shuffled(corpus.ids)) if shuffled else corpus


@functools.cache
def _held_out(max_bytes: int, symbols: int, shuffled: bool) -> np.ndarray:
    following = standard_library(max_bytes + max_bytes // 10).text[max_bytes:]
    ids = encode(_corpus(max_bytes, symbols, shuffled).vocabulary, following)
    return _shuffled(ids) if shuffled else ids


def _shuffled(ids: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).permutation(ids)
