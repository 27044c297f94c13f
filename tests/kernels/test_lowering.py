"""What the programs are made of, and that they lower for devices that are not here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo
from tolerances import assert_close
from walks import KINDS, dots_in_loops, draw, equations

import recurrax
from recurrax import GRU, LSTM, SLSTM, AntisymmetricRNN, CoRNN, OrthogonalRNN
from recurrax.check.trial import value, value_and_grad

ONE_OF_EACH = [cell(3) for cell in KINDS]


def products(cell, implementation):
    given = draw(cell, 4, (2,), 2)._replace(lengths=np.array([4, 1]))
    return dots_in_loops(
        jax.make_jaxpr(lambda given: value_and_grad(cell, given, implementation=implementation))(given).jaxpr
    )


@pytest.mark.parametrize("cell", [*ONE_OF_EACH, *zoo.OF_FOUR_KINDS], ids=repr)
def test_one_product_per_step_in_each_direction(cell, plain_style):
    assert products(cell, "fused") <= 2
    assert products(cell, "reference") > 2, "the count can tell"


def test_a_gru_that_resets_before_the_product_needs_two():
    """Its second product reads r, which the first one makes: two per step in each direction, and not more."""
    assert products(GRU(3, reset_after=False), "fused") == 4


MADE_ONCE = [
    zoo.weights.WeightNormalised(3),
    zoo.weights.Cayley(3),
    zoo.weights.Readout(3),
    AntisymmetricRNN(3),
    CoRNN(3),
    SLSTM(4, heads=2),
]


@pytest.mark.parametrize("cell", MADE_ONCE, ids=lambda cell: type(cell).__name__)
def test_what_parameters_alone_decide_and_what_outputs_alone_wait_for_stand_outside_the_loops(cell, plain_style):
    """A norm, an inverse, an antisymmetric part, a projection: one recurrent product a step in each direction."""
    assert products(cell, "fused") == 2
    assert products(cell, "reference") > 2


@pytest.mark.parametrize("cell", [zoo.weights.Exponential(3), OrthogonalRNN(3)], ids=lambda cell: type(cell).__name__)
@pytest.mark.parametrize(("implementation", "inside"), [("fused", False), ("reference", True)])
def test_a_matrix_exponential_is_made_once(cell, implementation, inside, plain_style):
    """Its linear system is factored outside the loops over time."""
    steps = 7
    given = draw(cell, steps, (2,), 2)
    traced = jax.make_jaxpr(lambda given: value_and_grad(cell, given, implementation=implementation))(given)
    bodies = [eqn.params["jaxpr"].jaxpr for eqn in equations(traced.jaxpr) if eqn.params.get("length") == steps]
    assert len(bodies) >= 2
    assert any(eqn.primitive.name == "triangular_solve" for body in bodies for eqn in equations(body)) == inside


@pytest.mark.parametrize("implementation", ["fused", "reference"])
@pytest.mark.parametrize("cell", [*ONE_OF_EACH, GRU(3, reset_after=False)], ids=repr)
def test_forward_and_gradient_lower_for_every_platform(cell, implementation):
    given = jax.tree.map(jnp.asarray, draw(cell, 4, (2,), 2)._replace(lengths=np.array([4, 1], np.int32)))
    for run in (value, value_and_grad):
        program = jax.jit(lambda given, run=run: run(cell, given, implementation=implementation))
        exported = jax.export.export(program, platforms=("cpu", "cuda", "tpu"))(given)
        assert exported.platforms == ("cpu", "cuda", "tpu")
        assert exported.out_tree == jax.tree.structure(jax.eval_shape(program, given))


EXPORTED = [*ONE_OF_EACH, GRU(3, reset_after=False), zoo.gates.MGU(3), zoo.units.Leaky(3)]


@pytest.mark.parametrize("cell", EXPORTED, ids=repr)
def test_exported_once_with_open_sizes(cell, plain_style):
    """A training step of any length and batch, batches below and above the few rows that are walked otherwise."""
    drawn = draw(cell, 1, (1,), 2)

    def gradients(params, xs):
        return jax.grad(lambda *args: jnp.sum(recurrax.scan(cell, *args).outputs ** 2), argnums=(0, 1))(params, xs)

    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), drawn.params)
    sizes = jax.export.symbolic_shape("t, b, 2")
    exported = jax.export.export(jax.jit(gradients))(shapes, jax.ShapeDtypeStruct(sizes, np.float32))
    for steps, batch in ((1, 1), (5, 2), (3, 9)):
        xs = draw(cell, steps, (batch,), 2).xs
        assert_close(exported.call(drawn.params, xs), gradients(drawn.params, xs), "float32")


TIME_SIZED = [(GRU(32), 8), (GRU(32, reset_after=False), 9), (zoo.gates.MGU(32), 8)]


@pytest.mark.parametrize(("cell", "arrays"), TIME_SIZED, ids=repr)
def test_a_product_that_waits_for_another_saves_no_more_than_it_must(cell, arrays, plain_style):
    """Temporaries of a training step in arrays of T B H values."""
    xs = jnp.zeros((256, 16, 32))
    params = cell.init(jax.random.key(0), 32)

    def loss(params):
        return jnp.sum(recurrax.scan(cell, params, xs).outputs ** 2)

    temporaries = jax.jit(jax.grad(loss)).lower(params).compile().memory_analysis().temp_size_in_bytes
    assert round(temporaries / (4 * 256 * 16 * 32)) <= arrays


@pytest.mark.parametrize("cell", [cell(32) for cell in KINDS], ids=repr)
def test_a_training_step_holds_few_time_sized_arrays(cell):
    """At most two for every gate and field of the carry, complex ones twice that; for an LSTM 1.5 times 6 T B H."""
    steps, batch, size = 256, 16, cell.hidden_size
    params = cell.init(jax.random.key(0), 2)
    xs = jnp.zeros((steps, batch, 2))
    u, carry = jax.eval_shape(lambda: (cell.project(params, xs), cell.initial_carry(params, (batch,), xs.dtype)))

    def loss(params):
        return jnp.sum(recurrax.scan(cell, params, xs, implementation="fused").outputs ** 2)

    temporaries = jax.jit(jax.grad(loss)).lower(params).compile().memory_analysis().temp_size_in_bytes
    arrays = round(temporaries / (xs.dtype.itemsize * steps * batch * size))
    numbers = sum(leaf.size // steps for leaf in jax.tree.leaves(u)) + sum(leaf.size for leaf in jax.tree.leaves(carry))
    assert arrays <= 2 * numbers / (batch * size)
    assert cell != LSTM(size) or arrays <= 9
