"""The adding problem of Hochreiter & Schmidhuber (1997), in the form with values in [0, 1)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp

from recurrax.tasks.task import Batch, Task, check_positive, squared_error, within
from recurrax.typing import Array, Key


@dataclass(frozen=True)
class Adding(Task):
    """Two of T numbers are marked; at the last step say their sum.

    x_t = (u_t, m_t),  u_t ~ U[0, 1),  m_t = 1 at t = p and t = q, else 0,  target u_p + u_q

    p is uniform over the first half, 0 .. ⌊T/2⌋-1, and q over the rest, ⌊T/2⌋ .. T-1, so the first addend has to be
    kept for T - ⌊T/2⌋ to T - 1 steps; the longest is `lag`. The loss is the squared error of the one prediction after
    the last step; "accuracy" is the fraction of predictions within 0.04 of their target.

    Fields: `length` T in steps.

    Landmarks: predicting the mean, 1, costs Var(u_p + u_q) = 1/6; knowing one addend costs Var(u) = 1/12. A loss well
    below 1/12 therefore needs the addend of the first half.

    Differs from: the 1997 form has values in [-1, 1] and target 0.5 + (u_p + u_q)/4, whose mean costs 1/24; Arjovsky,
    Shah & Bengio (2016) draw values and markers as here. The 0.04 is that of Martens & Sutskever (2011).

    >>> task = Adding(length=10)
    >>> batch = task.batch(jax.random.key(0), batch_size=3)
    >>> batch.xs.shape, batch.targets.shape, batch.xs[..., 1].sum(axis=0).tolist()
    ((10, 3, 2), (3, 1), [2.0, 2.0, 2.0])
    """

    length: int = 50

    def __post_init__(self):
        check_positive("length", self.length, least=2)

    @property
    def describes(self) -> str:
        return f"the sum of two marked numbers among {self.length}"

    @property
    def unit(self) -> str:
        return "squared error"

    @property
    def input_size(self) -> int:
        return 2

    @property
    def output_size(self) -> int:
        return 1

    @property
    def landmarks(self) -> Mapping[str, float]:
        return {"mean predicted": 1 / 6, "one addend known": 1 / 12}

    @property
    def lag(self) -> int:
        return self.length - 1

    def with_lag(self, lag: int) -> "Adding":
        check_positive("lag", lag)
        return replace(self, length=lag + 1)

    def batch(self, key: Key, batch_size: int) -> Batch:
        check_positive("batch_size", batch_size)
        # One draw for values and positions: the generator is most of what there is to compile here.
        drawn = jax.random.uniform(key, (self.length + 2, batch_size), jnp.float32)
        u, v, w = jnp.split(drawn, [self.length, self.length + 1])
        half = self.length // 2
        p = jnp.floor(v * half)
        q = half + jnp.floor(w * (self.length - half))
        t = jnp.arange(self.length)[:, None]
        marked = (t == p) | (t == q)
        targets = jnp.sum(jnp.where(marked, u, 0), axis=0)
        return Batch(xs=jnp.stack([u, marked.astype(u.dtype)], axis=-1), targets=targets[:, None], every_step=False)

    def needed(self, xs: Array) -> Array:
        """Which inputs (T, B) count: the two that are marked."""
        return xs[..., 1] > 0

    def loss(self, predictions: Array, batch: Batch) -> Array:
        return squared_error(predictions, batch)

    def scores(self, predictions: Array, batch: Batch) -> Mapping[str, Array]:
        return {"accuracy": within(0.04, predictions, batch)}
