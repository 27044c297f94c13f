"""The copying problem of Hochreiter & Schmidhuber (1997), in the form of Arjovsky, Shah & Bengio (2016)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp

from recurrax.tasks.task import Batch, Task, accuracy, check_positive, exact_match
from recurrax.typing import Array, Key


@dataclass(frozen=True)
class Copy(Task):
    """A few symbols, then blanks, then a sign; from the sign on say the symbols in order.

    x_0 .. x_{n-1} = c_0 .. c_{n-1},  then `delay` inputs, blanks and last the sign,  then n blanks,  target c_i after
    step n + delay - 1 + i

    so each symbol has to be kept for n + delay - 1 steps, and let go of when it has been said. Inputs are one-hot over
    C symbols, the blank and the sign. The loss is in nats per symbol, over the n steps that say one. "accuracy" is the
    fraction of symbols said rightly, "exact match" that of whole sequences.

    Fields: `delay` in steps, at least 1; `count` n; `classes` C.

    Landmarks: knowing nothing, ln C; knowing all but one of the symbols, ln C / n.

    Differs from: Arjovsky, Shah & Bengio average over all T + 2n steps, blanks included, of which a predictor without
    memory loses n ln C / (T + 2n).

    >>> task = Copy(delay=5, count=2)
    >>> batch = task.batch(jax.random.key(0), batch_size=3)
    >>> batch.xs.shape, batch.weights.sum(axis=0).tolist(), task.lag
    ((8, 3, 10), [2.0, 2.0, 2.0], 6)
    """

    delay: int = 20
    count: int = 3
    classes: int = 8

    def __post_init__(self):
        check_positive("delay", self.delay)
        check_positive("count", self.count)
        check_positive("classes", self.classes, least=2)

    @property
    def describes(self) -> str:
        return f"the {self.count} symbols seen {self.lag} steps before, in order"

    @property
    def unit(self) -> str:
        return "nats per symbol"

    @property
    def input_size(self) -> int:
        return self.classes + 2

    @property
    def output_size(self) -> int:
        return self.classes

    @property
    def every_step(self) -> bool:
        return True

    @property
    def landmarks(self) -> Mapping[str, float]:
        nothing = math.log(self.classes)
        return {"nothing known": nothing} | ({"all but one known": nothing / self.count} if self.count > 1 else {})

    @property
    def lag(self) -> int:
        return self.count + self.delay - 1

    def with_lag(self, lag: int) -> "Copy":
        check_positive("lag", lag, least=self.count)
        return replace(self, delay=lag - self.count + 1)

    def batch(self, key: Key, batch_size: int) -> Batch:
        check_positive("batch_size", batch_size)
        n, blank, sign = self.count, self.classes, self.classes + 1
        symbols = jax.random.randint(key, (n, batch_size), 0, self.classes)
        waits = jnp.full((self.delay - 1, batch_size), blank)
        # The sign is the input of the step after which the first symbol is said.
        ids = jnp.concatenate([symbols, waits, jnp.full((1, batch_size), sign), jnp.full((n - 1, batch_size), blank)])
        targets = jnp.concatenate([jnp.zeros((self.lag, batch_size), jnp.int32), symbols])
        weights = jnp.concatenate([jnp.zeros((self.lag, batch_size)), jnp.ones((n, batch_size))])
        return Batch(jax.nn.one_hot(ids, self.input_size), targets, weights, every_step=True)

    def scores(self, predictions: Array, batch: Batch) -> Mapping[str, Array]:
        return {"accuracy": accuracy(predictions, batch), "exact match": exact_match(predictions, batch)}
