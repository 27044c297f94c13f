"""What stands for an operation that Pallas does not lower for TPU computes the same, and is made of others."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tolerances import RTOL, assert_close
from walks import equations

from recurrax.kernels import jaxprs, operations, substitutes

NOT_LOWERED = {
    *("expm1", "erfc", "sign", "cumsum", "rev", "sort", "top_k", "gather", "scatter-add", "empty2"),
    *("remat2", "custom_vjp_call"),
}
"""Or only in some forms."""


def grid(dtype, low, high):
    """Of both signs, evenly and down to where numbers end, and what is no number."""
    small = np.geomspace(np.finfo(dtype).tiny, high, 400)
    return np.concatenate([np.linspace(low, high, 801), small, -small[-small > low], [0, -0.0, np.nan]]).astype(dtype)


FUNCTIONS = [
    (operations.expm1, jax.lax.expm1, (-50, 80), (-50, 700)),
    (operations.erfc, jax.lax.erfc, (-10, 9), (-10, 26)),
    (operations.sign, jax.lax.sign, (-1, 1), (-1, 1)),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("substitute", "original", *("narrow", "wide")), FUNCTIONS, ids=("expm1", "erfc", "sign"))
def test_a_function_is_right_over_its_range_and_near_zero(substitute, original, narrow, wide, dtype, x64):
    """Relative to each value, not to the largest."""
    x = grid(dtype, *(narrow if dtype == "float32" else wide))
    expected = np.asarray(original(x.astype(np.float64)))
    got = substitute(jnp.asarray(x))
    assert got.dtype == dtype
    np.testing.assert_allclose(got, expected, rtol=RTOL[dtype], atol=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_at_infinity(dtype, x64):
    far = jnp.array([jnp.inf, -jnp.inf], dtype)
    for substitute, original, *_ in FUNCTIONS:
        np.testing.assert_array_equal(substitute(far), original(far))


def bounded(x, w):
    """Branches that keep bools and drop what the others need."""
    return jax.lax.switch(jnp.int32(w[0, 0] > 0), [jax.nn.relu, jnp.tanh, lambda x: jnp.maximum(x, w[0])], x)


@jax.custom_vjp
def halved_backwards(x):
    return jnp.flip(x, -1)


halved_backwards.defvjp(lambda x: (jnp.flip(x, -1), None), lambda _, ct: (0.5 * jnp.flip(ct, -1),))

PLACES, BY_ROW = np.array([2, 0, 3, 3]), np.array([[1, 0], [3, 3], [-1, 2], [7, 0], [0, 1]])
PROGRAMS = {
    "cumsum": lambda x, w: jnp.cumsum(x, axis=-1) + jax.lax.cumsum(x, axis=0, reverse=True),
    "cumsum of ints": lambda x, w: x * jnp.cumsum(jnp.round(x).astype(jnp.int32), axis=1),
    "flip": lambda x, w: jnp.flip(x, -1) * w[:, :1].T[:, :1] + jnp.flip(x),
    "sort": lambda x, w: jnp.sort(x, axis=-1) * x + jnp.sort(x, axis=0),
    "sort, with equals": lambda x, w: x * jnp.argsort(jnp.round(x), axis=-1) + x[:, jnp.argsort(w[0])],
    "sort, descending": lambda x, w: x * jnp.argsort(x, axis=-1, descending=True),
    "sort by two": lambda x, w: jax.lax.sort([jnp.round(x), x], num_keys=2, dimension=1)[1] * x,
    "top_k": lambda x, w: jax.lax.top_k(x, 2)[0] * jax.lax.top_k(jnp.round(x) + 0.0, 2)[1],
    "take": lambda x, w: x[:, PLACES] * jnp.take(w, jnp.array([0, 2]), axis=0)[:1],
    "take, clipped and filled": lambda x, w: (
        x.at[:, jnp.array([0, 9])].get(mode="clip") + x.at[:, jnp.array([1, 9])].get(mode="fill", fill_value=3.0)
    ),
    "take along": lambda x, w: jnp.take_along_axis(x, BY_ROW % 4, axis=-1),
    "take one": lambda x, w: jnp.take_along_axis(w[None], jnp.argmax(x, axis=-1)[:, None, None], axis=-2)[:, 0],
    "add at": lambda x, w: x.at[:, PLACES].add(w[:1]) + x.at[:, jnp.array([1, 9])].add(2 * x[:, :2], mode="drop"),
    "inner": lambda x, w: jnp.einsum("bi,bi->b", x, x),
    "outer": lambda x, w: jnp.einsum("bi,bj->bij", x, x) @ w,
    "matrices by vectors": lambda x, w: jnp.einsum("bij,bj->bi", x[:, :, None] * w, x),
    "a batch axis that is second": lambda x, w: jnp.einsum("bnd,ndge->bgne", x.reshape(5, 2, 2), w.reshape(2, 2, 2, 2)),
    "two batch axes": lambda x, w: jnp.einsum("abij,abjk->abik", *[(x[:, :, None] * w).reshape(5, 4, 2, 2)] * 2),
    "two contracted axes": lambda x, w: jnp.einsum("bij,ijk->bk", x.reshape(5, 2, 2), w.reshape(2, 2, 4)),
    "scan": lambda x, w: jax.lax.scan(lambda c, x: (jnp.expm1(-jnp.abs(c)) + x, jnp.flip(c)), w[0], x, reverse=True)[1],
    "fori": lambda x, w: jax.lax.fori_loop(0, 3, lambda i, c: jnp.tanh(c + jnp.cumsum(x, 1)), x),
    "long fori": lambda x, w: x * jax.lax.fori_loop(0, 99, lambda i, c: jnp.tanh(c + jnp.cumsum(x, 1)), x)[0, 0],
    "while": lambda x, w: (
        x * jax.lax.while_loop(lambda c: jnp.sum(jnp.sign(c)) < 8, lambda c: c + jnp.flip(jnp.abs(c)), x)
    ),
    "cond": bounded,
    "checkpoint": lambda x, w: jax.checkpoint(jnp.expm1)(x),
    "custom rule": lambda x, w: halved_backwards(x),
    "gelu, elu": lambda x, w: jax.nn.gelu(x, approximate=False) + jax.nn.elu(x) * jnp.sign(x),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_and_its_derivative(name, x64):
    f = PROGRAMS[name]
    if name in ("while", "long fori"):  # no loop over arrays that is short
        f = lambda x, w: jax.lax.stop_gradient(PROGRAMS[name](x, w))  # noqa: E731

    def both(x, w):
        y, pull = jax.vjp(f, x, w)
        return y, pull(jnp.sin(y))

    noise = np.random.default_rng(0)
    x, w = noise.standard_normal((5, 4)), noise.standard_normal((4, 4))
    with jax.numpy_rank_promotion("allow"):
        traced = jax.make_jaxpr(both)(x, w)
    got = jax.make_jaxpr(lambda *leaves: substitutes.evaluate(traced, leaves))(x, w)
    assert [var.aval for var in got.jaxpr.outvars] == [var.aval for var in traced.jaxpr.outvars]
    assert_close(jaxprs.evaluate(got, [x, w]), jaxprs.evaluate(traced, [x, w]), "float64")
    eqns = list(equations(got.jaxpr))
    assert NOT_LOWERED.isdisjoint(eqn.primitive.name for eqn in eqns)
    for eqn in eqns:
        if eqn.primitive.name == "dot_general":
            (contracted, _), (batch, _) = eqn.params["dimension_numbers"]
            assert (len(contracted), eqn.invars[0].aval.ndim) in [(1, 2), (1, 3)]
            assert len(batch) == eqn.invars[0].aval.ndim - 2


def test_nan_is_sorted_last_and_taken_first():
    x = jnp.array([[2.0, jnp.nan, -jnp.inf, 1.0, jnp.nan]])
    for f in (partial(jnp.sort, axis=-1), partial(jnp.argsort, axis=-1), lambda x: jax.lax.top_k(x, 3)):
        traced = jax.make_jaxpr(f)(x)
        for got, expected in zip(substitutes.evaluate(traced, [x]), jax.tree.leaves(f(x)), strict=True):
            np.testing.assert_array_equal(got, expected)


def test_what_is_not_along_one_axis_is_left_as_it_is():
    x, rows, columns = jnp.arange(6.0).reshape(2, 3), jnp.array([1, 0, 1]), jnp.array([2, 2, 0])
    traced = jax.make_jaxpr(lambda x: (x[rows, columns], x.at[rows, columns].add(1.0)))(x)
    for got, expected in zip(substitutes.evaluate(traced, [x]), jaxprs.evaluate(traced, [x]), strict=True):
        np.testing.assert_array_equal(got, expected)
