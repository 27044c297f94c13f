"""The temporal order problem, task 6a of Hochreiter & Schmidhuber (1997), in the form of Pascanu et al. (2013)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp

from recurrax.tasks.task import Batch, Task, check_positive
from recurrax.typing import Array, Key

_SYMBOLS, _DISTRACTORS = 2, 4


@dataclass(frozen=True)
class TemporalOrder(Task):
    """Two of T inputs are an X or a Y each; at the last step say which of the four orders it was.

    x_p, x_q ∈ {X, Y},  p uniform over ⌊T/10⌋ .. ⌊T/5⌋,  q over ⌊2T/5⌋ .. ⌊T/2⌋;  elsewhere one of four distractors

    Targets are XX, XY, YX and YY, 0 to 3. The first symbol has to be kept for at most T - 1 - ⌊T/10⌋ steps, which is
    `lag`. "accuracy" is the fraction of orders said rightly.

    Fields: `length` T in steps, at least 3.

    Landmarks: knowing nothing, ln 4; knowing one of the two symbols, ln 2.

    >>> task = TemporalOrder(length=20)
    >>> batch = task.batch(jax.random.key(0), batch_size=3)
    >>> batch.xs.shape, batch.xs[..., :2].sum(axis=(0, 2)).tolist(), task.lag
    ((20, 3, 6), [2.0, 2.0, 2.0], 17)
    """

    length: int = 50

    def __post_init__(self):
        check_positive("length", self.length, least=3)

    @property
    def describes(self) -> str:
        return f"the order of two symbols among {self.length} inputs"

    @property
    def input_size(self) -> int:
        return _SYMBOLS + _DISTRACTORS

    @property
    def output_size(self) -> int:
        return _SYMBOLS**2

    @property
    def landmarks(self) -> Mapping[str, float]:
        return {"nothing known": math.log(4), "one symbol known": math.log(2)}

    @property
    def lag(self) -> int:
        return self.length - 1 - self.length // 10

    def with_lag(self, lag: int) -> "TemporalOrder":
        check_positive("lag", lag, least=2)
        length = lag + 1
        while length - 1 - length // 10 < lag:  # a step longer is at most a lag longer, so none is left out
            length += 1
        return replace(self, length=length)

    def batch(self, key: Key, batch_size: int) -> Batch:
        check_positive("batch_size", batch_size)
        drawn = jax.random.uniform(key, (self.length + 4, batch_size), jnp.float32)
        fillers = _SYMBOLS + jnp.floor(drawn[:-4] * _DISTRACTORS).astype(jnp.int32)  # (T, B)
        first, second, u, v = jnp.split(drawn[-4:], 4)  # (1, B) each
        first, second = (jnp.floor(symbol * _SYMBOLS).astype(jnp.int32) for symbol in (first, second))
        p = _place(u, self.length // 10, self.length // 5)
        q = _place(v, 2 * self.length // 5, self.length // 2)
        t = jnp.arange(self.length)[:, None]
        ids = jnp.where(t == p, first, jnp.where(t == q, second, fillers))
        return Batch(jax.nn.one_hot(ids, self.input_size), (_SYMBOLS * first + second)[0], every_step=False)


def _place(drawn: Array, first: int, last: int) -> Array:
    """From uniform numbers, steps uniform from `first` to `last`."""
    return first + jnp.floor(drawn * (last - first + 1))
