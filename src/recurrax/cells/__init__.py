"""Cells: one step of one recurrence per file, pure arithmetic, no loop.

A new cell is one file here and one line in `ALL`.
"""

from recurrax.cells.elman import Elman, ElmanCarry, ElmanParams
from recurrax.cells.gru import GRU, GRUCarry, GRUParams
from recurrax.cells.lstm import LSTM, LSTMCarry, LSTMParams

ALL = (
    Elman,
    GRU,
    LSTM,
)
"""Every cell class of the library; each can be built from a hidden size alone."""

__all__ = [
    "ALL",
    "GRU",
    "LSTM",
    "Elman",
    "ElmanCarry",
    "ElmanParams",
    "GRUCarry",
    "GRUParams",
    "LSTMCarry",
    "LSTMParams",
    "named",
]


def named(name: str) -> type:
    """The cell class of that name, upper or lower case.

    Raises:
        ValueError: no cell of `ALL` has that name.

    >>> named("lstm") is LSTM
    True
    """
    for cell in ALL:
        if cell.__name__.lower() == name.lower():
            return cell
    known = ", ".join(cell.__name__ for cell in ALL)
    raise ValueError(f"cell: unknown name {name!r}; expected one of {known}")
