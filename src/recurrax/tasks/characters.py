"""Next-character prediction on real text."""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np

from recurrax.tasks.corpus import Corpus, bigram_entropy, encode, fold, standard_library, unigram_entropy
from recurrax.tasks.task import Batch, Task, check_positive
from recurrax.typing import Array, Key


@dataclass(frozen=True)
class Characters(Task):
    """At every step say the next character of Python's own standard library source.

    x_t = onehot(c_t),  target c_{t+1},  windows c_s .. c_{s+T} with s uniform over the corpus

    The text is read in place from the Python that runs (`recurrax.tasks.standard_library`), so it differs between
    Python versions: record `corpus.sha256` and `corpus.python_version` with every result. The loss is in nats per
    character; `recurrax.tasks.bits` converts. "accuracy" is the fraction of characters foretold. Held-out windows come
    from the tenth of `max_bytes` of text that follows those trained on; a character that does not occur in these is
    left out of it.

    Fields: `length` T in steps; `max_bytes` of text used, from its start; `symbols`, 0 for every character that
    occurs, otherwise at least 2: the `symbols` - 1 most frequent characters, and one symbol for all others. The size of
    a one-hot input decides the scale of what reaches the units: under lecun initialisation a unit's drive has variance
    1/symbols.

    Landmarks: knowing nothing, log of the vocabulary's size; the frequencies of characters, the entropy H(c_t); the
    current character too, H(c_{t+1} | c_t), the best that a predictor without memory can do. All frequencies are the
    corpus's own. How far back a character still helps is not known: `lag` is the longest a window has, T - 1.

    >>> task = Characters(length=20, max_bytes=10_000)
    >>> batch = task.batch(jax.random.key(0), batch_size=3)
    >>> batch.xs.shape == (20, 3, task.input_size), batch.targets.shape
    (True, (20, 3))
    """

    length: int = 100
    max_bytes: int = 1_000_000
    symbols: int = 0

    def __post_init__(self):
        check_positive("length", self.length)
        check_positive("max_bytes", self.max_bytes, least=max(1000, self.length + 1))
        if self.symbols != 0:
            check_positive("symbols", self.symbols, least=2)

    @property
    def corpus(self) -> Corpus:
        """The text trained on, read on first use."""
        return _corpus(self.max_bytes, self.symbols)

    @property
    def describes(self) -> str:
        return f"the next character of Python source, one of {self.output_size} symbols"

    @property
    def unit(self) -> str:
        return "nats per character"

    @property
    def source(self) -> str:
        """Which text it is, to be recorded with every result."""
        corpus = self.corpus
        size, digest = len(corpus.ids), corpus.sha256
        return f"the standard library of Python {corpus.python_version}, {size} bytes, SHA-256 {digest}"

    @property
    def input_size(self) -> int:
        return len(self.corpus.vocabulary)

    @property
    def output_size(self) -> int:
        return len(self.corpus.vocabulary)

    @property
    def every_step(self) -> bool:
        return True

    @property
    def landmarks(self) -> Mapping[str, float]:
        corpus = self.corpus
        return {
            "nothing known": math.log(len(corpus.vocabulary)),
            "frequencies known": unigram_entropy(corpus),
            "current character known": bigram_entropy(corpus),
        }

    @property
    def lag(self) -> int:
        return self.length - 1

    def with_lag(self, lag: int) -> "Characters":
        check_positive("lag", lag)
        return replace(self, length=lag + 1)

    def batch(self, key: Key, batch_size: int) -> Batch:
        check_positive("batch_size", batch_size)
        ids = self.corpus.ids
        last = self._last_start(ids)
        return self._windows(ids, jax.random.randint(key, (1, batch_size), 0, last + 1))

    def held_out(self, batch_size: int) -> Batch:
        """B windows, evenly spaced, of the text that follows the one trained on.

        Raises:
            ValueError: no text is left there, or less than B windows.
        """
        check_positive("batch_size", batch_size)
        ids = _held_out(self.max_bytes, self.symbols)
        last = self._last_start(ids)
        if batch_size > last + 1:
            raise ValueError(f"batch_size: expected at most the {last + 1} windows that are held out, got {batch_size}")
        return self._windows(ids, jnp.asarray(np.linspace(0, last, batch_size).astype(np.int32)[None]))

    def _last_start(self, ids: np.ndarray) -> int:
        if ids.size <= self.length:
            raise ValueError(f"length: expected less than the text's {ids.size} characters, got {self.length}")
        return ids.size - self.length - 1

    def _windows(self, ids: np.ndarray, starts: Array) -> Batch:
        """The windows of T + 1 characters from each of the starts (1, B)."""
        windows = jnp.asarray(ids)[starts + jnp.arange(self.length + 1)[:, None]].astype(jnp.int32)  # (T+1, B)
        xs = jax.nn.one_hot(windows[:-1], self.input_size, dtype=jnp.float32)
        return Batch(xs=xs, targets=windows[1:], every_step=True)


@functools.cache
def _corpus(max_bytes: int, symbols: int) -> Corpus:
    corpus = standard_library(max_bytes)
    return fold(corpus, symbols) if symbols else corpus


@functools.cache
def _held_out(max_bytes: int, symbols: int) -> np.ndarray:
    following = standard_library(max_bytes + max_bytes // 10).text[max_bytes:]
    return encode(_corpus(max_bytes, symbols).vocabulary, following)
