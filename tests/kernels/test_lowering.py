"""What the programs are made of, and that they lower for devices that are not here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import user_cells
from walks import dots_in_loops, draw, pull, value

from recurrax import GRU, cells

ONE_OF_EACH = [cell(3) for cell in cells.ALL]


def products(cell, implementation):
    given = draw(cell, 4, (2,), 2)._replace(lengths=np.array([4, 1]))
    return dots_in_loops(jax.make_jaxpr(lambda given: pull(cell, given, implementation=implementation))(given).jaxpr)


@pytest.mark.parametrize("cell", [*ONE_OF_EACH, *user_cells.ALL], ids=repr)
def test_one_product_per_step_in_each_direction(cell):
    assert products(cell, "fused") <= 2
    assert products(cell, "reference") > 2, "the count can tell"


def test_a_gru_that_resets_before_the_product_needs_two():
    """Its second product reads r, which the first one makes: two per step in each direction, and not more."""
    assert products(GRU(3, reset_after=False), "fused") == 4


@pytest.mark.parametrize("implementation", ["fused", "reference"])
@pytest.mark.parametrize("cell", [*ONE_OF_EACH, GRU(3, reset_after=False)], ids=repr)
def test_forward_and_gradient_lower_for_every_platform(cell, implementation):
    given = jax.tree.map(jnp.asarray, draw(cell, 4, (2,), 2)._replace(lengths=np.array([4, 1], np.int32)))
    for run in (value, pull):
        program = jax.jit(lambda given, run=run: run(cell, given, implementation=implementation))
        exported = jax.export.export(program, platforms=("cpu", "cuda", "tpu"))(given)
        assert exported.platforms == ("cpu", "cuda", "tpu")
        assert exported.out_tree == jax.tree.structure(jax.eval_shape(program, given))
