"""Sequences of a user's own files as a task: aligned at their ends, some held out, silence appended."""

import abc
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np

from recurrax.tasks.arrays import Arrays
from recurrax.tasks.examples import Data, Examples
from recurrax.tasks.task import (
    Batch,
    Task,
    accuracy,
    check_positive,
    cross_entropy,
    frequencies_loss,
    squared_error,
    within,
)
from recurrax.typing import Array, Key


class Sequences(Task):
    """After a sequence and `silence` zeros, say which class it was of, or its number.

    Features have mean 0 and variance 1 over the steps trained on. Shorter sequences begin later, and `Batch.mask` says
    from where on: `Readout.predict(params, batch.xs, batch.mask)`. The file is read once per process. "accuracy" is the
    fraction of classes told rightly; of numbers, that of those within a tenth of the standard deviation of all targets.

    Landmarks: of classes, "nothing known", ln of their number, and "frequencies known", what the shares of the classes
    trained on lose on those held out; of numbers, "mean predicted", what the mean does. A class of such tasks has the
    fields `path` and `silence`.
    """

    path: str
    silence: int

    @property
    @abc.abstractmethod
    def data(self) -> Data:
        """What the files hold, read on first use."""

    @property
    def source(self) -> str:
        """What was read, to be recorded with every result."""
        return self.data.source

    @property
    def describes(self) -> str:
        what = f"which of {len(self.data.labels)} classes a sequence was" if self.data.labels else "a sequence's number"
        return f"{what}, {self.silence} steps after its end"

    @property
    def unit(self) -> str:
        return "nats" if self.data.labels else "squared error"

    @property
    def input_size(self) -> int:
        return self.data.train.xs.shape[-1]

    @property
    def output_size(self) -> int:
        return len(self.data.labels) or self.data.train.targets.shape[-1]

    @property
    def landmarks(self) -> Mapping[str, float]:
        train, held, labels = self.data.train.targets, self.data.held.targets, self.data.labels
        if not labels:
            return {"mean predicted": float(np.mean(np.sum((held - train.mean(axis=0)) ** 2, axis=-1)))}
        frequencies = frequencies_loss(train, held, len(labels))
        return {"nothing known": math.log(len(labels)), "frequencies known": frequencies}

    @property
    def majority(self) -> float:
        """The fraction of held-out sequences that are of the most frequent class of those trained on."""
        return float(np.mean(self.data.held.targets == np.bincount(self.data.train.targets).argmax()))

    @property
    def lag(self) -> int:
        return len(self.data.train.xs) - 1 + self.silence

    def with_lag(self, lag: int) -> Self:
        least = len(self.data.train.xs) - 1
        check_positive("lag", lag, least=max(least, 1))
        return replace(self, silence=lag - least)  # pyright: ignore[reportArgumentType]

    def batch(self, key: Key, batch_size: int) -> Batch:
        check_positive("batch_size", batch_size)
        train = self.data.train
        return self._shown(train, jax.random.randint(key, (batch_size,), 0, len(train.targets)))

    def held_out(self, batch_size: int) -> Batch:
        """The first B held-out sequences.

        Raises:
            ValueError: there are less than B.
        """
        check_positive("batch_size", batch_size)
        held = self.data.held
        if batch_size > len(held.targets):
            raise ValueError(
                f"batch_size: expected at most the {len(held.targets)} sequences held out, got {batch_size}"
            )
        return self._shown(held, jnp.arange(batch_size))

    def arrays(self, batch_size: int) -> Arrays:
        """The sequences trained on, for `Training(batches=...)`: each once an epoch, none a part of the program."""
        whole = jax.tree.map(np.asarray, self._shown(self.data.train, jnp.arange(len(self.data.train.targets))))
        return Arrays(whole.xs, whole.targets, batch_size, mask=whole.mask)

    def loss(self, predictions: Array, batch: Batch) -> Array:
        return (cross_entropy if self.data.labels else squared_error)(predictions, batch)

    def scores(self, predictions: Array, batch: Batch) -> Mapping[str, Array]:
        if self.data.labels:
            return {"accuracy": accuracy(predictions, batch)}
        return {"accuracy": within(0.1 * float(self.data.train.targets.std()), predictions, batch)}

    def _shown(self, examples: Examples, chosen: Array) -> Batch:
        xs, mask = jnp.asarray(examples.xs)[:, chosen], jnp.asarray(examples.mask)[:, chosen]
        xs = jnp.concatenate([xs, jnp.zeros((self.silence, *xs.shape[1:]))])
        mask = jnp.concatenate([mask, jnp.ones((self.silence, len(chosen)), bool)])
        return Batch(xs, jnp.asarray(examples.targets)[chosen], mask=mask, every_step=False)
