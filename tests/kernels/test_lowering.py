"""What the programs are made of, and that they lower for devices that are not here."""

import os
import pickle
import subprocess
import sys

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


CALLED_ELSEWHERE = """
import pickle, sys
sys.modules["recurrax"] = None  # to import it is an error
import jax
import numpy as np
from jax import export

results = []
for program, calls in pickle.load(sys.stdin.buffer):
    call = export.deserialize(program).call
    results.append([jax.tree.map(np.asarray, call(*arguments)) for arguments in calls])
pickle.dump(results, sys.stdout.buffer)
"""
"""Programs as bytes and the arguments of their calls, read and called by a process that has JAX alone."""


def programs(cell, tree, implementation=None):
    """A forward pass and a training step of leaves alone, since the classes of parameters stay with this process."""

    def forward(leaves, xs, lengths):
        result = recurrax.scan(cell, tree.unflatten(leaves), xs, lengths=lengths, implementation=implementation)
        return jax.tree.leaves(result)

    def training_step(leaves, xs, lengths):
        def loss(leaves):
            result = forward(leaves, xs, lengths)
            return jnp.sum(result[0] ** 2), result

        gradient, result = jax.grad(loss, has_aux=True)(leaves)
        return result, [leaf - slope for leaf, slope in zip(leaves, gradient, strict=True)]

    return forward, training_step


def assert_called_elsewhere(cells):
    """Programs of any length and batch are serialised once, and give in another process what the reference gives here.

    Batches are below and above the few rows that are walked otherwise; every second row is shorter than T.
    """
    sent, expected = [], []
    t, b = jax.export.symbolic_shape("t, b")
    for cell in cells:
        drawn = [draw(cell, steps, (batch,), 2) for steps, batch in ((1, 1), (5, 2), (3, 9))]
        leaves, tree = jax.tree.flatten(drawn[0].params)
        calls = [(leaves, one.xs, np.resize([len(one.xs), 1], one.xs.shape[1]).astype(np.int32)) for one in drawn]
        like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), leaves)
        shapes = (like, jax.ShapeDtypeStruct((t, b, 2), np.float32), jax.ShapeDtypeStruct((b,), np.int32))
        for program in programs(cell, tree):
            sent.append((bytes(jax.export.export(jax.jit(program))(*shapes).serialize()), calls))
        _, reference = programs(cell, tree, "reference")
        steps = [reference(*arguments) for arguments in calls]
        expected += [[result for result, _ in steps], steps]
    quick = os.environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    command = [sys.executable, "-c", CALLED_ELSEWHERE]
    done = subprocess.run(command, input=pickle.dumps(sent), capture_output=True, env=quick, timeout=300)
    assert not done.returncode, done.stderr.decode()
    assert_close(pickle.loads(done.stdout), expected, "float32")


def test_serialised_with_open_sizes_and_called_in_another_process(quick_compile):
    assert_called_elsewhere(ONE_OF_EACH)


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
