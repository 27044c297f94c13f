"""Sentiment of a generated sentence: a negator far from the word that it turns."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp

from recurrax.tasks.task import Batch, Task, check_positive
from recurrax.typing import Key

NOUNS, NEGATORS, POLAR, FILLERS = 8, 4, 8, 8
"""Words of each kind, numbered in this order; the first half of the polar words is negative."""


@dataclass(frozen=True)
class Sentiment(Task):
    """A noun, perhaps a negator, fillers, a polar word, fillers; at the last step say whether it was praise.

    x = noun, negator or filler, `gap` fillers, polar word, `filler` fillers;  target: the word's sign, turned by a
    negator

    Words are one-hot and uniform within their kind; one sentence of four is negated. "accuracy" is the fraction of
    sentences judged rightly: 0.75 for whoever reads the polar word alone.

    Fields: `filler` and `gap` in words. `lag` is that of the negator, `filler` + `gap` + 1.

    Landmarks: knowing nothing, ln 2, and as much knowing the negator alone; knowing the polar word alone,
    H(1/4) = ln 4 - 3/4 ln 3.

    >>> task = Sentiment(filler=5)
    >>> task.batch(jax.random.key(0), batch_size=3).xs.shape, task.lag
    ((10, 3, 28), 8)
    """

    filler: int = 16
    gap: int = 2

    def __post_init__(self):
        check_positive("filler", self.filler, least=0)
        check_positive("gap", self.gap, least=0)

    @property
    def describes(self) -> str:
        return f"whether a sentence was praise, {self.filler} words after its polar word"

    @property
    def input_size(self) -> int:
        return NOUNS + NEGATORS + POLAR + FILLERS

    @property
    def output_size(self) -> int:
        return 2

    @property
    def landmarks(self) -> Mapping[str, float]:
        return {"nothing known": math.log(2), "polar word known": math.log(4) - 0.75 * math.log(3)}

    @property
    def lag(self) -> int:
        return self.filler + self.gap + 1

    def with_lag(self, lag: int) -> "Sentiment":
        check_positive("lag", lag, least=self.gap + 1)
        return replace(self, filler=lag - self.gap - 1)

    def batch(self, key: Key, batch_size: int) -> Batch:
        check_positive("batch_size", batch_size)
        steps = self.lag + 2
        # One draw for all: the generator is most of what there is to compile here.
        drawn = jax.random.uniform(key, (steps + 1, batch_size), jnp.float32)
        negated = drawn[-1:] < 0.25  # (1, B)
        t = jnp.arange(steps)[:, None]
        noun, negator, polar = t == 0, (t == 1) & negated, t == self.gap + 2
        count, first = jnp.full((steps, 1), FILLERS), jnp.full((steps, 1), NOUNS + NEGATORS + POLAR)
        for here, words, start in ((noun, NOUNS, 0), (negator, NEGATORS, NOUNS), (polar, POLAR, NOUNS + NEGATORS)):
            count, first = jnp.where(here, words, count), jnp.where(here, start, first)
        ids = first + jnp.floor(drawn[:-1] * count).astype(jnp.int32)  # (T, B)
        praise = (ids[self.gap + 2] >= NOUNS + NEGATORS + POLAR // 2) ^ negated[0]
        return Batch(jax.nn.one_hot(ids, self.input_size), praise.astype(jnp.int32), every_step=False)
