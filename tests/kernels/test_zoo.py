"""Cells as users write them: whatever the reference differentiates, the default does too, to rounding, in float64.

`tests/long/zoo.py` runs the whole product of cells, options and orders.
"""

import jax
import jax.numpy as jnp
import pytest
import zoo
from walks import KINDS
from zoo.trials import OPTIONS, found, found_twice, streamed

from recurrax.check.laws import temporaries

pytestmark = pytest.mark.usefixtures("quick_compile", "plain_style")

NUMBERED = [pytest.param(i, cell, id=type(cell).__name__) for i, cell in enumerate(zoo.ALL)]
SINGLE = [name for name in OPTIONS if name not in ("plain", "all rows", "all at once")]
EVERY_FOURTH = [
    pytest.param(cell, SINGLE[i % len(SINGLE)], id=type(cell).__name__) for i, cell in enumerate(zoo.ALL[2::4])
]


@pytest.mark.parametrize(("number", "cell"), NUMBERED)
def test_value_and_gradients(number, cell, x64):
    """A third of the cells twice differentiated, a third with rows that differ and padding, a third in chunks too."""
    ways = (
        lambda: found(cell, OPTIONS["all rows"]),
        lambda: found_twice(cell, OPTIONS["plain"]),
        lambda: found(cell, OPTIONS["all at once"]),
    )
    assert ways[number % 3]() is None


@pytest.mark.parametrize("cell", zoo.ALL, ids=lambda cell: type(cell).__name__)
def test_a_stream_that_donates_its_carry(cell, x64):
    assert streamed(cell) is None


@pytest.mark.parametrize(("cell", "option"), EVERY_FOURTH)
def test_one_option(cell, option, x64):
    assert found(cell, OPTIONS[option]) is None


HOLDS_MORE = pytest.mark.xfail(strict=True, reason="fused holds 1.5 times the reference's for a complex carry")
OF_16 = [
    *(cell(16) for cell in KINDS),
    *(zoo.gates.MGU(16), zoo.units.Leaky(16), pytest.param(zoo.memories.LRU(16), marks=HOLDS_MORE)),
]


@pytest.mark.parametrize("cell", OF_16, ids=repr)
def test_a_training_step_holds_no_more_than_the_references(cell):
    """Not one number for each step and row more."""
    xs = jnp.zeros((64, 8, 2))
    params = jax.eval_shape(lambda key: cell.init(key, 2), jax.random.key(0))
    fused, reference = (temporaries(cell, params, xs, implementation) for implementation in ("fused", "reference"))
    assert fused - reference < 4 * 64 * 8
