"""Tasks: data whose relevant lag is known, with losses whose exact landmarks say what was learned.

A new task is one file here and one line in `ALL`. The contract is `recurrax.tasks.task.Task`. Tasks of a user's own
files are those of `OF_FILES`.
"""

from recurrax.tasks.adding import Adding
from recurrax.tasks.agreement import Agreement
from recurrax.tasks.arrays import Arrays
from recurrax.tasks.characters import Characters
from recurrax.tasks.copy import Copy
from recurrax.tasks.corpus import Corpus, standard_library
from recurrax.tasks.dates import Dates
from recurrax.tasks.digits import Digits
from recurrax.tasks.japanese_vowels import JapaneseVowels
from recurrax.tasks.number_words import NumberWords
from recurrax.tasks.pairs import Pairs
from recurrax.tasks.reber import Reber
from recurrax.tasks.recall import Recall
from recurrax.tasks.recordings import Recordings
from recurrax.tasks.sentiment import Sentiment
from recurrax.tasks.sequences import Sequences
from recurrax.tasks.tables import Tables
from recurrax.tasks.task import Batch, Task, accuracy, bits, cross_entropy, exact_match, squared_error, within
from recurrax.tasks.temporal_order import TemporalOrder
from recurrax.tasks.text import Text
from recurrax.tasks.text_files import TextFiles
from recurrax.tasks.time_series import TimeSeries
from recurrax.tasks.tones import Tones
from recurrax.tasks.translation import Translation

ALL = (
    Adding,
    Agreement,
    Characters,
    Copy,
    Dates,
    Digits,
    NumberWords,
    Reber,
    Recall,
    Sentiment,
    TemporalOrder,
    Tones,
)
"""Every task class of the library; each can be built with no argument."""

OF_FILES = (
    JapaneseVowels,
    Pairs,
    Recordings,
    Tables,
    TextFiles,
    TimeSeries,
)
"""Every task class that reads a `path`, its one field without a default."""

__all__ = [
    "ALL",
    "OF_FILES",
    "Adding",
    "Agreement",
    "Arrays",
    "Batch",
    "Characters",
    "Copy",
    "Corpus",
    "Dates",
    "Digits",
    "JapaneseVowels",
    "NumberWords",
    "Pairs",
    "Reber",
    "Recall",
    "Recordings",
    "Sentiment",
    "Sequences",
    "Tables",
    "Task",
    "TemporalOrder",
    "Text",
    "TextFiles",
    "TimeSeries",
    "Tones",
    "Translation",
    "accuracy",
    "bits",
    "cross_entropy",
    "exact_match",
    "named",
    "squared_error",
    "standard_library",
    "within",
]


def named(name: str) -> type:
    """The task class of that name, upper or lower case.

    Raises:
        ValueError: no task of `ALL` or `OF_FILES` has that name.

    >>> named("adding") is Adding
    True
    """
    for task in (*ALL, *OF_FILES):
        if task.__name__.lower() == name.lower():
            return task
    known = ", ".join(task.__name__ for task in (*ALL, *OF_FILES))
    raise ValueError(f"task: unknown name {name!r}; expected one of {known}")
