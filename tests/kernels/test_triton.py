"""The kernels for NVIDIA's GPUs, interpreted on CPU, give what the reference gives; and Pallas lowers them from here.

`tests/long/pallas.py --gpu` tries every cell of the library and of the zoo.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo
from long.compile_for_devices import as_if_on
from tolerances import assert_close
from walks import draw, equations
from zoo.trials import OPTIONS, difference_to_reference, draw_trial

import recurrax
from recurrax import GRU, LSTM, CoRNN, Elman, MinGRU
from recurrax.check.trial import value, value_and_grad
from recurrax.kernels import pallas, triton
from recurrax.kernels.arguments import Arguments, carries
from recurrax.kernels.padding import Rows

pytestmark = pytest.mark.usefixtures("quick_compile", "plain_style")


@pytest.fixture
def for_gpu(monkeypatch):
    """Programs of the scan are kept by what they are given, not by the device they are planned for."""
    jax.clear_caches()
    monkeypatch.setattr(pallas, "on_gpu", lambda: True)
    yield
    jax.clear_caches()


@pytest.fixture
def h100():
    with as_if_on("NVIDIA H100"):
        yield


def given_to(cell, batch=3):
    xs, params = jnp.zeros((4, batch, 2)), cell.init(jax.random.key(0), 2)
    return Arguments(cell, params, xs, *carries(cell, params, xs, (batch,), None), Rows(None, None), (batch,), False, 1)


OF_MANY_KINDS = [GRU(4, reset_after=False), CoRNN(4), *zoo.OF_FOUR_KINDS[1:3]]
"""Two products in a step, a product of joined fields of the carry, an output that is not the carry, a learned start."""


@pytest.mark.parametrize("cell", OF_MANY_KINDS, ids=lambda cell: type(cell).__name__)
def test_with_padding_and_resets_backwards(cell, x64, for_gpu):
    option = OPTIONS["all rows"]
    trial = draw_trial(cell, option.batch_shape)._replace(**option.rows)
    assert difference_to_reference(cell, trial, compiled=True, implementation="pallas", **option.how) is None


def test_several_tiles_that_do_not_divide_the_batch(x64, for_gpu, monkeypatch):
    """Tiles of 4 rows: 11 are three of them. A peephole's gradient is summed tile by tile."""
    monkeypatch.setattr(triton, "_MOST_ROWS", 4)
    cell = zoo.gates.PeepholeLSTM(3)
    given = draw(cell, 7, (11,), 2, np.float64)._replace(lengths=np.array([7, 0, 6, 5, 4, 3, 2, 1, 7, 7, 5]))
    assert difference_to_reference(cell, given, compiled=True, implementation="pallas") is None
    program = jax.make_jaxpr(lambda given: value(cell, given, implementation="pallas"))(given)
    assert {eqn.params["grid_mapping"].grid for eqn in _kernels(program)} == {(3,)}


def test_bfloat16_parameters_with_a_float32_carry(for_gpu):
    given = jax.tree.map(jnp.asarray, draw(Elman(4), 5, (2,), 2))
    given = given._replace(params=jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), given.params))
    got, expected = (value_and_grad(Elman(4), given, implementation=name) for name in ("pallas", "reference"))
    assert got.result.carry.h.dtype == jnp.float32
    assert_close(got, expected, "bfloat16")


@pytest.mark.parametrize("cell", [GRU(4), LSTM(4), CoRNN(4)], ids=lambda cell: type(cell).__name__)
def test_every_array_of_a_kernel_holds_a_power_of_two(cell, for_gpu):
    """Three gates side by side do not, and no two arrays are joined. Of 3 rows, a tile has 4."""
    given = draw(cell, 8, (3,), 4)
    program = jax.make_jaxpr(lambda given: value_and_grad(cell, given, implementation="pallas"))(given)
    inside = [inner for eqn in _kernels(program) for inner in equations(eqn.params["jaxpr"])]
    sizes = {math.prod(var.aval.shape) for eqn in inside for var in eqn.outvars if hasattr(var.aval, "shape")}
    assert all(size & (size - 1) == 0 for size in sizes)
    assert {"dot_general"} == {"split", "concatenate", "dot_general"} & {eqn.primitive.name for eqn in inside}


@pytest.mark.filterwarnings("ignore:The Pallas Triton backend is deprecated:DeprecationWarning")  # JAX 0.11, 2026-07
@pytest.mark.parametrize("cell", [GRU(4), MinGRU(4)], ids=lambda cell: type(cell).__name__)
def test_lowers_for_a_gpu_from_here(cell, h100):
    assert pallas.refused_by_compiler(given_to(cell)) is None


@pytest.mark.filterwarnings("ignore:The Pallas Triton backend is deprecated:DeprecationWarning")
def test_what_the_compiler_says_is_told(h100):
    said = pallas.refused_by_compiler(given_to(Elman(3)))
    assert said.startswith("Pallas for GPU says: ")
    assert "size is a power of 2. Encountered an array of shape (4, 3)" in said


def test_a_product_that_is_too_large_is_refused_with_its_size(for_gpu):
    said = pallas.supports(given_to(Elman(256), batch=1))
    assert said == "a kernel of 1 rows would hold 257 KiB in fast memory, by estimate, of which it may take 227 KiB"


def test_a_gpu_of_another_maker_is_refused(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    said = pallas.supports(given_to(Elman(4)))
    assert said == "its kernels are for TPU and for GPUs of NVIDIA's, and interpreted on CPU"


def test_none_never_means_kernels(for_gpu):
    params, xs = Elman(4).init(jax.random.key(0), 4), jnp.zeros((4, 3, 4))
    assert not _kernels(jax.make_jaxpr(lambda xs: recurrax.scan(Elman(4), params, xs).outputs)(xs))


def _kernels(program):
    return [eqn for eqn in equations(program.jaxpr) if eqn.primitive.name == "pallas_call"]
