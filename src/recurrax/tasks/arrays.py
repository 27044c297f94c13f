"""Data of one's own, held as arrays on the host: batches without replacement, an epoch after the other."""

import functools
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from recurrax.tasks.task import Batch, check_positive


@dataclass(frozen=True, eq=False)
class Arrays:
    """Batches of given sequences, for `Training(batches=...)`: every sequence once an epoch, in a new order each time.

    The orders of all epochs follow one another, and batch i takes places i B to i B + B - 1 of them: where B does not
    divide N, a batch holds the end of one epoch and the start of the next. An order is a function of (seed, epoch), so
    training goes on from any step bit for bit.

    Fields:
        xs: inputs (T, N, ...), time first, or a pytree of such arrays.
        targets: (T, N, ...) with `every_step`, else (N, ...).
        batch_size: B, at most N.
        every_step: whether a prediction is wanted at every step.
        weights: of the predictions, (T, N) or (N,); None where all count alike.
        mask: of the inputs, (T, N) bools; None where all sequences are as long.

    Raises:
        ValueError: the arrays do not agree on N, or it is less than B.

    >>> batches = Arrays(xs=np.zeros((5, 4, 2)), targets=np.arange(4)[:, None], batch_size=2)
    >>> sorted(np.concatenate([batches(seed=0, step=step).targets[:, 0] for step in (0, 1)]).tolist())
    [0, 1, 2, 3]
    """

    xs: Any
    targets: Any
    batch_size: int
    every_step: bool = False
    weights: Any = None
    mask: Any = None

    def __post_init__(self):
        check_positive("batch_size", self.batch_size)
        for name in ("xs", "targets", "weights", "mask"):
            object.__setattr__(self, name, jax.tree.map(np.asarray, getattr(self, name)))
        whole = self._whole
        counts = jax.tree.leaves(jax.tree.map(lambda axis, part: _counts(part, axis), whole.batch_axes, whole))
        if len(set(counts)) != 1:
            raise ValueError(f"xs, targets: expected one number of sequences N in all, got {sorted(set(counts))}")
        if counts[0] < self.batch_size:
            raise ValueError(f"batch_size: expected at most the {counts[0]} sequences, got {self.batch_size}")

    @property
    def size(self) -> int:
        """N, the number of sequences."""
        return jax.tree.leaves(self.xs)[0].shape[1]

    @property
    def steps_per_epoch(self) -> float:
        """N / B, after how many steps every sequence has been seen once more."""
        return self.size / self.batch_size

    def __call__(self, seed: int, step: int) -> Batch:
        """The batch of a step."""
        places = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs, places = np.divmod(places, self.size)
        orders = [_order(seed, int(epoch), self.size) for epoch in epochs]
        chosen = np.array([order[place] for order, place in zip(orders, places, strict=True)])

        def take(axis: int, part: Any) -> Any:
            return jax.tree.map(lambda leaf: np.take(leaf, chosen, axis), part)

        return jax.tree.map(take, self._whole.batch_axes, self._whole)

    @property
    def _whole(self) -> Batch:
        return Batch(self.xs, self.targets, self.weights, self.mask, every_step=self.every_step)


def _counts(part: Any, axis: int) -> list[int]:
    leaves = jax.tree.leaves(part)
    if any(leaf.ndim <= axis for leaf in leaves):
        raise ValueError(f"xs, targets: expected more than {axis} axes, got shapes {[leaf.shape for leaf in leaves]}")
    return [leaf.shape[axis] for leaf in leaves]


@functools.lru_cache(maxsize=64)
def _order(seed: int, epoch: int, size: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(size)
