"""How figures look: light, and legible without colour vision."""

from collections.abc import Sequence
from typing import Any, NamedTuple

COLOURS = ("#E07B00", "#00805C", "#1F3A93", "#56B4E9", "#8A3E78", "#000000", "#CC79A7", "#7A7A7A")
"""The first three differ in lightness, so that they stay apart in grey; all do without colour vision."""
FAMILIES = ("Elman", "GRU", "LSTM")
"""Classes of cells whose colour is the same in every figure, in the order of `COLOURS`."""
DASHES = ("solid", (0, (5, 1.6)), (0, (1, 1.3)), (0, (6, 1.6, 1, 1.6)), (0, (6, 1.6, 1, 1.6, 1, 1.6)), (0, (11, 2.5)))

LEVEL = "#6B6B6B"

SETTINGS = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlepad": 8.0,
    "axes.labelsize": 9.0,
    "axes.labelcolor": "#333333",
    "axes.edgecolor": "#9A9A9A",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#EAEAEA",
    "grid.linewidth": 0.7,
    "xtick.color": "#9A9A9A",
    "ytick.color": "#9A9A9A",
    "xtick.labelcolor": "#333333",
    "ytick.labelcolor": "#333333",
    "lines.linewidth": 1.7,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "figure.dpi": 160,
    "savefig.dpi": 160,
    # The same arrays give the same bytes: no random ids, no fonts from elsewhere.
    "svg.hashsalt": "recurrax",
    "svg.fonttype": "path",
}


class Look(NamedTuple):
    """How a line is told from others: positions in `COLOURS` and in `DASHES`."""

    slot: int
    dash: int


def looks(families: Sequence[str]) -> list[Look]:
    """One look per line, no two alike for up to 48 lines: a colour for each family, and a dash for each of its members.

    A family that is not in `FAMILIES` takes the next colour that is free. Members of one family alone are told apart
    by colour too.

    >>> looks(["LSTM", "Mine", "LSTM"])
    [Look(slot=2, dash=0), Look(slot=3, dash=0), Look(slot=2, dash=1)]
    """
    if len(set(families)) == 1:
        families = [f"{family} {member}" for member, family in enumerate(families)]
    others = [family for family in dict.fromkeys(families) if family not in FAMILIES]
    slots = {family: place % len(COLOURS) for place, family in enumerate((*FAMILIES, *others))}
    taken = [slots[family] for family in families]
    return [Look(slot, taken[:place].count(slot) % len(DASHES)) for place, slot in enumerate(taken)]


def colour(slot: int) -> str:
    """The colour of a slot; slots past the palette start again."""
    return COLOURS[slot % len(COLOURS)]


def line(slot: int, dash: int = 0) -> dict[str, Any]:
    """Colour and dash of a line as matplotlib takes them."""
    return {"color": colour(slot), "linestyle": DASHES[dash % len(DASHES)]}
