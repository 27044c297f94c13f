"""Derivatives of the fused scan: first, second (`tests/oracles/test_torch.py` has more), and no forward mode; second
ones of every implementation.
"""

from dataclasses import dataclass
from functools import cache

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
import zoo
from tolerances import SECOND_RTOL, assert_close
from walks import KINDS, draw, loss

import recurrax
from recurrax import GRU, LSTM, Cell, Elman, OrthogonalRNN, Stack
from recurrax.check.trial import value, value_and_grad
from recurrax.kernels.scan import IMPLEMENTATIONS

REFUSAL = "forward mode.*implementation='reference'"


def test_two_products_where_the_compiler_once_failed(x64):
    """XLA of jaxlib 0.10.2 on CPU miscompiled this shape when three stacked adjoints were joined before one product."""
    cell = GRU(5, reset_after=False)
    drawn = draw(cell, 7, (4,), 3, dtype=np.float64)
    assert_close(value_and_grad(cell, drawn), value_and_grad(cell, drawn, implementation="reference"), "float64")


@pytest.mark.parametrize("size", [1, 5])
def test_float64_gradients_are_those_of_the_reference(size, x64, quick_compile):
    cell = LSTM(size)
    drawn = draw(cell, 9, (4,), 3, dtype=np.float64)._replace(lengths=np.array([9, 4, 0, 7]))
    assert_close(value_and_grad(cell, drawn), value_and_grad(cell, drawn, implementation="reference"), "float64")


@pytest.mark.parametrize(
    ("cell", "reverse"), [(LSTM(2), False), (LSTM(2), True), (GRU(2), True), (Elman(2), False)], ids=str
)
def test_gradients_where_all_rows_are_alike(cell, reverse, x64, quick_compile):
    """Without masks and resets the outputs themselves are what the backward walk reads the states from."""
    drawn = draw(cell, 5, (3,), 2, dtype=np.float64)
    fused = value_and_grad(cell, drawn, implementation="fused", reverse=reverse)
    assert_close(fused, value_and_grad(cell, drawn, implementation="reference", reverse=reverse), "float64")


@pytest.mark.parametrize("rows", [3, 9])
@pytest.mark.parametrize("cell", [LSTM(2), GRU(2), Elman(2), zoo.gates.Uneven(2)], ids=str)
def test_gradients_for_few_rows_and_many(cell, rows, x64, quick_compile, plain_style):
    """Products are written otherwise from 8 rows on; what is saved may have several widths."""
    drawn = draw(cell, 4, (rows,), 3, dtype=np.float64)
    assert_close(value_and_grad(cell, drawn), value_and_grad(cell, drawn, implementation="reference"), "float64")


def test_gradients_stop_at_a_reset_and_reach_a_learned_start(quick_compile, plain_style):
    cell = zoo.weights.LearnedStart(4)
    resets = np.array([[False, False], [True, False], [False, True], [False, False]])
    drawn = draw(cell, 4, (2,), 2)._replace(resets=resets)
    fused = value_and_grad(cell, drawn)
    assert_close(fused, value_and_grad(cell, drawn, implementation="reference"), "float32")
    assert np.all(fused.params.start != 0)
    only_last = jax.tree.map(np.zeros_like, drawn.cotangents)
    only_last.outputs[3] = 1.0
    seen = value_and_grad(cell, drawn._replace(cotangents=only_last))
    np.testing.assert_array_equal(np.any(seen.xs != 0, axis=-1), [[0, 0], [1, 0], [1, 1], [1, 1]])
    np.testing.assert_array_equal(seen.carry.h, 0)


@pytest.mark.parametrize("cell", [cell(3) for cell in KINDS], ids=repr)
def test_bfloat16_parameters_run_with_a_float32_carry(cell, quick_compile):
    """Results are single precision, gradients have the dtypes of what they belong to, values are near float32's."""
    drawn = draw(cell, 20, (2,), 3)
    low = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.bfloat16), drawn.params)
    high = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), low)
    pulled = value_and_grad(cell, drawn._replace(params=low))
    assert {jnp.finfo(leaf.dtype).dtype for leaf in jax.tree.leaves(pulled.result)} == {jnp.dtype("float32")}
    assert {leaf.dtype for leaf in jax.tree.leaves(pulled.params)} == {jnp.dtype("bfloat16")}
    gradients = jax.tree.leaves((pulled.xs, pulled.carry))
    assert {jnp.finfo(leaf.dtype).dtype for leaf in gradients} == {jnp.dtype("float32")}
    reference = jax.eval_shape(lambda: value_and_grad(cell, drawn._replace(params=low), implementation="reference"))
    assert jax.tree.map(lambda leaf: leaf.dtype, pulled) == jax.tree.map(lambda leaf: leaf.dtype, reference)
    assert_close(pulled, value_and_grad(cell, drawn._replace(params=high)), "bfloat16")


def test_bfloat16_inputs_too():
    cell = LSTM(3)
    drawn = draw(cell, 4, (2,), 3)
    low = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.bfloat16), (drawn.params, drawn.xs))
    result = jax.eval_shape(lambda: recurrax.scan(cell, *low))
    assert {leaf.dtype for leaf in jax.tree.leaves(result)} == {jnp.dtype("float32")}


def test_hessians_are_those_of_the_reference(x64, quick_compile, plain_style):
    """Every block over (params, xs, carry), for a cell with parameters everywhere, with padding and a reset."""
    cell = zoo.gates.PeepholeLSTM(2)
    drawn = draw(cell, 3, (2,), 1, dtype=np.float64)
    drawn = drawn._replace(lengths=np.array([3, 2]), resets=np.array([[False, False], [False, True], [False, False]]))
    flat, unravel = jax.flatten_util.ravel_pytree((drawn.params, drawn.xs, drawn.carry))

    def hessian(implementation):
        of = loss(cell, drawn, implementation)
        return jax.jit(jax.jacrev(jax.grad(lambda flat: of(*unravel(flat)))))(flat)

    fused, reference = hessian("fused"), hessian("reference")
    assert_close(fused, reference, "float64", SECOND_RTOL)
    assert_close(fused, fused.T, "float64", SECOND_RTOL)
    assert np.linalg.matrix_rank(fused) > 10


@dataclass(frozen=True)
class Decay(Cell):
    """s_t = tanh(θ) s_tm1 + x_t: little to compile, and linear in its carry, so that every implementation runs it."""

    def init(self, key, input_size, dtype=jnp.float32):
        return jnp.full(input_size, 0.5, dtype)

    def initial_carry(self, params, batch_shape, dtype):
        return jnp.zeros((*batch_shape, *params.shape), dtype)

    def project(self, params, x):
        return x

    def recur(self, params, carry, u):
        return ()

    def pointwise(self, params, carry, u, v):
        return jnp.tanh(params) * carry + u

    def output(self, params, carry, u):
        return carry

    def coefficients(self, params, u):
        return jnp.tanh(params), u


RESETS = {"resets": jnp.zeros((4, 2), bool).at[2, 0].set(True)}
OPTIONS = {"chunk": RESETS | {"chunk": 2}, "truncate": RESETS | {"truncate": 2, "reverse": True}}


@cache
def curvature(implementation, option):
    """d²L/dθ² with L = Σ outputs³, one number."""
    cell, theta = Decay(), jnp.array([0.4])
    stacked = implementation == "layered"
    xs = jnp.array([[1.0, 0.3], [-0.5, 0.7], [0.2, 0.9], [0.4, -0.6]])[..., None]

    def loss(theta):
        of, params = (Stack((cell,)), (theta,)) if stacked else (cell, theta)
        return jnp.sum(recurrax.scan(of, params, xs, implementation=implementation, **OPTIONS[option]).outputs ** 3)

    return jax.jit(jax.grad(lambda theta: jax.grad(loss)(theta)[0]))(theta)


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("implementation", sorted({*IMPLEMENTATIONS} - {"reference", "cudnn"}))
def test_every_implementation_has_second_derivatives_under_every_option(
    implementation, option, quick_compile, plain_style
):
    """In a loop around an implementation, of chunks or windows, JAX drops what rules it has beyond the first."""
    assert_close(curvature(implementation, option), curvature("reference", option), "float32", SECOND_RTOL)


def test_what_is_left_whole_may_hold_any_operation(quick_compile):
    """A matrix exponential, in which the newest JAX has operations that it lowers in two steps."""
    cell = OrthogonalRNN(2)
    drawn = draw(cell, 3, (2,), 1)
    got, expected = (value_and_grad(cell, drawn, implementation=name, chunk=2) for name in ("pallas", "reference"))
    assert_close(got, expected, "float32")


@pytest.fixture(scope="module")
def small():
    cell = Elman(2)
    drawn = draw(cell, 3, (2,), 1)
    return cell, jax.tree.map(jnp.asarray, drawn)


@pytest.mark.parametrize("implementation", ["fused", None])
@pytest.mark.parametrize(
    "differentiate",
    [
        lambda of, xs: jax.jvp(of, (xs,), (xs,)),
        lambda of, xs: jax.jvp(jax.jit(of), (xs,), (xs,)),
        lambda of, xs: jax.jit(lambda xs: jax.jvp(of, (xs,), (xs,)))(xs),
        lambda of, xs: jax.jacfwd(of)(xs),
        lambda of, xs: jax.jit(jax.jacfwd(of))(xs),
        lambda of, xs: jax.linearize(of, xs)[1](xs),
    ],
    ids=["jvp", "jvp of jit", "jit of jvp", "jacfwd", "jit of jacfwd", "linearize"],
)
def test_forward_mode_is_refused_with_the_way_out(differentiate, implementation, small):
    cell, drawn = small

    def of(xs):
        return recurrax.scan(cell, drawn.params, xs, implementation=implementation).outputs

    with pytest.raises(TypeError, match=REFUSAL):
        differentiate(of, drawn.xs)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_forward_mode_of_the_reference(wrap, small):
    """<ct, J t> = <Jᵀ ct, t>, with Jᵀ by the fused backward; and the whole J."""
    cell, drawn = small
    of = wrap(lambda xs: value(cell, drawn._replace(xs=xs), implementation="reference").outputs)
    backward = jax.vjp(lambda xs: value(cell, drawn._replace(xs=xs)).outputs, drawn.xs)[1]
    cotangent = drawn.cotangents.outputs
    _, moved = jax.jvp(of, (drawn.xs,), (drawn.xs,))
    (pulled,) = backward(cotangent)
    assert_close(jnp.vdot(cotangent, moved), jnp.vdot(pulled, drawn.xs), "float32")
    assert_close(jax.jacfwd(of)(drawn.xs), jax.jacrev(of)(drawn.xs), "float32")
