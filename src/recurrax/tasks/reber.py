"""The embedded Reber grammar of Fahlman (1991), as Hochreiter & Schmidhuber (1997) use it."""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from recurrax.tasks.task import Batch, Task, accuracy, check_positive
from recurrax.typing import Array, Key

SYMBOLS = "BTPSXVE"

EDGES = (
    (("T", 1), ("P", 2)),
    (("S", 1), ("X", 3)),
    (("T", 2), ("V", 4)),
    (("X", 2), ("S", 5)),
    (("P", 3), ("V", 5)),
)
"""What may follow in each of the states 0 to 4 after B, and the state then; after state 5 comes E alone."""


@dataclass(frozen=True)
class Reber(Task):
    """At every step say the next symbol of a string whose second symbol comes again as its last but one.

    B o (B w E) o E,  o ∈ {T, P},  B w E a string of the Reber grammar with `inner` symbols, all of these equally likely

    A fair coin in every state of the grammar gives all strings of one length the same probability, 2^(2 - `inner`), so
    these are its strings of that length. Inputs are all symbols but the last, one-hot over BTPSXVE; targets are all but
    the first. After the inner E, o has to be known that was read `inner` steps before: that is `lag`. "outer symbol" is
    the fraction of strings in which it is said rightly there, "accuracy" that of all symbols.

    Fields: `inner` n in symbols, at least 5.

    Landmarks, with N(n) strings of n symbols and n + 3 predictions in each: "nothing known", ln 7; "outer symbol
    forgotten", (2 ln 2 + ln N(n)) / (n + 3). `floor`, the least loss there is, lies ln 2 / (n + 3) below that.

    >>> task = Reber(inner=8)
    >>> batch = task.batch(jax.random.key(0), batch_size=3)
    >>> batch.xs.shape, batch.targets[-1].tolist(), bool((batch.xs[1].argmax(-1) == batch.targets[-2]).all())
    ((11, 3, 7), [6, 6, 6], True)
    """

    inner: int = 16

    def __post_init__(self):
        check_positive("inner", self.inner, least=5)

    @property
    def describes(self) -> str:
        return f"the next symbol of an embedded Reber string, {self.inner} symbols inside"

    @property
    def unit(self) -> str:
        return "nats per symbol"

    @property
    def input_size(self) -> int:
        return len(SYMBOLS)

    @property
    def output_size(self) -> int:
        return len(SYMBOLS)

    @property
    def every_step(self) -> bool:
        return True

    @property
    def landmarks(self) -> Mapping[str, float]:
        forgotten = self.floor + math.log(2) / (self.inner + 3)
        return {"nothing known": math.log(len(SYMBOLS)), "outer symbol forgotten": forgotten}

    @property
    def floor(self) -> float:
        """The loss of who remembers the outer symbol: what comes first and inside nobody can know."""
        return (math.log(2) + math.log(_endings(self.inner - 2)[-1][0])) / (self.inner + 3)

    @property
    def lag(self) -> int:
        return self.inner

    def with_lag(self, lag: int) -> "Reber":
        check_positive("lag", lag, least=5)
        return Reber(inner=lag)

    def batch(self, key: Key, batch_size: int) -> Batch:
        check_positive("batch_size", batch_size)
        drawn = jax.random.uniform(key, (self.inner - 1, batch_size), jnp.float32)
        symbol_of, state_after = (jnp.asarray(table) for table in _tables())
        chances = jnp.asarray(_first_edge(self.inner - 2))

        def walk(state: Array, step: tuple[Array, Array]) -> tuple[Array, Array]:
            u, chance = step
            edge = (u >= chance[state]).astype(jnp.int32)
            return state_after[state, edge], symbol_of[state, edge]

        _, middle = jax.lax.scan(walk, jnp.zeros(batch_size, jnp.int32), (drawn[1:], chances))  # (inner - 2, B)
        outer = jnp.where(drawn[:1] < 0.5, SYMBOLS.index("T"), SYMBOLS.index("P"))
        first, last = (jnp.full((1, batch_size), SYMBOLS.index(symbol)) for symbol in "BE")
        ids = jnp.concatenate([first, outer, first, middle, last, outer, last]).astype(jnp.int32)  # (inner + 4, B)
        return Batch(jax.nn.one_hot(ids[:-1], self.input_size), ids[1:], every_step=True)

    def scores(self, predictions: Array, batch: Batch) -> Mapping[str, Array]:
        outer = Batch(batch.xs, batch.targets[-2], every_step=False)
        return {"accuracy": accuracy(predictions, batch), "outer symbol": accuracy(predictions[-2], outer)}


@functools.cache
def _endings(steps: int) -> list[list[int]]:
    """How many ways lead from each of the states 0 to 5 to state 5 in k steps, for k = 0 .. steps."""
    counts = [[0] * len(EDGES) + [1]]
    for _ in range(steps):
        counts.append([sum(counts[-1][state] for _, state in edges) for edges in EDGES] + [0])
    return counts


def _first_edge(steps: int) -> np.ndarray:
    """(steps, 6): the probability of a state's first edge, such that all ways of that many steps are equally likely."""
    counts = _endings(steps)
    ratios = [
        [fewer[edges[0][1]] / here if here else 0.0 for edges, here in zip(EDGES, more, strict=False)] + [0.0]
        for fewer, more in zip(counts[-2::-1], counts[:0:-1], strict=True)
    ]
    return np.array(ratios, np.float32)


def _tables() -> tuple[np.ndarray, np.ndarray]:
    """(6, 2) each: the symbol of every edge and the state after it."""
    edges = (*EDGES, (("E", 5), ("E", 5)))
    symbols = [[SYMBOLS.index(symbol) for symbol, _ in pair] for pair in edges]
    return np.array(symbols, np.int32), np.array([[state for _, state in pair] for pair in edges], np.int32)
