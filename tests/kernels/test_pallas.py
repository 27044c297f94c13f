"""The Pallas kernels, interpreted on CPU, give what the reference gives; and what they refuse, they say.

`tests/long/pallas.py` tries every cell of the library and of the zoo.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo
from tolerances import RTOL, SECOND_RTOL, assert_close
from walks import KINDS, draw, equations
from zoo.base import Small
from zoo.trials import OPTIONS, difference_to_reference, draw_trial

import recurrax
from recurrax import GRU, LSTM, SLSTM, CoRNN, Elman
from recurrax.check.trial import difference, second_order, value, value_and_grad
from recurrax.kernels import pallas, tiles
from recurrax.kernels.arguments import Arguments, carries
from recurrax.kernels.padding import Rows

pytestmark = pytest.mark.usefixtures("quick_compile", "plain_style")

OF_MANY_KINDS = [GRU(2, reset_after=False), CoRNN(2), *zoo.OF_FOUR_KINDS[1:3], recurrax.MinGRU(2)]
"""Two products in a step, two fields of the carry, an output that is not the carry, a learned start, a derivative that
reads of the projection.
"""


def differs(cell, option):
    """Where values or gradients in float64 are not the reference's, or padding mattered; None where they are."""
    option = OPTIONS[option]
    trial = draw_trial(cell, option.batch_shape)._replace(**option.rows)
    return difference_to_reference(cell, trial, compiled=True, implementation="pallas", **option.how)


@pytest.mark.parametrize("cell", OF_MANY_KINDS, ids=lambda cell: type(cell).__name__)
def test_with_padding_and_resets_backwards(cell, x64):
    assert differs(cell, "all rows") is None


@pytest.mark.parametrize("option", ["plain", "chunk", "no batch", "two batch axes"])
def test_one_option(option, x64):
    assert differs(Elman(3), option) is None


@pytest.mark.parametrize("batch", [1, 3])
def test_few_rows_in_float32(batch):
    given = draw(Elman(3), 5, (batch,), 2)
    got, expected = (value_and_grad(Elman(3), given, implementation=name) for name in ("pallas", "reference"))
    assert_close(got, expected, "float32")


IN_TILES = [zoo.gates.PeepholeLSTM(3), SLSTM(4, heads=2), zoo.units.Settling(3)]


@pytest.mark.parametrize("cell", IN_TILES, ids=lambda cell: type(cell).__name__)
def test_several_tiles_that_do_not_divide_time_nor_batch(cell, x64, monkeypatch):
    """Tiles of 8 rows by 3 steps: 11 rows are two of them, and 7 steps three. A peephole is summed tile by tile; what
    an inner loop keeps has its iterations first and its rows second.
    """
    monkeypatch.setattr(tiles, "_MOST_ROWS", 8)
    monkeypatch.setattr(tiles, "_MOST_STEPS", 3)
    given = draw(cell, 7, (11,), 2, np.float64)._replace(lengths=np.array([7, 0, 6, 5, 4, 3, 2, 1, 7, 7, 5]))
    assert difference_to_reference(cell, given, compiled=True, implementation="pallas", reverse=True) is None
    program = jax.make_jaxpr(lambda given: value(cell, given, implementation="pallas", reverse=True))(given)
    grids = [eqn.params["grid_mapping"].grid for eqn in equations(program.jaxpr) if "pallas" in eqn.primitive.name]
    assert set(grids) == {(2, 3)}


def test_bfloat16_parameters_with_a_float32_carry():
    given = jax.tree.map(jnp.asarray, draw(Elman(3), 5, (2,), 2))
    given = given._replace(params=jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), given.params))
    got, expected = (value_and_grad(Elman(3), given, implementation=name) for name in ("pallas", "reference"))
    assert got.result.carry.h.dtype == jnp.float32
    assert_close(got, expected, "bfloat16")


def test_differentiated_twice(x64):
    given = draw_trial(zoo.units.Leaky(2))._replace(**OPTIONS["all rows"].rows)
    got, expected = (second_order(zoo.units.Leaky(2), given, implementation=name) for name in ("pallas", "reference"))
    assert difference(got[0], expected[0], RTOL["float64"]) is None
    assert difference(got[1], expected[1], SECOND_RTOL["float64"]) is None


def test_mapped_over_parameters():
    """An axis of `vmap` is one more of the grid."""
    cell, given = Elman(3), draw(Elman(3), 4, (2,), 2)
    several = jax.tree.map(lambda leaf: jnp.stack([leaf, -leaf]), given.params)

    def outputs(params, implementation):
        return recurrax.scan(cell, params, given.xs, implementation=implementation).outputs

    got, expected = (
        jax.vmap(lambda params, name=name: outputs(params, name))(several) for name in ("pallas", "reference")
    )
    assert_close(got, expected, "float32")


def test_the_gradient_of_a_kernel_is_not_made_step_by_step():
    """One product in each direction: h U, and the adjoint of it."""
    given = draw(Elman(3), 6, (2,), 2)
    traced = jax.make_jaxpr(lambda given: value_and_grad(Elman(3), given, implementation="pallas"))(given)
    inside = [
        sum(inner.primitive.name == "dot_general" for inner in equations(eqn.params["jaxpr"]))
        for eqn in equations(traced.jaxpr)
        if eqn.primitive.name == "pallas_call"
    ]
    assert inside == [1, 1, 1, 1], "forward and backward, interpreted and compiled"


OF_SUBSTITUTES = [recurrax.OrthogonalRNN(8), SLSTM(8, heads=2), recurrax.DeltaNet(8), recurrax.RGLRU(8)]


def test_one_array_for_all_gates_is_overwritten_twice():
    """By what is saved and by adjoints: no second array of the size of the projection."""
    given = draw(LSTM(3), 6, (2,), 2)
    traced = jax.make_jaxpr(lambda given: value_and_grad(LSTM(3), given, implementation="pallas"))(given)
    kernels = [eqn for eqn in equations(traced.jaxpr) if eqn.primitive.name == "pallas_call"]
    assert len(kernels) == 4, "forward and backward, interpreted and compiled"
    for eqn in kernels:
        whole = [[var.aval.shape == (6, 1, 2, 12) for var in group] for group in (eqn.invars, eqn.outvars)]
        assert [group.count(True) for group in whole] == [1, 1]
        assert dict(eqn.params["input_output_aliases"]) == {whole[0].index(True): whole[1].index(True)}


@pytest.mark.parametrize("cell", [*(cell(8) for cell in KINDS), *OF_SUBSTITUTES], ids=lambda cell: type(cell).__name__)
def test_lowers_for_tpu_from_here(cell):
    given = jax.tree.map(jnp.asarray, draw(cell, 5, (3,), 2)._replace(lengths=np.array([5, 0, 3], np.int32)))
    program = jax.jit(lambda given: value_and_grad(cell, given, implementation="pallas"))
    exported = jax.export.export(program, platforms=["tpu"])(given)
    assert exported.mlir_module().count("tpu_custom_call") == 2, "a kernel in each direction"


@dataclass(frozen=True)
class Gamma(Small):
    """A user's, with a primitive that Pallas does not know on TPU."""

    def pointwise(self, params, carry, u, v):
        return jnp.tanh(jax.lax.lgamma(v))


@dataclass(frozen=True)
class Printing(Small):
    def pointwise(self, params, carry, u, v):
        jax.debug.print("a step")
        return jnp.tanh(v)


def given_to(cell, steps=4, batch=3):
    xs = jnp.zeros((steps, batch, 2))
    params = cell.init(jax.random.key(0), 2)
    return Arguments(cell, params, xs, *carries(cell, params, xs, (batch,), None), Rows(None, None), (batch,), False, 1)


def test_what_the_compiler_says_is_told():
    assert pallas.refused_by_compiler(given_to(LSTM(3))) is None
    said = pallas.refused_by_compiler(given_to(Gamma(3)))
    assert said == "Pallas for TPU says: Unimplemented primitive in Pallas TPU lowering for tc: lgamma"


REFUSED = [
    (recurrax.LRU(2), 4, r"carry\S* is complex64, which a kernel cannot hold"),
    (zoo.units.Leaky(3), 0, "there is no step or no row to make a block of"),
    (Printing(3), 4, "a step has effects, which a kernel cannot have"),
]


@pytest.mark.parametrize(("cell", "steps", "reason"), REFUSED, ids=[type(cell).__name__ for cell, *_ in REFUSED])
def test_who_is_refused(cell, steps, reason):
    params = cell.init(jax.random.key(0), 2)
    with pytest.raises(ValueError, match=f"^implementation: 'pallas' cannot run this, since {reason}"):
        recurrax.scan(cell, params, jnp.zeros((steps, 3, 2)), implementation="pallas")


def test_a_key_in_the_carry_is_refused():
    cell, xs = recurrax.Dropout(Elman(2), 0.1), jnp.zeros((4, 3, 2))
    params = cell.init(jax.random.key(0), 2)
    carry = recurrax.with_key(cell.initial_carry(params, (3,), jnp.float32), jax.random.key(1))
    with pytest.raises(ValueError, match=r"since carry\S* is key<fry>, which a kernel cannot hold"):
        recurrax.scan(cell, params, xs, carry, implementation="pallas")


def test_a_kernel_that_is_too_large_is_refused_with_its_size(monkeypatch):
    monkeypatch.setattr(tiles, "LIMIT", 2 << 20)
    said = pallas.supports(given_to(Elman(300), batch=16))
    assert said == "a kernel of 8 rows would hold 3 MiB in fast memory, by estimate, of which it may take 2 MiB"


def test_an_open_number_of_rows_is_refused():
    xs = jax.ShapeDtypeStruct(jax.export.symbolic_shape("4, b, 2"), np.float32)
    params = Elman(2).init(jax.random.key(0), 2)
    program = jax.jit(lambda xs: recurrax.scan(Elman(2), params, xs, implementation="pallas").outputs)
    with pytest.raises(ValueError, match=r"since jax\.export leaves the number of steps or rows open"):
        jax.export.export(program)(xs)


@pytest.mark.parametrize("steps", [1, 7, 64, 65, 1000])
@pytest.mark.parametrize("rows", [1, 8, 256])
def test_blocks_cover_time_and_fit(rows, steps):
    f32 = np.dtype(np.float32)
    shared, state = [jax.ShapeDtypeStruct((512, 2048), f32)], [jax.ShapeDtypeStruct((rows, 512), f32)] * 4
    found = tiles.choose(rows, steps, shared, state, [jax.ShapeDtypeStruct((rows, 2048), f32)] * 2)
    assert (found.blocks(steps) - 1) * found.steps < steps <= found.blocks(steps) * found.steps
    assert found.bytes <= tiles.LIMIT


def test_arrays_as_a_tpu_stores_them():
    """In tiles of 8 by 128 numbers of 4 bytes, 16 by 128 of 2 bytes; a flag for each row is a column."""
    shapes = [((3, 5), np.float32), ((9, 129), np.float32), ((9, 129), jnp.bfloat16), ((5,), np.bool_)]
    sizes = [tiles.stored([jax.ShapeDtypeStruct(shape, dtype)], rows=1) for shape, dtype in shapes]
    assert sizes == [8 * 128 * 4, 16 * 256 * 4, 16 * 256 * 2, 8 * 128 * 4]
