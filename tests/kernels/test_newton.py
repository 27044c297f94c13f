"""Newton's method on a whole trajectory gives what the sequential walk gives, or walks; and who is refused, and why."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tolerances import RTOL, assert_close, assert_same_bits
from walks import draw
from zoo.base import Small
from zoo.trials import OPTIONS, difference_to_reference

import recurrax
from recurrax import GRU, LSTM, Cell, Elman, cells
from recurrax.check.trial import value, value_and_grad
from recurrax.kernels import all_steps, arguments, blocks, newton
from recurrax.kernels.scan import IMPLEMENTATIONS

pytestmark = pytest.mark.usefixtures("quick_compile", "plain_style")

KINDS = ("full", "block", "diagonal")


@dataclass(frozen=True)
class Reader(Cell):
    """A user's: it reads its memory where a softmax points, so that no unit is by itself; a start that is learned.

    h_t = tanh(x W + M_tm1 p),  p = softmax(h_tm1 K),  M_t = M_tm1 (1 - e pᵀ) + h_t pᵀ / 2,  e = σ(h_tm1)
    """

    def init(self, key, input_size, dtype=jnp.float32):
        shapes = {"W": (input_size, 2), "K": (2, 3), "start": (2, 3)}
        return {name: jnp.ones(shape, dtype) for name, shape in shapes.items()}

    def initial_carry(self, params, batch_shape, dtype):
        memory = jnp.broadcast_to(params["start"].astype(dtype), (*batch_shape, 2, 3))
        return {"h": jnp.zeros((*batch_shape, 2), dtype), "memory": memory}

    def project(self, params, x):
        return x @ params["W"]

    def recur(self, params, carry, u):
        return carry["h"] @ params["K"]

    def pointwise(self, params, carry, u, v):
        point = jax.nn.softmax(v, axis=-1)
        h = jnp.tanh(u + jnp.einsum("...hk,...k->...h", carry["memory"], point))
        erased = 1 - jax.nn.sigmoid(carry["h"])[..., :, None] * point[..., None, :]
        return {"h": h, "memory": carry["memory"] * erased + 0.5 * h[..., :, None] * point[..., None, :]}

    def output(self, params, carry, u):
        return carry["h"]


@dataclass(frozen=True)
class Skips(Small):
    """A user's: gates and inputs in a tree, one of them integers; an affine `recur` of two products, one of them h's.

    h_t = (1 - z_t) h_tm1 + z_t tanh(x_t W + h_tm1 U),  z_t = σ(n_t + h_tm1 Uᵀ)
    """

    def project(self, params, x):
        return {"drive": super().project(params, x), "count": jnp.sum(x, axis=-1, keepdims=True).astype(jnp.int32)}

    def recur(self, params, h, u):
        return [h @ params["recurrent_kernel"], h @ params["recurrent_kernel"].T]

    def pointwise(self, params, h, u, v):
        z = jax.nn.sigmoid(v[1] + u["count"])
        return (1 - z) * h + z * jnp.tanh(u["drive"] + v[0])


@pytest.mark.parametrize(
    ("cell", "option"), [(LSTM(17), "all at once"), (Reader(), "all rows")], ids=["LSTM", "Reader"]
)
def test_equals_the_sequential_walk(cell, option, x64):
    """By blocks of h and c, in windows, and by whole Jacobians; under masks, lengths, resets and in reverse.

    `tests/long/newton.py` does so for every cell, in second order too.
    """
    option = OPTIONS[option]
    trial = draw(cell, 4, option.batch_shape, 2, np.float64)._replace(**option.rows)
    assert difference_to_reference(cell, trial, compiled=True, implementation="newton", **option.how) is None


def problem_of(cell, steps, batch_shape=(2,), kind=None, dtype=np.float64, gain=1.0, **rows):
    """The problem that `newton` solves, its operands, and the trial they are of."""
    trial = draw(cell, steps, batch_shape, 2, dtype)
    trial = trial._replace(params=jax.tree.map(lambda leaf: gain * leaf, trial.params))
    carry, initial = arguments.carries(cell, trial.params, trial.xs, batch_shape, trial.carry)
    checked = arguments.rows(steps, batch_shape, None, rows.get("mask"), rows.get("resets"))
    xs = jnp.asarray(trial.xs)
    given = arguments.Arguments(cell, trial.params, xs, carry, initial, checked, batch_shape, False, 1)
    return *newton.of_arguments(given, kind), trial


def test_every_kind_of_jacobian_leads_to_the_same_states(x64):
    """In fewer iterations than there are steps, after which any J would do."""
    cell, steps = LSTM(3), 100
    problems = {kind: problem_of(cell, steps, kind=kind) for kind in KINDS}
    assert [problem.size for problem, *_ in problems.values()] == [6, 2, 1]
    found = jax.jit(lambda: [newton.trajectory(problem, operands) for problem, operands, _ in problems.values()])()
    _, operands, trial = problems["full"]
    expected = value(cell, trial, implementation="reference").outputs
    for kind, iterate in zip(KINDS, found, strict=True):
        assert iterate.iterations < newton.LIMITS[kind] < steps
        assert iterate.error <= newton.accepted(operands.carry)
        assert_close(iterate.x[..., :3], expected, "float64")


@pytest.mark.parametrize("cell", [LSTM(3), Skips()], ids=lambda cell: type(cell).__name__)
def test_jacobians_by_the_cut_are_those_by_pushes(cell, x64):
    rows = {name: jnp.asarray(OPTIONS[name].rows[name])[:3] for name in ("mask", "resets")}
    problems = [problem_of(cell, 3, (5,), kind, **rows) for kind in KINDS]
    assert all(problem.is_local for problem, *_ in problems)

    def found(is_local):
        states = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf / 2, -leaf]), problems[0][1].carry)
        return [all_steps.jacobians(p._replace(is_local=is_local), operands, states) for p, operands, _ in problems]

    assert_close(jax.jit(lambda: found(True))(), jax.jit(lambda: found(False))(), "float64")


@pytest.mark.parametrize("cell", [GRU(3, reset_after=False), cells.MGU(3), Reader()], ids=lambda c: type(c).__name__)
def test_a_cell_that_mixes_units_or_multiplies_twice_is_not_local(cell):
    assert not problem_of(cell, 2, dtype=np.float32)[0].is_local


def recurrence(matrices, b):
    """d_t = J_t d_tm1 + b_t, step by step in float64."""
    found, d, size = [], np.zeros_like(b[0]), matrices.shape[-1]
    for matrix, b_t in zip(matrices, b, strict=True):
        d = np.einsum("hpq,qh->ph", matrix, d.reshape(size, -1)).reshape(-1) + b_t
        found.append(d)
    return np.array(found)


@pytest.mark.parametrize("size", [2, 6])
def test_a_recurrence_of_blocks(size):
    noise = np.random.default_rng(0)
    matrices, b = noise.normal(size=(7, 6 // size, size, size)), noise.normal(size=(7, 6))
    got = jax.jit(blocks.solve)(np.float32(matrices), np.float32(b))
    assert_close(got, recurrence(matrices, b), "float32")


def test_a_recurrence_of_blocks_transposed():
    """⟨λ, b⟩ = ⟨g, d⟩ where λ is the adjoint of g, and d the recurrence of b."""
    noise = np.random.default_rng(0)
    matrices, b, g = noise.normal(size=(7, 3, 2, 2)), noise.normal(size=(7, 6)), noise.normal(size=(7, 6))
    adjoint = jax.jit(lambda matrices, g: blocks.solve(blocks.transposed(matrices), g, reverse=True))
    got = np.sum(np.float64(adjoint(np.float32(matrices), np.float32(g))) * b)
    np.testing.assert_allclose(got, np.sum(g * recurrence(matrices, b)), rtol=RTOL["float32"])


def test_what_does_not_converge_is_walked_step_by_step(x64, monkeypatch):
    """The states, and their changes and adjoints: here with no iteration allowed."""
    monkeypatch.setitem(newton.LIMITS, "full", 0)
    cell, option = LSTM(2), OPTIONS["all rows"]
    trial = draw(cell, 4, option.batch_shape, 2, np.float64)._replace(**option.rows)
    assert difference_to_reference(cell, trial, compiled=True, implementation="newton", **option.how) is None


def test_where_nothing_converges_every_step_follows_from_the_one_before(x64):
    """Rounding may grow with every step: the law is about each step alone."""
    cell, steps = Elman(8), 60
    _, operands, trial = problem_of(cell, steps, gain=6.0)
    states = value(cell, trial, implementation="newton").outputs
    before = jnp.concatenate([operands.carry.h[None], states[:-1]])
    stepped = jax.jit(jax.vmap(partial(cell.step, trial.params)))(operands.carry._replace(h=before), trial.xs)[1]
    assert_close(states, stepped, "float64")


def test_a_carry_that_overflows_is_not_accepted():
    """It is in the walk as in the reference: finite as long as it lasts."""

    class Squares(Small):
        """h_t = h_tm1² + 2."""

        def pointwise(self, params, carry, u, v):
            return jnp.square(carry) + 2

    drawn = draw(Squares(), 40, (2,), 2)
    got, expected = (value(Squares(), drawn, implementation=name).outputs for name in ("newton", "reference"))
    assert not np.isfinite(expected).all()
    assert_same_bits(got, expected)


@pytest.mark.parametrize(("steps", "batch_shape"), [(0, (2,)), (1, ()), (3, (0,))])
def test_next_to_nothing_to_walk(steps, batch_shape):
    drawn = draw(LSTM(2), steps, batch_shape, 2)
    got, expected = (value_and_grad(LSTM(2), drawn, implementation=n, reverse=True) for n in ("newton", "reference"))
    assert_close(got, expected, "float32")


@dataclass(frozen=True)
class Counting(Small):
    """A carry of another dtype: one leaf is what it is."""

    dtype: str = "int32"

    def initial_carry(self, params, batch_shape, dtype):
        return super().initial_carry(params, batch_shape, dtype), jnp.zeros(batch_shape, self.dtype)

    def recur(self, params, carry, u):
        return super().recur(params, carry[0], u)

    def pointwise(self, params, carry, u, v):
        return jnp.tanh(v), carry[1] + 1

    def output(self, params, carry, u):
        return carry[0]


class Printing(Small):
    """It has an effect."""

    def pointwise(self, params, carry, u, v):
        jax.debug.print("step")
        return jnp.tanh(v)


REFUSED = [
    (Counting(), r"carry\[1\] is int32; only a floating or complex carry has a Jacobian"),
    (Counting(dtype="bfloat16"), r"carry\[1\] is bfloat16; a residual in less than float32 does not tell a trajectory"),
    (Printing(), "a step has effects"),
]


@pytest.mark.parametrize(("cell", "reason"), REFUSED, ids=["integer", "narrow", "effects"])
def test_who_is_refused(cell, reason):
    params = cell.init(jax.random.key(0), 2)
    with pytest.raises(ValueError, match=f"^implementation: 'newton' cannot run this, since {reason}"):
        recurrax.scan(cell, params, jnp.zeros((4, 3, 2)), implementation="newton")


def test_an_open_number_of_steps_is_refused():
    xs = jax.ShapeDtypeStruct(jax.export.symbolic_shape("t, 2"), np.float32)
    params = Elman(2).init(jax.random.key(0), 2)
    program = jax.jit(lambda xs: recurrax.scan(Elman(2), params, xs, implementation="newton").outputs)
    with pytest.raises(ValueError, match=r"since jax\.export leaves the number of steps open"):
        jax.export.export(program)(xs)


def test_none_never_chooses_it():
    """No benchmark says that it should; None takes the first that supports what is given, and one supports all."""
    names = list(IMPLEMENTATIONS)
    assert names.index("newton") > names.index("reference")
