"""Every cell of the library, and every field that changes what a step computes."""

from recurrax import GRU, Elman, cells

SIZE = 4
OPTIONS = (
    Elman(SIZE, activation="relu"),
    GRU(SIZE, reset_after=False),
)
ALL = (*(cell(SIZE) for cell in cells.ALL), *OPTIONS)


def short(cell):
    """A cell's name and the fields in which it differs from its defaults, for the names of tests."""
    usual = type(cell)(cell.hidden_size)
    return ",".join([type(cell).__name__, *(f"{k}={v}" for k, v in vars(cell).items() if v != vars(usual)[k])])
