"""Numbers in English words, translated into digits."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from recurrax.tasks.translation import Translation
from recurrax.typing import Array, Key

WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
    *("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred", "thousand"),
)
"""Each has its place here, and 1, as its number."""

LONGEST, DIGITS = 9, 6
"""Words of 777777, and its digits."""

ZERO, TWENTY, HUNDRED, THOUSAND = (1 + WORDS.index(word) for word in ("zero", "twenty", "hundred", "thousand"))


@dataclass(frozen=True)
class NumberWords(Translation):
    """A number from 0 to 999,999 in words; after a wait say its six digits.

    seven hundred twelve thousand forty five  ->  712045

    Numbers are uniform, the source is one word a step. See `Translation` for the answer, which is said with feedback,
    and for `pad` and `reverse`. The loss is in nats per digit.

    Landmarks: nothing read, ln 10; the thousands known, ln 10 / 2.

    >>> task = NumberWords(pad=3)
    >>> task.batch(jax.random.key(0), batch_size=2).xs.shape, task.lag
    ((18, 2, 42), 17)
    """

    @property
    def describes(self) -> str:
        return f"the digits of a number in words, {self.pad} blanks after it"

    @property
    def unit(self) -> str:
        return "nats per digit"

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        return LONGEST, 1 + len(WORDS), DIGITS, 10

    @property
    def landmarks(self) -> Mapping[str, float]:
        return {"nothing read": math.log(10), "thousands known": math.log(10) / 2}

    def pairs(self, key: Key, batch_size: int) -> tuple[Array, Array, None]:
        number = jax.random.randint(key, (batch_size,), 0, 10**DIGITS)
        digits = jnp.stack([number // 10**place % 10 for place in reversed(range(DIGITS))])
        return in_words(number), digits, None


def in_words(number: Array) -> Array:
    """The words of numbers (B,) below a million, by their numbers (LONGEST, B), 0 where a place has no word.

    >>> [WORDS[word - 1] for word in in_words(jnp.array([40_017]))[:, 0].tolist() if word]
    ['forty', 'thousand', 'seventeen']
    """
    below_1000 = jnp.asarray(_below_1000())
    thousands, rest = below_1000[number // 1000].T, below_1000[number % 1000].T  # (4, B) each
    thousand = jnp.where(number >= 1000, THOUSAND, 0)[None]
    return jnp.concatenate([thousands, thousand, rest.at[-1].set(jnp.where(number == 0, ZERO, rest[-1]))])


def _below_1000() -> np.ndarray:
    """(1000, 4): the words of a hundred's digit, "hundred", tens, ones or teens; 0 for none."""
    hundreds, rest = np.divmod(np.arange(1000), 100)
    tens, ones = np.where(rest < 20, 0, rest // 10), np.where(rest < 20, rest, rest % 10)
    columns = [
        np.where(hundreds > 0, ZERO + hundreds, 0),
        np.where(hundreds > 0, HUNDRED, 0),
        np.where(tens > 0, TWENTY + tens - 2, 0),
        np.where(ones > 0, ZERO + ones, 0),
    ]
    return np.stack(columns, axis=1).astype(np.int32)
