"""The Task contract, and the two losses tasks are scored with."""

import math
from collections.abc import Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from recurrax.typing import Array, Key


class Batch(NamedTuple):
    """xs (T, B, D) inputs; targets (B, ...) or (T, B, ...); weights, None or the shape of one loss per prediction."""

    xs: Array
    targets: Array
    weights: Array | None = None


@runtime_checkable
class Task(Protocol):
    """Data with a known relation to the past, and how well a prediction of it did.

    A task is a frozen dataclass: hashable, equal by value, buildable from a command line. Its methods are pure
    functions, so `batch` runs inside a compiled training loop and the same key always gives the same batch.
    """

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
        ...

    @property
    def landmarks(self) -> Mapping[str, float]:
        """Exact losses of predictors that know a stated part of the truth, by what they know."""
        ...

    def batch(self, key: Key, batch_size: int) -> Batch:
        """B sequences drawn with `key`."""
        ...

    def loss(self, predictions: Array, batch: Batch) -> Array:
        """The mean loss () of the predictions."""
        ...


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
    if predictions.shape != batch.targets.shape:
        raise ValueError(f"predictions: expected shape {batch.targets.shape}, got {predictions.shape}")
    return _mean(jnp.sum(jnp.square(predictions - batch.targets), axis=-1), batch.weights)


def cross_entropy(logits: Array, batch: Batch) -> Array:
    """Mean over predictions of -log softmax(logits)[target] in nats, weighted where the batch has weights.

    Raises:
        ValueError: the logits are not the shape of the targets and one axis of classes.
    """
    if logits.shape[:-1] != batch.targets.shape:
        raise ValueError(f"predictions: expected shape {(*batch.targets.shape, 'classes')}, got {logits.shape}")
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), batch.targets[..., None], axis=-1)
    return _mean(-jnp.squeeze(chosen, axis=-1), batch.weights)


def check_positive(name: str, value: int, least: int = 1) -> None:
    """Raises a ValueError unless `value` is an int of at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}: expected an int of at least {least}, got {value!r}")


def _mean(losses: Array, weights: Array | None) -> Array:
    if weights is None:
        return jnp.mean(losses)
    return jnp.sum(losses * weights) / jnp.sum(weights)
