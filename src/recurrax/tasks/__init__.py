"""Tasks: data whose relevant lag is known, with losses whose exact landmarks say what was learned.

A new task is one file here and one line in `ALL`. The contract is `recurrax.tasks.task.Task`.
"""

from recurrax.tasks.adding import Adding
from recurrax.tasks.arrays import Arrays
from recurrax.tasks.characters import Characters
from recurrax.tasks.copy import Copy
from recurrax.tasks.corpus import Corpus, standard_library
from recurrax.tasks.recall import Recall
from recurrax.tasks.task import Batch, Task, accuracy, bits, cross_entropy, exact_match, squared_error, within
from recurrax.tasks.temporal_order import TemporalOrder

ALL = (
    Adding,
    Characters,
    Copy,
    Recall,
    TemporalOrder,
)
"""Every task class of the library; each can be built with no argument."""

__all__ = [
    "ALL",
    "Adding",
    "Arrays",
    "Batch",
    "Characters",
    "Copy",
    "Corpus",
    "Recall",
    "Task",
    "TemporalOrder",
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
