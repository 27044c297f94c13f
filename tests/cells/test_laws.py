"""The laws of the contract over every cell, and proof that each law can fail."""

import dataclasses
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import pytest
import user_cells

import recurrax
from recurrax import GRU, LSTM, Elman, cells, check_cell

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.mark.parametrize("cell", [cell(4) for cell in cells.ALL], ids=lambda cell: type(cell).__name__)
def test_every_cell_obeys_the_laws(cell):
    check_cell(cell)


def test_the_other_gru_obeys_the_laws():
    check_cell(GRU(4, reset_after=False), input_size=1)


@pytest.mark.parametrize("cell", user_cells.ALL, ids=repr)
def test_cells_of_users_obey_the_laws(cell):
    check_cell(cell, key=jax.random.key(1))


class Unhashable(Elman):
    __hash__ = None


class ByIdentity:
    """A cell of the contract, compared by identity as plain classes are."""

    def __init__(self, hidden_size):
        self.cell = Elman(hidden_size)
        for method in ("init", "initial_carry", "project", "recur", "pointwise", "output", "step"):
            setattr(self, method, getattr(self.cell, method))

    def init(self): ...
    def initial_carry(self): ...
    def project(self): ...
    def recur(self): ...
    def pointwise(self): ...
    def output(self): ...
    def step(self): ...


@dataclass(frozen=True)
class IgnoresDtype(Elman):
    def init(self, key, input_size, dtype=jnp.float32):
        return super().init(key, input_size, jnp.float32)


@dataclass(frozen=True)
class IgnoresBatch(Elman):
    def initial_carry(self, params, batch_shape, dtype):
        return cells.ElmanCarry(jnp.zeros((self.hidden_size,), dtype))


@dataclass(frozen=True)
class ChangesCarry(Elman):
    def pointwise(self, params, carry, u, v):
        return cells.GRUCarry(h=jnp.tanh(v))


@dataclass(frozen=True)
class HalvesCarry(Elman):
    def pointwise(self, params, carry, u, v):
        return cells.ElmanCarry(h=jnp.tanh(v).astype(jnp.bfloat16))


@dataclass(frozen=True)
class OwnStep(Elman):
    """The second definition of a cell that the contract forbids."""

    def step(self, params, carry, x):
        carry, y = super().step(params, carry, x)
        return carry, 2 * y


@dataclass(frozen=True)
class WrongGradient(Elman):
    """Its gradient depends on how it is called: right in a step, doubled over a sequence."""

    def project(self, params, x):
        return super().project(params, x if x.ndim < 3 else 2 * x - jax.lax.stop_gradient(x))


@dataclass(frozen=True)
class MixesRows(Elman):
    def pointwise(self, params, carry, u, v):
        mean = jnp.mean(v, axis=tuple(range(v.ndim - 1)), keepdims=True)
        return cells.ElmanCarry(h=jnp.tanh(v - jnp.broadcast_to(mean, v.shape)))


@dataclass(frozen=True)
class SeesTheFuture(Elman):
    """Consistent in every step, but a whole sequence is projected with the next input's mean."""

    def project(self, params, x):
        return super().project(params, x + jnp.flip(x, axis=0) if x.ndim > 2 else x)


BROKEN = [
    (Unhashable(4), "hashable"),
    (ByIdentity(4), "equal"),
    (IgnoresDtype(4), "init with dtype bfloat16"),
    (IgnoresBatch(4), r"initial_carry.* for batch shape"),
    (ChangesCarry(4), "structure"),
    (HalvesCarry(4), "keep carry.*dtype"),
    (OwnStep(4), '"fused" = "reference" in value'),
    (WrongGradient(4), '"fused" = "reference" in the gradient of xs'),
    (MixesRows(4), "another row's input"),
    (SeesTheFuture(4), "a later input"),
]


@pytest.mark.parametrize(("cell", "law"), BROKEN, ids=[type(cell).__name__ for cell, _ in BROKEN])
def test_a_broken_law_is_named(cell, law):
    with pytest.raises(AssertionError, match=f"^{type(cell).__name__}: .*(?:{law})"):
        check_cell(cell)


def test_what_is_no_cell_is_refused():
    with pytest.raises(ValueError, match=r"^cell: expected an instance such as LSTM"):
        check_cell(LSTM)
    with pytest.raises(ValueError, match=r"^cell: expected an object with the methods"):
        check_cell(object())


def test_an_equal_cell_does_not_recompile():
    traced = []

    @dataclass(frozen=True)
    class Counting(Elman):
        def pointwise(self, params, carry, u, v):
            traced.append(None)
            return super().pointwise(params, carry, u, v)

    cell = Counting(2)
    params, xs = cell.init(jax.random.key(0), 1), jnp.ones((2, 1, 1))
    recurrax.scan(cell, params, xs)
    first = len(traced)
    recurrax.scan(Counting(2), params, xs + 1)
    recurrax.scan(dataclasses.replace(cell), params, xs)
    assert len(traced) == first > 0
