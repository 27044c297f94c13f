"""How figures look: light, and legible without colour vision."""

import numpy as np

COLOURS = ("#D55E00", "#E69F00", "#009E73", "#56B4E9", "#0072B2", "#8A3E78", "#000000", "#7A7A7A")
"""Okabe & Ito's palette (2008), its reddish purple darkened so that it stands out on white."""

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

_MINUS = "\N{MINUS SIGN}"
_SUPERSCRIPT = str.maketrans(f"0123456789-{_MINUS}", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁻")


def colour(slot: int) -> str:
    """The colour of a slot; slots past the palette start again."""
    return COLOURS[slot % len(COLOURS)]


def power_of_ten(exponent: float) -> str:
    """A tick label: 10⁻⁶ for -6; nothing between whole powers.

    >>> power_of_ten(-6.0), power_of_ten(0.0), power_of_ten(-0.5)
    ('10⁻⁶', '1', '')
    """
    whole = round(exponent)
    if not np.isclose(exponent, whole):
        return ""
    return "1" if whole == 0 else "10" + str(whole).translate(_SUPERSCRIPT)
