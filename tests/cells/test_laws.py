"""`check_cell` on a cell of every kind and on users' cells, and proof that each law can fail.

`test_all_cells.py` holds every cell to the reference; `tests/long/cells.py` runs `check_cell` on each of them.
"""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo
from walks import KINDS

import recurrax
from recurrax import GRU, LSTM, Cell, Elman, MinGRU, cells, check_cell
from recurrax.check import contract, laws

pytestmark = pytest.mark.usefixtures("quick_compile", "plain_style")

HOLDS_MORE = pytest.mark.xfail(strict=True, reason="fused holds 1.5 times the reference's for a complex carry")
LONGEST = [*(cell(4) for cell in KINDS), GRU(4, reset_after=False)]
OF_USERS = [
    zoo.units.SpikingLIF(),
    pytest.param(zoo.memories.LRU(), marks=HOLDS_MORE),
    zoo.leaves.Noisy(),
    zoo.leaves.Tokens(),
    zoo.leaves.TimeGaps(),
    zoo.weights.LearnedStart(),
]


@pytest.mark.parametrize("cell", LONGEST, ids=repr)
def test_cells_of_every_kind_obey_the_laws(cell, capsys):
    table = check_cell(cell, input_size=2)
    assert table.broken == ()
    assert len(table.verdicts) == len(contract.LAWS) + len(laws.LAWS)
    assert repr(table).startswith(repr(cell))
    assert repr(table).count("  holds") == len(table.verdicts)


@pytest.mark.parametrize("cell", OF_USERS, ids=repr)
def test_cells_of_users_obey_the_laws(cell):
    xs = cell.inputs(np.random.default_rng(0), 4, (3,), np.float32)
    assert check_cell(cell, input_size=cell.features, xs=xs, key=jax.random.key(1)).broken == ()


def test_the_reference_is_checked_when_named():
    assert check_cell(Elman(2), implementation="reference", dtypes=("float32",)).broken == ()
    with pytest.raises(ValueError, match="implementation"):
        check_cell(Elman(2), implementation="fast")


class Unhashable(Elman):
    __hash__ = None


@dataclass(frozen=True)
class HoldsAList(Elman):
    sizes: list = dataclasses.field(default_factory=lambda: [1, 2])


@dataclass(frozen=True)
class HoldsAnArray(Elman):
    mask: object = dataclasses.field(default_factory=lambda: np.eye(4, dtype=np.float32))


class ByIdentity(Cell):
    """A plain class, two of which are never equal."""

    def __init__(self, hidden_size):
        self.hidden_size = hidden_size


@dataclass(unsafe_hash=True)
class Mutable(Cell):
    hidden_size: int


@dataclass(frozen=True)
class NoOutput(Cell):
    """All methods but `output`, which the contract's base class does not give."""

    def init(self, key, input_size, dtype=jnp.float32): ...
    def initial_carry(self, params, batch_shape, dtype): ...
    def project(self, params, x): ...
    def recur(self, params, carry, u): ...
    def pointwise(self, params, carry, u, v): ...


@dataclass(frozen=True)
class NoStep:
    """Not derived from anything, and without `step`."""

    init, initial_carry, project = Elman.init, Elman.initial_carry, Elman.project
    recur, pointwise, output = Elman.recur, Elman.pointwise, Elman.output


class OldOutput(Elman):
    def output(self, carry):
        return carry.h


class TwoOutputs(Elman):
    def output(self, params, carry, u):
        return carry.h, carry.h


class KeepsTraced(Elman):
    """Hands a value from one method to another behind the contract's back."""

    kept: ClassVar[list] = []

    def project(self, params, x):
        self.kept[:] = [super().project(params, x)]
        return self.kept[0]

    def pointwise(self, params, carry, u, v):
        return cells.ElmanCarry(h=jnp.tanh(v + self.kept[0]))


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
class OwnPointwise(MinGRU):
    """A second definition beside the coefficients."""

    def pointwise(self, params, carry, u, v):
        return jax.tree.map(lambda leaf: 1.1 * leaf, super().pointwise(params, carry, u, v))


@dataclass(frozen=True)
class HalfOfThem(MinGRU):
    def coefficients(self, params, u):
        return super().coefficients(params, u)[0]

    def pointwise(self, params, carry, u, v):
        return jax.tree.map(lambda leaf, a: a * leaf, carry, self.coefficients(params, u))


@dataclass(frozen=True)
class WrongGradient(Elman):
    """Its gradient depends on how it is called: right in a step, doubled over a sequence."""

    def project(self, params, x):
        return super().project(params, x if x.ndim < 3 else 2 * x - jax.lax.stop_gradient(x))


@dataclass(frozen=True)
class WrongCurvature(Elman):
    """Its second derivative depends on how it is called; value and gradient do not."""

    def project(self, params, x):
        return super().project(params, x if x.ndim < 3 else _straight(x))


@jax.custom_jvp
def _straight(x):
    return x


@_straight.defjvp
def _straight_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    return _straight(x), dx * (1 + x - jax.lax.stop_gradient(x))


@dataclass(frozen=True)
class ForgetsDtype(Elman):
    def initial_carry(self, params, batch_shape, dtype):
        return cells.ElmanCarry(jnp.zeros((*batch_shape, self.hidden_size), jnp.float32))


@dataclass(frozen=True)
class IgnoresInput(Elman):
    def project(self, params, x):
        return jnp.zeros_like(super().project(params, x))


@dataclass(frozen=True)
class CountsAxes(Elman):
    def pointwise(self, params, carry, u, v):
        return cells.ElmanCarry(h=jnp.tanh(v) / (1 + (carry.h.ndim > 2)))


@dataclass(frozen=True)
class SharesBuffers(Elman):
    def initial_carry(self, params, batch_shape, dtype):
        zeros = jnp.zeros((*batch_shape, self.hidden_size), dtype)
        return zeros, zeros

    def recur(self, params, carry, u):
        return super().recur(params, cells.ElmanCarry(carry[0]), u)

    def pointwise(self, params, carry, u, v):
        return jnp.tanh(v), carry[0]

    def output(self, params, carry, u):
        return carry[0]


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
    (Unhashable(4), "no hash; write it as a dataclass with frozen=True"),
    (HoldsAList(4), "'sizes' holds a list, which has no hash; make it a tuple"),
    (HoldsAnArray(4), "'mask' holds a ndarray, which has no hash; wrap it as recurrax.Fixed"),
    (ByIdentity(4), "not equal, and each would compile again"),
    (Mutable(4), "'hidden_size' can be assigned to"),
    (NoOutput(), r"output is missing; define output\(self, params, carry, u\)"),
    (NoStep(), "step is missing; define .* or inherit from recurrax.Cell"),
    (OldOutput(4), r"output takes \(carry\); define output\(self, params, carry, u\)"),
    (TwoOutputs(4), "output returns a tuple; return one array"),
    (KeepsTraced(4), "pointwise reads a value that another method computed"),
    (IgnoresDtype(4), "init with dtype bfloat16 gave params.* in float32; hand dtype on"),
    (IgnoresBatch(4), r"initial_carry.* for batch shape .* has shape \(4,\); begin it with batch_shape"),
    (ForgetsDtype(4), "initial_carry.*dtype float64; hand dtype on|pointwise turns .* of dtype .* into float64"),
    (ChangesCarry(4), "structure.*; return what initial_carry returns"),
    (HalvesCarry(4), "carry.h of dtype float32 .* into bfloat16; cast it"),
    (OwnStep(4), "the default and step differ .*; inherit step from recurrax.Cell"),
    (OwnPointwise(4), "coefficients and pointwise differ .*; let pointwise return a \\* s \\+ b"),
    (HalfOfThem(4), "coefficients gives a MinGRUCarry of 1; return two carries"),
    (WrongGradient(4), "the gradient of xs by the default is not the reference's"),
    (WrongCurvature(4), "Hessian-vector product by the default"),
    (MixesRows(4), "one row of the batch changes another; let every mean"),
    (SeesTheFuture(4), "an output changes with a later input; let project"),
    (IgnoresInput(4), "other inputs give the same result; use u"),
    (CountsAxes(4), "two batch axes give something else than one"),
    (SharesBuffers(4), "two leaves of initial_carry are one array"),
]


@pytest.mark.parametrize(("cell", "law"), BROKEN, ids=[type(cell).__name__ for cell, _ in BROKEN])
def test_a_broken_law_is_named(cell, law):
    with pytest.raises(AssertionError, match=f"(?m)^{type(cell).__name__}: .*(?:{law})"):
        check_cell(cell)


def test_a_value_traced_outside_is_named():
    @jax.jit
    def outside(scale):
        @dataclass(frozen=True)
        class ReachesOut(Elman):
            def pointwise(self, params, carry, u, v):
                return cells.ElmanCarry(h=jnp.tanh(scale * v))

        check_cell(ReachesOut(4))

    with pytest.raises(AssertionError, match="pointwise reads 'scale', a traced value from outside the cell"):
        outside(2.0)


def test_a_long_check_says_where_it_is(capsys, monkeypatch):
    monkeypatch.setattr("recurrax.check._SILENCE", 0.0)
    check_cell(Elman(2), dtypes=("float32",))
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith("check_cell(Elman): A training step over 64 steps")


def test_padding_that_matters_is_named(monkeypatch):
    """No cell can make padding matter; a scan that fails to replace it could."""
    monkeypatch.setattr("recurrax.check.trial.poisoned", lambda trial, poison: trial._replace(xs=trial.xs + 1))
    with pytest.raises(AssertionError, match="Elman: NaN in the padding changes an output or a gradient"):
        check_cell(Elman(2), dtypes=("float32",))


def test_inputs_too_short_to_tell_are_refused():
    with pytest.raises(ValueError, match=r"^xs: expected \(T, B, ...\) with at least 3 steps and 3 rows"):
        check_cell(Elman(2), xs=np.ones((2, 3, 1), np.float32))


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
