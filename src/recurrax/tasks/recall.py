"""Recall of one symbol over distractors: the plainest question of range."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp

from recurrax.tasks.task import Batch, Task, check_positive, held_out_key
from recurrax.typing import Array, Key


@dataclass(frozen=True)
class Recall(Task):
    """One of T inputs is a symbol, the others are distractors; at the last step say which symbol it was.

    x_p = onehot(c),  elsewhere x_t = onehot(C + d_t),  c and d_t uniform over 0 .. C-1,  target c

    The symbol is the first input, p = 0, so every example asks for the longest lag, T - 1. With `ladder`, p is uniform
    over all steps but the last, and training sees all lags from 1 to T - 1; held-out examples ask for the longest in
    either case. "accuracy" is the fraction of symbols said rightly.

    Fields: `length` T in steps; `classes` C; `ladder`.

    Landmarks: knowing nothing, ln C; with more than two symbols, and an even number, knowing in which half of them the
    symbol is, ln C/2.

    >>> task = Recall(length=10)
    >>> batch = task.batch(jax.random.key(0), batch_size=3)
    >>> batch.xs.shape, (batch.xs[0, :, :4].argmax(axis=-1) == batch.targets).all().item()
    ((10, 3, 8), True)
    """

    length: int = 50
    classes: int = 4
    ladder: bool = False

    def __post_init__(self):
        check_positive("length", self.length, least=2)
        check_positive("classes", self.classes, least=2)

    @property
    def describes(self) -> str:
        where = "one of" if self.ladder else "the first of"
        return f"which of {self.classes} symbols was {where} {self.length} inputs"

    @property
    def input_size(self) -> int:
        return 2 * self.classes

    @property
    def output_size(self) -> int:
        return self.classes

    @property
    def landmarks(self) -> Mapping[str, float]:
        half = {"half of the symbols excluded": math.log(self.classes / 2)}
        return {"nothing known": math.log(self.classes)} | (half if self.classes > 2 and self.classes % 2 == 0 else {})

    @property
    def lag(self) -> int:
        return self.length - 1

    def with_lag(self, lag: int) -> "Recall":
        check_positive("lag", lag)
        return replace(self, length=lag + 1)

    def batch(self, key: Key, batch_size: int) -> Batch:
        check_positive("batch_size", batch_size)
        # One draw for all: the generator is most of what there is to compile here.
        drawn = jax.random.uniform(key, (self.length + 2, batch_size), jnp.float32)
        symbols = jnp.floor(drawn[:-1] * self.classes).astype(jnp.int32)  # (T+1, B)
        place = jnp.floor(drawn[-1:] * (self.length - 1)) if self.ladder else jnp.zeros((1, batch_size))
        here = jnp.arange(self.length)[:, None] == place  # (T, B)
        ids = jnp.where(here, symbols[-1:], self.classes + symbols[:-1])
        return Batch(xs=jax.nn.one_hot(ids, self.input_size), targets=symbols[-1], every_step=False)

    def needed(self, xs: Array) -> Array:
        """Which inputs (T, B) count: the symbol."""
        return jnp.any(xs[..., : self.classes] > 0, axis=-1)

    def held_out(self, batch_size: int) -> Batch:
        return replace(self, ladder=False).batch(held_out_key(), batch_size)
