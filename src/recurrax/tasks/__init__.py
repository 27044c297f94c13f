"""Tasks: data whose relevant lag is known, with losses whose exact landmarks say what was learned.

A new task is one file here and one line in `ALL`. The contract is `recurrax.tasks.task.Task`.
"""

from recurrax.tasks.adding import Adding
from recurrax.tasks.agreement import Agreement
from recurrax.tasks.arrays import Arrays
from recurrax.tasks.characters import Characters
from recurrax.tasks.copy import Copy
from recurrax.tasks.corpus import Corpus, standard_library
from recurrax.tasks.dates import Dates
from recurrax.tasks.digits import Digits
from recurrax.tasks.number_words import NumberWords
from recurrax.tasks.reber import Reber
from recurrax.tasks.recall import Recall
from recurrax.tasks.sentiment import Sentiment
from recurrax.tasks.task import Batch, Task, accuracy, bits, cross_entropy, exact_match, squared_error, within
from recurrax.tasks.temporal_order import TemporalOrder
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

__all__ = [
    "ALL",
    "Adding",
    "Agreement",
    "Arrays",
    "Batch",
    "Characters",
    "Copy",
    "Corpus",
    "Dates",
    "Digits",
    "NumberWords",
    "Reber",
    "Recall",
    "Sentiment",
    "Task",
    "TemporalOrder",
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
        ValueError: no task of `ALL` has that name.

    >>> named("adding") is Adding
    True
    """
    for task in ALL:
        if task.__name__.lower() == name.lower():
            return task
    known = ", ".join(task.__name__ for task in ALL)
    raise ValueError(f"task: unknown name {name!r}; expected one of {known}")
