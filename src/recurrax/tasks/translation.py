"""What translations share: a source is read, a wait, then the answer is said with what was said as the next input."""

import abc
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import jax
import jax.numpy as jnp

from recurrax.tasks.task import Batch, Task, accuracy, check_positive, exact_match
from recurrax.typing import Array, Key


@dataclass(frozen=True)
class Translation(Task):
    """A source of up to S symbols, `pad` blanks, a sign, and from the sign on the n symbols of an answer.

    x = source (S, right-aligned), blanks (`pad`), sign, a_0 .. a_{n-2};  targets a_0 .. a_{n-1} at the last n steps

    Only these have weight. Inputs are one-hot over blank and source symbols, the sign, and the answer's symbols. Each
    input of the answer is the true symbol before. A network that reads its own likeliest symbols instead says the whole
    answer rightly exactly where it does so with the true ones: up to its first error it has read the same. So "exact
    match" is that of free-running decoding; `encode` makes a symbol the next input for whoever wants to see one.

    Fields: `pad` in steps; `reverse`, the source from its end to its start. `lag` is the longest that a source's first
    symbol lies before the last of the answer, T - 1.
    """

    pad: int = 8
    reverse: bool = False

    def __post_init__(self):
        check_positive("pad", self.pad, least=0)

    @property
    @abc.abstractmethod
    def sizes(self) -> tuple[int, int, int, int]:
        """S steps of a source, its symbols and the blank together, n steps of an answer, the answer's symbols."""

    @abc.abstractmethod
    def pairs(self, key: Key, batch_size: int) -> tuple[Array, Array, Any]:
        """Sources (S, B), 0 for no symbol anywhere in them; answers (n, B); and weights (n, B) of these, or None."""

    @property
    def unit(self) -> str:
        return "nats per symbol"

    @property
    def input_size(self) -> int:
        _, symbols, _, classes = self.sizes
        return symbols + 1 + classes

    @property
    def output_size(self) -> int:
        return self.sizes[3]

    @property
    def every_step(self) -> bool:
        return True

    @property
    def lag(self) -> int:
        return self._least_lag + self.pad

    def with_lag(self, lag: int) -> Self:
        check_positive("lag", lag, least=self._least_lag)
        return replace(self, pad=lag - self._least_lag)

    def encode(self, symbols: Array) -> Array:
        """The inputs (..., D) that say these symbols (...) of an answer."""
        return jax.nn.one_hot(self.sizes[1] + 1 + symbols, self.input_size)

    def batch(self, key: Key, batch_size: int) -> Batch:
        check_positive("batch_size", batch_size)
        return self._batch(*self.pairs(key, batch_size))

    def scores(self, predictions: Array, batch: Batch) -> Mapping[str, Array]:
        return {"accuracy": accuracy(predictions, batch), "exact match": exact_match(predictions, batch)}

    @property
    def _least_lag(self) -> int:
        return self.sizes[0] + self.sizes[2] - 1

    def _batch(self, source: Array, answer: Array, weights: Any = None) -> Batch:
        """The batch of pairs as `pairs` gives them."""
        batch_size, sign = source.shape[1], self.sizes[1]
        source = _right_aligned(source[::-1] if self.reverse else source)
        wait = len(source) + self.pad
        read = jnp.concatenate([source, jnp.zeros((self.pad, batch_size), int), jnp.full((1, batch_size), sign)])
        xs = jnp.concatenate([jax.nn.one_hot(read, self.input_size), self.encode(answer[:-1])])  # (T, B, D)
        none = jnp.zeros((wait, batch_size))
        targets = jnp.concatenate([none.astype(jnp.int32), answer.astype(jnp.int32)])
        weights = jnp.concatenate([none, jnp.ones(answer.shape) if weights is None else weights])
        return Batch(xs, targets, weights, every_step=True)


def _right_aligned(ids: Array) -> Array:
    """(S, B): the same symbols in their order, after all zeros."""
    return jnp.take_along_axis(ids, jnp.argsort(ids != 0, axis=0, stable=True), axis=0)
