"""Real text with few symbols: the frequent characters as they are, all others one symbol."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from recurrax import tasks
from recurrax.tasks.corpus import bigram_entropy, unigram_entropy


@dataclass(frozen=True)
class FoldedCharacters:
    """`tasks.Characters` over `symbols` symbols: the most frequent characters, and one for whatever else there is.

    The number of symbols is the size of a one-hot input, and so decides the scale of what reaches the units: under
    lecun initialisation the drive of a unit has variance 1/symbols. Gradient decay depends on it, so it is set, not
    left to what happens to occur in a text. 0 keeps every character.
    """

    length: int
    symbols: int

    def __post_init__(self):
        if self.symbols == 1 or self.symbols < 0:
            raise ValueError(f"symbols: expected 0 (all characters) or at least 2, got {self.symbols}")

    @property
    def characters(self) -> tasks.Characters:
        return tasks.Characters(length=self.length)

    @property
    def corpus(self) -> tasks.Corpus:
        """The text in the folded symbols."""
        return _folded(self.symbols)[0]

    @property
    def input_size(self) -> int:
        return len(self.corpus.vocabulary)

    @property
    def output_size(self) -> int:
        return self.input_size

    @property
    def every_step(self) -> bool:
        return True

    @property
    def landmarks(self) -> Mapping[str, float]:
        return {
            "frequencies known": unigram_entropy(self.corpus),
            "current character known": bigram_entropy(self.corpus),
        }

    def batch(self, key: jax.Array, batch_size: int) -> tasks.Batch:
        symbol_of = jnp.asarray(_folded(self.symbols)[1], jnp.int32)
        batch = self.characters.batch(key, batch_size)
        ids = symbol_of[jnp.argmax(batch.xs, axis=-1)]
        return tasks.Batch(xs=jax.nn.one_hot(ids, self.input_size), targets=symbol_of[batch.targets], every_step=True)

    def loss(self, predictions: jax.Array, batch: tasks.Batch) -> jax.Array:
        return self.characters.loss(predictions, batch)


@functools.cache
def _folded(symbols: int) -> tuple[tasks.Corpus, np.ndarray]:
    """The corpus in folded symbols, and the symbol of every character of the corpus as it is."""
    corpus = tasks.Characters().corpus
    kept = np.argsort(-np.bincount(corpus.ids, minlength=len(corpus.vocabulary)), kind="stable")
    if symbols not in (0, len(kept)):
        kept = kept[: symbols - 1]
    symbol_of = np.full(len(corpus.vocabulary), len(kept), np.uint8)
    symbol_of[kept] = np.arange(len(kept), dtype=np.uint8)
    others = b"\x00" if len(kept) < len(corpus.vocabulary) else b""
    vocabulary = bytes(corpus.vocabulary[i] for i in kept) + others
    return corpus._replace(ids=symbol_of[corpus.ids], vocabulary=vocabulary), symbol_of
