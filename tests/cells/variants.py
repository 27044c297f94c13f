"""Every cell of the library, and every field that changes what a step computes."""

from recurrax import GRU, LSTM, MLSTM, SLSTM, AntisymmetricRNN, DeltaNet, Elman, Leaky, cells

SIZE = 4
OPTIONS = (
    Elman(SIZE, activation="relu"),
    GRU(SIZE, reset_after=False),
    LSTM(SIZE, coupled=True, peepholes=True, projection_size=2),
    Leaky(SIZE, learned=True),
    AntisymmetricRNN(SIZE, gated=True),
    SLSTM(SIZE, heads=2),
    MLSTM(SIZE, heads=2),
    DeltaNet(SIZE, heads=2, gated=False),
    LSTM(SIZE, forget_gate=False, output_gate=False, candidate="identity"),
)
ALL = (*(cell(SIZE) for cell in cells.ALL), *OPTIONS)


def short(cell):
    """A cell's name and the fields in which it differs from its defaults, for the names of tests."""
    usual = type(cell)(cell.hidden_size)
    return ",".join([type(cell).__name__, *(f"{k}={v}" for k, v in vars(cell).items() if v != vars(usual)[k])])
