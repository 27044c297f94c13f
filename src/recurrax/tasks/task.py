"""The Task contract, and the losses and scores of predictions."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol, Self, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from recurrax.typing import Array, Key

_HELD_OUT = 0x68656C64
"""Folded into key 0. Training folds in the numbers of its own purposes, all below 10, and then a step."""


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["xs", "targets", "weights", "mask", "keys"],
    meta_fields=["every_step"],
)
@dataclass(frozen=True)
class Batch:
    """B sequences and what is to be said of them; a pytree that knows which of its axes is B.

    Fields:
        xs: inputs, (T, B, D), or any pytree of arrays (T, B, ...).
        targets: (T, B, ...) where a prediction is wanted at every step, else (B, ...).
        weights: of the predictions, (T, B) or (B,); None where all count alike.
        mask: of the inputs, (T, B) bools, False at the steps before a shorter sequence begins; None where all are long.
        every_step: whether a prediction is wanted at every step.
        keys: (B,), what a cell that needs chance draws from in each row; None for no chance.

    >>> batch = Batch(xs=jnp.zeros((5, 3, 2)), targets=jnp.zeros((3, 1)), every_step=False)
    >>> batch.batch_axes.xs, batch.batch_axes.targets
    (1, 0)
    """

    xs: Any
    targets: Any
    weights: Array | None = None
    mask: Array | None = None
    every_step: bool = field(kw_only=True)
    keys: Key | None = field(default=None, kw_only=True)

    def with_keys(self, key: Key) -> Self:
        """The same batch with a key for each row, for `Readout.predict(params, batch.xs, batch.mask, batch.keys)`."""
        rows = jax.tree.leaves(self.xs)[0].shape[1]
        return replace(self, keys=jax.random.split(key, rows))

    @property
    def batch_axes(self) -> Self:
        """Which axis of each field is B: a Batch of ints, a prefix of this one as a pytree."""
        axis = 1 if self.every_step else 0
        weights: Any = None if self.weights is None else axis
        mask: Any = None if self.mask is None else 1
        keys: Any = None if self.keys is None else 0
        return type(self)(1, axis, weights, mask, every_step=self.every_step, keys=keys)


@runtime_checkable
class Task(Protocol):
    """Data with a known relation to the past, and how well a prediction of it did.

    A task is a frozen dataclass: hashable, equal by value, buildable from a command line. Its methods are pure
    functions, so `batch` runs inside a compiled training loop and the same key always gives the same batch. Inherit
    from this class to be given what most tasks share (classes to tell after the last step, in nats, held-out data
    drawn with a key of their own), or write a class with the same members: the contract is structural. A task whose
    data may differ between machines also says `source`, a text that reports carry; one that knows which inputs a
    prediction needs says so by `needed(xs)`, bools (T, B).
    """

    @property
    def describes(self) -> str:
        """What is to be predicted, one noun phrase: "the sum of two marked numbers among 50"."""
        ...

    @property
    def unit(self) -> str:
        """The unit of `loss`, as an axis of a figure has it: "nats per character"; "nats" unless a task says more."""
        return "nats"

    @property
    def input_size(self) -> int:
        """D, the features of an input."""
        ...

    @property
    def output_size(self) -> int:
        """Numbers in one prediction."""
        ...

    @property
    def every_step(self) -> bool:
        """Whether predictions (T, B, output_size) are wanted at every step, or (B, output_size) at the last one."""
        return False

    @property
    def landmarks(self) -> Mapping[str, float]:
        """Exact losses of predictors that know a stated part of the truth, by what they know."""
        ...

    @property
    def lag(self) -> int:
        """The longest relevant lag: steps from an input to the last prediction that may need it."""
        ...

    def with_lag(self, lag: int) -> Self:
        """The same task with another longest relevant lag."""
        ...

    def batch(self, key: Key, batch_size: int) -> Batch:
        """B sequences drawn with `key`."""
        ...

    def loss(self, predictions: Array, batch: Batch) -> Array:
        """The mean loss () of the predictions; their cross entropy unless a task says otherwise."""
        return cross_entropy(predictions, batch)

    def scores(self, predictions: Array, batch: Batch) -> Mapping[str, Array]:
        """Fractions () from 0 to 1 of what was right, by name: "accuracy", "exact match"."""
        return {"accuracy": accuracy(predictions, batch)}

    def held_out(self, batch_size: int) -> Batch:
        """B sequences, always the same, that training does not see: drawn with a key that no training step has."""
        return self.batch(held_out_key(), batch_size)


def held_out_key() -> Key:
    """The key of held-out data, which no step of a training has."""
    return jax.random.fold_in(jax.random.key(0), _HELD_OUT)


def bits(nats: float) -> float:
    """Bits from nats.

    >>> bits(math.log(2))
    1.0
    """
    return nats / math.log(2)


def squared_error(predictions: Array, batch: Batch) -> Array:
    """Mean over predictions of ‖ŷ - y‖², weighted where the batch has weights.

    Raises:
        ValueError: the predictions do not have the shape of the targets.
    """
    _check_numbers(predictions, batch)
    return _mean(jnp.sum(jnp.square(predictions - batch.targets), axis=-1), batch)


def within(tolerance: float, predictions: Array, batch: Batch) -> Array:
    """The fraction of predictions of which no number is further than `tolerance` from its target.

    Raises:
        ValueError: the predictions do not have the shape of the targets.
    """
    _check_numbers(predictions, batch)
    return _mean(jnp.all(jnp.abs(predictions - batch.targets) <= tolerance, axis=-1).astype(jnp.float32), batch)


def cross_entropy(logits: Array, batch: Batch) -> Array:
    """Mean over predictions of -log softmax(logits)[target] in nats, weighted where the batch has weights.

    Raises:
        ValueError: the logits are not the shape of the targets and one axis of classes.
    """
    _check_classes(logits, batch)
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), batch.targets[..., None], axis=-1)
    return _mean(-jnp.squeeze(chosen, axis=-1), batch)


def accuracy(logits: Array, batch: Batch) -> Array:
    """The fraction of predictions whose largest logit is the target's, weighted where the batch has weights.

    Raises:
        ValueError: the logits are not the shape of the targets and one axis of classes.
    """
    _check_classes(logits, batch)
    return _mean((jnp.argmax(logits, axis=-1) == batch.targets).astype(jnp.float32), batch)


def exact_match(logits: Array, batch: Batch) -> Array:
    """The fraction of sequences of which every prediction that has weight is right.

    Raises:
        ValueError: the logits are not the shape of the targets and one axis of classes.
    """
    _check_classes(logits, batch)
    right = jnp.argmax(logits, axis=-1) == batch.targets
    if batch.weights is not None:
        right |= batch.weights == 0
    return jnp.mean((jnp.all(right, axis=0) if batch.every_step else right).astype(jnp.float32))


def frequencies_loss(train: np.ndarray, held: np.ndarray, classes: int) -> float:
    """The mean over `held` of -ln p, p being the shares of classes in `train` with one added to every count, in nats.

    >>> round(math.exp(-frequencies_loss(np.array([0, 0, 1]), np.array([0]), classes=2)), 6)  # (2 + 1) / (3 + 2)
    0.6
    """
    counts = np.bincount(train, minlength=classes) + 1
    return float(-np.mean(np.log(counts[held] / counts.sum())))


def check_positive(name: str, value: int, least: int = 1) -> None:
    """Raises a ValueError unless `value` is an int of at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}: expected an int of at least {least}, got {value!r}")


def _check_numbers(predictions: Array, batch: Batch) -> None:
    if predictions.shape != batch.targets.shape:
        raise ValueError(f"predictions: expected shape {batch.targets.shape}, got {predictions.shape}")


def _check_classes(logits: Array, batch: Batch) -> None:
    if logits.shape[:-1] != batch.targets.shape:
        raise ValueError(f"predictions: expected shape {(*batch.targets.shape, 'classes')}, got {logits.shape}")


def _mean(values: Array, batch: Batch) -> Array:
    if batch.weights is None:
        return jnp.mean(values)
    return jnp.sum(values * batch.weights) / jnp.sum(batch.weights)
