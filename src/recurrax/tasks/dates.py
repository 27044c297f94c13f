"""Dates in four written forms, translated into digits."""

import datetime
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from recurrax.tasks.translation import Translation
from recurrax.typing import Array, Key

MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)

FIRST, LAST = datetime.date(1900, 1, 1), datetime.date(1999, 12, 31)

LONGEST, DIGITS = 17, 8
"""Characters of "30 September 1999", and of 19990930."""


@dataclass(frozen=True)
class Dates(Translation):
    """A day of 1900 to 1999 in one of four written forms; after a wait say it as yyyymmdd.

    14 September 1965 | Sep 14, 1965 | 14.9.1965 | 9/14/1965  ->  19650914

    Days and forms are uniform, the source one character a step. See `Translation` for the answer, which is said with
    feedback, and for `pad` and `reverse`. The loss is in nats per digit.

    Landmarks, a mean over the 8 digits: nothing read, ln 36524 / 8; the year known, E[ln(days of the year)] / 8; the
    whole date but the day of its month, E[ln(days of the month)] / 8.

    >>> task = Dates(pad=3)
    >>> batch = task.batch(jax.random.key(0), batch_size=2)
    >>> batch.xs.shape == (28, 2, task.input_size), batch.targets[-8:-6].T.tolist()
    (True, [[1, 9], [1, 9]])
    """

    @property
    def describes(self) -> str:
        return f"the digits of a written date, {self.pad} blanks after it"

    @property
    def unit(self) -> str:
        return "nats per digit"

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        return LONGEST, 1 + len(characters()), DIGITS, 10

    @property
    def landmarks(self) -> Mapping[str, float]:
        days = _days()
        return {
            "nothing read": math.log(len(days)) / DIGITS,
            "year known": _mean_log_share([day.year for day in days]) / DIGITS,
            "year and month known": _mean_log_share([(day.year, day.month) for day in days]) / DIGITS,
        }

    def pairs(self, key: Key, batch_size: int) -> tuple[Array, Array, None]:
        form_key, day_key = jax.random.split(key)
        sources, answers = _table()
        form = jax.random.randint(form_key, (batch_size,), 0, len(sources))
        day = jax.random.randint(day_key, (batch_size,), 0, len(answers))
        source, answer = jnp.asarray(sources)[form, day], jnp.asarray(answers)[day]  # (B, LONGEST), (B, DIGITS)
        return source.T.astype(jnp.int32), answer.T.astype(jnp.int32), None


def written(day: datetime.date) -> tuple[str, str, str, str]:
    """A day in the four forms.

    >>> written(datetime.date(1965, 9, 14))
    ('14 September 1965', 'Sep 14, 1965', '14.9.1965', '9/14/1965')
    """
    month = MONTHS[day.month - 1]
    return (
        f"{day.day} {month} {day.year}",
        f"{month[:3]} {day.day}, {day.year}",
        f"{day.day}.{day.month}.{day.year}",
        f"{day.month}/{day.day}/{day.year}",
    )


def characters() -> str:
    """All characters that dates are written with; each has its place in this text, and 1, as its number."""
    return "".join(sorted(set("".join(MONTHS)) | set("0123456789 .,/")))


@functools.cache
def _days() -> list[datetime.date]:
    return [FIRST + datetime.timedelta(number) for number in range((LAST - FIRST).days + 1)]


@functools.cache
def _table() -> tuple[np.ndarray, np.ndarray]:
    """All sources as numbers (forms, days, LONGEST), and the digits of all answers (days, DIGITS), both uint8."""
    number = np.zeros(256, np.uint8)
    number[[ord(character) for character in characters()]] = range(1, 1 + len(characters()))
    forms = zip(*map(written, _days()), strict=True)
    text = "".join(source.ljust(LONGEST, "\0") for form in forms for source in form)
    answers = [[int(digit) for digit in f"{day:%Y%m%d}"] for day in _days()]
    sources = number[np.frombuffer(text.encode("ascii"), np.uint8)]
    return sources.reshape(-1, len(answers), LONGEST), np.array(answers, np.uint8)


def _mean_log_share(values: list) -> float:
    """The mean over all entries of ln(how many are equal to it)."""
    counts = np.unique(np.array(values), axis=0, return_counts=True)[1]
    return float(np.sum(counts * np.log(counts)) / len(values))
