"""Cells as users write them: whatever the reference differentiates, the default does too, to rounding, in float64.

`tests/long/zoo.py` runs the whole product of cells, options and orders.
"""

import pytest
import zoo
from zoo.trials import OPTIONS, found

pytestmark = pytest.mark.usefixtures("x64", "quick_compile", "plain_style")

SINGLE = [name for name in OPTIONS if name not in ("plain", "all at once")]
EVERY_FOURTH = [(cell, SINGLE[i % len(SINGLE)]) for i, cell in enumerate(zoo.ALL[::4])]


@pytest.mark.parametrize(("number", "cell"), [*enumerate(zoo.ALL)], ids=lambda value: repr(value).partition("(")[0])
def test_all_rows_alike(number, cell):
    """In value and gradient; every third cell in second derivatives too."""
    assert found(cell, OPTIONS["plain"], second=number % 3 == 0) is None


@pytest.mark.parametrize("cell", zoo.ALL, ids=lambda cell: type(cell).__name__)
def test_every_option_at_once(cell):
    assert found(cell, OPTIONS["all at once"]) is None


@pytest.mark.parametrize(("cell", "option"), EVERY_FOURTH, ids=lambda value: repr(value).partition("(")[0])
def test_one_option(cell, option):
    assert found(cell, OPTIONS[option]) is None
