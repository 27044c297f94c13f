"""What every cell of the library must give: the contract, and the reference's values and gradients, in float64.

One program for each cell; `tests/long/cells.py` runs `check_cell`, all options and the laws of the instruments.
"""

import jax
import numpy as np
import pytest
from cells import variants
from zoo.trials import OPTIONS, found, streamed

from recurrax.check import contract
from recurrax.check.subject import Subject

pytestmark = pytest.mark.usefixtures("quick_compile")

every_cell = pytest.mark.parametrize("cell", variants.ALL, ids=variants.short)


@every_cell
def test_the_contract(cell):
    """Hashable, equal by value, every method with its arguments, structures, shapes and dtypes."""
    xs = np.zeros((4, 3, 2), np.float32)
    subject = Subject(cell, 2, xs, jax.random.key(0), None, ("float32", "bfloat16", "float64"))
    for law in contract.LAWS:
        assert law(subject) is None


@every_cell
def test_all_options_at_once(cell, x64):
    """Values and gradients are the reference's, to 1e-12: lengths, mask, resets, reverse, NaN in the padding."""
    assert found(cell, OPTIONS["all rows"], compiled=True) is None


@every_cell
def test_a_loop_that_donates_its_carry(cell, x64):
    """The contract of generating output: it gives what the scan gives, and no two fields are one array."""
    assert streamed(cell) is None
