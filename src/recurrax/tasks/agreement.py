"""Agreement of a verb with a subject far back: language modelling with one dependency of known length."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from recurrax.tasks.task import Batch, Task, accuracy, check_positive
from recurrax.typing import Array, Key

NOUNS, VERBS, FILLERS = 8, 8, 4
"""Words of each kind, numbered in this order, then the comma; the first half of nouns and verbs is singular."""

COMMA = NOUNS + VERBS + FILLERS


@dataclass(frozen=True)
class Agreement(Task):
    """At every step say the next word of: subject, words of a clause, comma, a verb in the subject's number.

    x = noun, `clause` - 1 words that are nouns or fillers, comma;  targets: the word after each, at last the verb

    All draws are uniform: 8 nouns and 8 verbs, half of them singular, and 4 fillers. The nouns of the clause are
    attractors, which the verb does not heed. The comma has no weight as a target, so nobody needs to count; as an input
    it says that the verb comes. "accuracy" is the fraction of words said rightly, which chance keeps low; "verb number"
    that of sentences in which the likeliest word at the end is a verb of the right number.

    Fields: `clause` k in words, its comma included, at least 2; the subject lies k steps back: that is `lag`.

    Landmarks, over the k predictions with weight: "nothing known", ln 21 of the whole vocabulary; "number forgotten",
    ((k - 1) ln 12 + ln 8) / k. `floor`, the least loss there is, lies ln 2 / k below that: memory of the number is
    worth exactly ln 2 at the verb.

    >>> task = Agreement(clause=5)
    >>> batch = task.batch(jax.random.key(0), batch_size=3)
    >>> batch.xs.shape, batch.weights.sum(axis=0).tolist()
    ((6, 3, 21), [5.0, 5.0, 5.0])
    """

    clause: int = 16

    def __post_init__(self):
        check_positive("clause", self.clause, least=2)

    @property
    def describes(self) -> str:
        return f"the next word, and after {self.clause} a verb that agrees with the subject"

    @property
    def unit(self) -> str:
        return "nats per word"

    @property
    def input_size(self) -> int:
        return COMMA + 1

    @property
    def output_size(self) -> int:
        return COMMA + 1

    @property
    def every_step(self) -> bool:
        return True

    @property
    def landmarks(self) -> Mapping[str, float]:
        forgotten = self.floor + math.log(2) / self.clause
        return {"nothing known": math.log(self.output_size), "number forgotten": forgotten}

    @property
    def floor(self) -> float:
        """The loss of who remembers the subject's number: which words come nobody can know."""
        return ((self.clause - 1) * math.log(NOUNS + FILLERS) + math.log(VERBS / 2)) / self.clause

    @property
    def lag(self) -> int:
        return self.clause

    def with_lag(self, lag: int) -> "Agreement":
        check_positive("lag", lag, least=2)
        return Agreement(clause=lag)

    def batch(self, key: Key, batch_size: int) -> Batch:
        check_positive("batch_size", batch_size)
        # One draw for all: the generator is most of what there is to compile here.
        drawn = jax.random.uniform(key, (self.clause + 1, batch_size), jnp.float32)
        subject = jnp.floor(drawn[:1] * NOUNS).astype(jnp.int32)
        words = jnp.floor(drawn[1:-1] * (NOUNS + FILLERS)).astype(jnp.int32)
        words = jnp.where(words < NOUNS, words, words + VERBS)  # (k - 1, B)
        half = VERBS // 2
        verb = NOUNS + half * (subject >= NOUNS // 2) + jnp.floor(drawn[-1:] * half).astype(jnp.int32)
        ids = jnp.concatenate([subject, words, jnp.full((1, batch_size), COMMA), verb])  # (k + 2, B)
        targets = ids[1:]
        return Batch(
            jax.nn.one_hot(ids[:-1], self.input_size), targets, (targets != COMMA).astype(jnp.float32), every_step=True
        )

    def scores(self, predictions: Array, batch: Batch) -> Mapping[str, Array]:
        said, right = (ids - NOUNS for ids in (jnp.argmax(predictions[-1], axis=-1), batch.targets[-1]))
        number = (said >= 0) & (said < VERBS) & (said // (VERBS // 2) == right // (VERBS // 2))
        return {"accuracy": accuracy(predictions, batch), "verb number": jnp.mean(number.astype(jnp.float32))}
