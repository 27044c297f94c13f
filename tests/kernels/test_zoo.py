"""Cells as users write them: whatever the reference differentiates, the default does too, to rounding, in float64.

`tests/long/zoo.py` runs the whole product of cells, options and orders.
"""

import jax
import jax.numpy as jnp
import pytest
import zoo
from walks import KINDS
from zoo.trials import OPTIONS, found, found_twice, streamed

import recurrax
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
TEXTBOOK = (zoo.gates.TextbookLSTM, zoo.gates.PeepholeLSTM, zoo.gates.ProjectedLSTM, zoo.gates.LSTMInLSTM)
"""All gates in one array, side by side or on an axis of their own, cut after the projection was added."""
OF_16 = [
    *(cell(16) for cell in KINDS),
    *(kind(16) for kind in (zoo.gates.MGU, *TEXTBOOK)),
    *(zoo.units.Leaky(16), zoo.memories.DeltaRule(16), pytest.param(zoo.memories.LRU(16), marks=HOLDS_MORE)),
]


@pytest.mark.parametrize("cell", OF_16, ids=repr)
def test_a_training_step_holds_no_more_than_the_references(cell):
    """Not one number for each step and row more."""
    xs = jnp.zeros((64, 8, 2))
    params = jax.eval_shape(lambda key: cell.init(key, 2), jax.random.key(0))
    fused, reference = (temporaries(cell, params, xs, implementation) for implementation in ("fused", "reference"))
    assert fused - reference < 4 * 64 * 8


@pytest.mark.parametrize("kind", [zoo.memories.MatrixMemory, zoo.memories.DeltaRule])
def test_a_forward_pass_stores_no_matrix_that_only_the_output_reads(kind):
    """A query's product with the state is no cheaper over all steps at once, and the state is H times the output."""
    cell = kind(16)
    params = jax.eval_shape(lambda key: cell.init(key, 2), jax.random.key(0))
    forward = jax.jit(lambda params, xs: recurrax.scan(cell, params, xs).outputs)
    made = forward.lower(params, jax.ShapeDtypeStruct((64, 8, 2), "float32")).compile()
    assert made.memory_analysis().temp_size_in_bytes < 64 * 8 * 16 * 4 * 2


class Chained(zoo.memories.MatrixMemory):
    """Its query is a product that only the output waits for, and so is what is read with it."""

    def output(self, params, memory, u):
        return jnp.einsum("...k,...kv->...v", memory[..., 0] @ params["query"][:1].mT * params["key"][:1], memory)


def test_a_product_stays_in_the_loop_with_the_one_that_it_waits_for(x64):
    assert found(Chained(), OPTIONS["all rows"]) is None
    assert found_twice(Chained(), OPTIONS["plain"]) is None
