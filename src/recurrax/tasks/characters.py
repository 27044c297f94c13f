"""Next-character prediction on real text."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from recurrax.tasks.corpus import Corpus, bigram_entropy, standard_library, unigram_entropy
from recurrax.tasks.task import Batch, check_positive, cross_entropy
from recurrax.typing import Array, Key


@dataclass(frozen=True)
class Characters:
    """At every step say the next character of Python's own standard library source.

    x_t = onehot(c_t),  target c_{t+1},  windows c_s .. c_{s+T} with s uniform over the corpus

    The text is read in place from the Python that runs (`recurrax.tasks.standard_library`), so it differs between
    Python versions: record `corpus.sha256` and `corpus.python_version` with every result. The loss is in nats per
    character; `recurrax.tasks.bits` converts.

    Fields: `length` T in steps; `max_bytes` of text used, from its start.

    Landmarks: knowing nothing, log of the vocabulary's size; the frequencies of characters, the entropy H(c_t); the
    current character too, H(c_{t+1} | c_t), the best that a predictor without memory can do. All frequencies are the
    corpus's own.

    >>> task = Characters(length=20, max_bytes=10_000)
    >>> batch = task.batch(jax.random.key(0), batch_size=3)
    >>> batch.xs.shape == (20, 3, task.input_size), batch.targets.shape
    (True, (20, 3))
    """

    length: int = 100
    max_bytes: int = 1_000_000

    def __post_init__(self):
        check_positive("length", self.length)
        check_positive("max_bytes", self.max_bytes, least=max(1000, self.length + 1))

    @property
    def corpus(self) -> Corpus:
        """The text, read on first use."""
        return standard_library(self.max_bytes)

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

    def batch(self, key: Key, batch_size: int) -> Batch:
        check_positive("batch_size", batch_size)
        ids = jnp.asarray(self.corpus.ids)
        if ids.size <= self.length:
            raise ValueError(f"length: expected less than the corpus's {ids.size} characters, got {self.length}")
        starts = jax.random.randint(key, (1, batch_size), 0, ids.size - self.length)
        windows = ids[starts + jnp.arange(self.length + 1)[:, None]].astype(jnp.int32)
        return Batch(xs=jax.nn.one_hot(windows[:-1], self.input_size, dtype=jnp.float32), targets=windows[1:])

    def loss(self, predictions: Array, batch: Batch) -> Array:
        return cross_entropy(predictions, batch)
