"""Cells: one step of one recurrence per file, pure arithmetic, no loop.

A new cell is one file here, imported below and entered in `ALL`; what it shows stands in the file's own `__all__`.
"""

from recurrax.cells.antisymmetric import *
from recurrax.cells.cornn import *
from recurrax.cells.delta_net import *
from recurrax.cells.elman import *
from recurrax.cells.gru import *
from recurrax.cells.indrnn import *
from recurrax.cells.janet import *
from recurrax.cells.leaky import *
from recurrax.cells.lem import *
from recurrax.cells.lru import *
from recurrax.cells.lstm import *
from recurrax.cells.mgu import *
from recurrax.cells.min_gru import *
from recurrax.cells.min_lstm import *
from recurrax.cells.mlstm import *
from recurrax.cells.orthogonal import *
from recurrax.cells.rglru import *
from recurrax.cells.slstm import *

ALL = (
    Elman,
    GRU,
    LSTM,
    JANET,
    MGU,
    Leaky,
    IndRNN,
    OrthogonalRNN,
    AntisymmetricRNN,
    CoRNN,
    LEM,
    SLSTM,
    MLSTM,
    DeltaNet,
    MinGRU,
    MinLSTM,
    LRU,
    RGLRU,
)
"""Every cell class of the library; each can be built from a hidden size alone."""


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
