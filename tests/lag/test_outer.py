"""Norms of outer products from their factors, against the norms of the products."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo
from walks import KINDS

import recurrax
from recurrax import cells
from recurrax.kernels import jaxprs
from recurrax.lag import outer, parameter, walk

pytestmark = pytest.mark.usefixtures("x64", "plain_style", "quick_compile")

A, B, C = (np.random.default_rng(i).normal(size=size) for i, size in enumerate((3, 4, 4)))
WIDE = np.random.default_rng(3).normal(size=(2, 5))


def outer_product(a, b):
    return jax.lax.dot_general(a, b, (((), ()), ((), ())))


def below(one, other, rows):
    """The sum of both, the other some rows further down."""
    return jnp.pad(one, ((0, rows), (0, 0))) + jnp.pad(other, ((rows, 0), (0, 0)))


FORMS = {
    "a product": (lambda a, b, c: outer_product(a, b), True),
    "moved": (lambda a, b, c: -jnp.einsum("i,j->ji", a, b).reshape(2, 2, 3)[None], True),
    "many": (lambda a, b, c: jnp.einsum("ki,kj->kij", WIDE, 2 * WIDE), True),
    "side by side": (lambda a, b, c: below(outer_product(a, b), outer_product(a, c), 3), True),
    "and nothing": (lambda a, b, c: outer_product(a, b) + jnp.zeros((3, 4)), True),
    "one over the other": (lambda a, b, c: below(outer_product(a, b), outer_product(a, c), 2), False),
    "a sum": (lambda a, b, c: outer_product(a, b) + outer_product(a, c), False),
    "that cancels": (lambda a, b, c: outer_product(a, b) - outer_product(a, b * (1 + 1e-9)), False),
    "a product of them": (lambda a, b, c: outer_product(a, b) * outer_product(a, c), False),
    "a sum over rows": (lambda a, b, c: jnp.matmul(WIDE.T, WIDE), False),
    "padded with ones": (lambda a, b, c: jnp.pad(outer_product(a, b), 1, constant_values=1.0), False),
    "cut": (lambda a, b, c: outer_product(a, b)[1:], False),
    "zeros": (lambda a, b, c: jnp.zeros(3), True),
}  # fmt: skip


def made(f, *args):
    """How many elements the largest product or sum has that f computes."""
    eqns = [eqn for eqn in jaxprs.trace(f, *args).jaxpr.eqns if eqn.primitive.name in ("dot_general", "add", "add_any")]
    return max((var.aval.size for eqn in eqns for var in eqn.outvars), default=0)


@pytest.mark.parametrize("form", FORMS)
def test_the_norm_is_that_of_the_array(form):
    f, is_products = FORMS[form]
    want = f(A, B, C)
    got = outer.log_norms(f, A, B, C)
    np.testing.assert_allclose(np.exp(got), np.linalg.norm(want), rtol=1e-12)
    assert (made(partial(outer.log_norms, f), A, B, C) < 12) == is_products


def test_norms_beyond_floats():
    tiny = jnp.asarray([3e-200, 4e-200])
    assert float(outer.log_norms(outer_product, tiny, tiny)) == pytest.approx(2 * np.log(5e-200))


def step(cell, params, xs, carry):
    at_t = jax.tree.map(lambda leaf: leaf[2], walk.record(cell, params, xs, carry, None)[0])
    after = cell.pointwise(params, at_t.before, at_t.u, at_t.v)
    return at_t, walk.differentiable((after, cell.output(params, after, at_t.u)))


def drawn(cell):
    """Of one row: parameters, what a step used, adjoints."""
    xs = cell.inputs(np.random.default_rng(0), 3, (), jnp.float64) if hasattr(cell, "inputs") else jnp.ones((3, 2))
    params = cell.init(jax.random.key(0), getattr(cell, "features", 2), jnp.float64)
    carry = cell.initial_carry(params, (), jnp.float64)
    at_t, adjoints = jax.jit(partial(step, cell))(params, xs, carry)
    return params, at_t, jax.tree.map(lambda leaf: jnp.cos(3 * leaf) + jnp.ones_like(leaf), adjoints)


@pytest.mark.parametrize("cell", [*(cell(3) for cell in KINDS), *zoo.ALL[1::5]], ids=lambda cell: type(cell).__name__)
def test_of_every_cell(cell):
    params, at_t, adjoints = drawn(cell)
    of_step = partial(parameter._gradient, cell, params)
    both = jax.jit(lambda *step: (of_step(*step), outer.log_norms(of_step, *step)))
    want, got = map(jax.tree.leaves, both(at_t, adjoints))
    norms = [np.linalg.norm(np.ravel(leaf)) for leaf in want]
    np.testing.assert_allclose(np.exp(got), norms, rtol=1e-12, atol=1e-12 * max(norms, default=0))


WIDE_CELLS = (recurrax.LSTM(24), recurrax.GRU(24), recurrax.GRU(24, reset_after=False), cells.MGU(24))


@pytest.mark.parametrize("cell", WIDE_CELLS, ids=repr)
def test_a_kernels_gradient_is_never_made(cell):
    params, at_t, adjoints = drawn(cell)
    of_step = partial(parameter._gradient, cell, params)
    assert made(partial(outer.log_norms, of_step), at_t, adjoints) < 24 * 24 <= made(of_step, at_t, adjoints)
