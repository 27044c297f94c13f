"""How time may be walked: shapes, directions, chunks and rows, driven by hypothesis where many cases matter."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tolerances import assert_close, assert_same_bits
from walks import KINDS, cut, draw

import recurrax
from recurrax import GRU, LSTM, Elman, MinGRU
from recurrax.check.trial import loop, value, value_and_grad

pytestmark = pytest.mark.usefixtures("quick_compile", "plain_style")

ONE_OF_EACH = [cell(3) for cell in KINDS]
ANY_CELL = [*ONE_OF_EACH, GRU(3, reset_after=False), Elman(3, activation="relu"), *zoo.OF_FOUR_KINDS]


@st.composite
def arguments(draw_from):
    """A cell and everything `scan` takes, of any small shape, rows included."""
    cell = draw_from(st.sampled_from(ANY_CELL))
    steps = draw_from(st.integers(0, 4))
    batch_shape = draw_from(st.sampled_from([(), (1,), (3,), (2, 2), (0,), (2, 1, 2)]))
    drawn = draw(cell, steps, batch_shape, draw_from(st.integers(1, 3)), seed=draw_from(st.integers(0, 99)))
    bits = np.random.default_rng(draw_from(st.integers(0, 99)))
    if draw_from(st.booleans()):
        drawn = drawn._replace(lengths=bits.integers(0, steps + 1, batch_shape))
    if draw_from(st.booleans()):
        drawn = drawn._replace(mask=bits.random((steps, *batch_shape)) < 0.7)
    if draw_from(st.booleans()):
        drawn = drawn._replace(resets=bits.random((steps, *batch_shape)) < 0.3)
    return cell, drawn, draw_from(st.booleans())


@given(arguments())
@settings(max_examples=8)
def test_any_shape_any_rows(case):
    """Values are those of a loop over step, gradients those of the reference."""
    cell, given, reverse = case
    fused = value_and_grad(cell, given, implementation="fused", reverse=reverse)
    reference = value_and_grad(cell, given, implementation="reference", reverse=reverse)
    assert_close(fused, reference, "float32")
    outputs, carry = loop(cell, given, reverse)
    assert fused.result.outputs.shape[:-1] == given.xs.shape[:-1]
    assert_close(list(fused.result.outputs), outputs, "float32")
    assert_close(fused.result.carry, jax.tree.map(np.asarray, carry), "float32")


LENGTHS = st.lists(st.integers(0, 6), min_size=4, max_size=4)


@given(LENGTHS)
@example([6, 6, 6, 6])
@example([0, 1, 5, 6])
@settings(max_examples=25)
def test_reverse_is_forward_on_each_flipped_row(lengths):
    cell = LSTM(3)
    drawn = draw(cell, 6, (4,), 2)._replace(lengths=np.array(lengths))
    flipped = np.zeros_like(drawn.xs)
    for row, length in enumerate(lengths):
        flipped[:length, row] = drawn.xs[:length, row][::-1]
    backward = value(cell, drawn, reverse=True)
    forward = value(cell, drawn._replace(xs=flipped))
    assert_close(backward.carry, forward.carry, "float32")
    for row, length in enumerate(lengths):
        assert_close(backward.outputs[:length, row], forward.outputs[:length, row][::-1], "float32")
        np.testing.assert_array_equal(backward.outputs[length:, row], 0)


def test_chunked_is_whole():
    """Bit for bit where every step is the same program; the fused projection is a product whose rows are counted, and
    XLA sums tiny products in an order that depends on their size.
    """
    cell = LSTM(3)
    drawn = draw(cell, 6, (2,), 2)
    for implementation, same in (("reference", assert_same_bits), ("fused", close)):
        whole = value(cell, drawn, implementation=implementation)
        first = value(cell, cut(drawn, 0, 3), implementation=implementation)
        second = value(cell, cut(drawn, 3, 6)._replace(carry=first.carry), implementation=implementation)
        same(np.concatenate([first.outputs, second.outputs]), np.asarray(whole.outputs))
        same(second.carry, whole.carry)


def close(actual, expected):
    assert_close(actual, expected, "float32")


@pytest.mark.parametrize("cell", ONE_OF_EACH, ids=repr)
def test_the_order_of_the_batch_does_not_matter(cell):
    drawn = draw(cell, 5, (4,), 2)._replace(lengths=np.array([5, 3, 0, 4]))
    order = np.array([2, 0, 3, 1])
    moved = drawn._replace(
        xs=drawn.xs[:, order], carry=jax.tree.map(lambda leaf: leaf[order], drawn.carry), lengths=drawn.lengths[order]
    )
    expected, got = value(cell, drawn), value(cell, moved)
    assert_same_bits(got.outputs, expected.outputs[:, order])
    assert_same_bits(got.carry, jax.tree.map(lambda leaf: leaf[order], expected.carry))


def test_a_batch_of_one_is_its_row_in_a_batch():
    cell = LSTM(3)
    drawn = draw(cell, 5, (4,), 2)
    alone = drawn._replace(xs=drawn.xs[:, 2:3], carry=jax.tree.map(lambda leaf: leaf[2:3], drawn.carry))
    expected, got = value(cell, drawn), value(cell, alone)
    assert_close(got.outputs, expected.outputs[:, 2:3], "float32")
    assert_close(got.carry, jax.tree.map(lambda leaf: leaf[2:3], expected.carry), "float32")


def test_batch_axes_are_one_batch():
    """(T, 2, 3, D) is (T, 6, D), and (T, D) is a row of it."""
    cell = GRU(3)
    flat = draw(cell, 5, (6,), 2)
    wide = flat._replace(xs=flat.xs.reshape(5, 2, 3, 2), carry=jax.tree.map(lambda c: c.reshape(2, 3, 3), flat.carry))
    row = flat._replace(xs=flat.xs[:, 4], carry=jax.tree.map(lambda c: c[4], flat.carry))
    expected = value(cell, flat)
    assert_close(value(cell, wide).outputs.reshape(5, 6, 3), expected.outputs, "float32")
    assert_close(value(cell, row).outputs, expected.outputs[:, 4], "float32")


@pytest.mark.parametrize("implementation", ["fused", "reference"])
@pytest.mark.parametrize(("steps", "batch_shape"), [(0, (2,)), (3, (0,)), (0, ())])
def test_nothing_to_walk(implementation, steps, batch_shape):
    cell = LSTM(3)
    drawn = draw(cell, steps, batch_shape, 2)
    got = value_and_grad(cell, drawn, implementation=implementation)
    assert got.result.outputs.shape == (steps, *batch_shape, 3)
    assert_same_bits(got.result.carry, drawn.carry)
    assert_same_bits(got.carry, drawn.cotangents.carry)
    np.testing.assert_array_equal(jax.tree.leaves(got.params)[0], 0)


def test_a_reset_starts_afresh_from_the_initial_carry():
    cell = zoo.weights.LearnedStart(4)
    drawn = draw(cell, 6, (2,), 2)
    resets = np.zeros((6, 2), bool)
    resets[4] = True
    whole = value(cell, drawn._replace(resets=resets))
    initial = cell.initial_carry(jax.tree.map(jnp.asarray, drawn.params), (2,), jnp.float32)
    fresh = value(cell, cut(drawn, 4, 6)._replace(carry=initial))
    assert_close(whole.outputs[4:], fresh.outputs, "float32")
    assert_close(whole.carry, fresh.carry, "float32")
    assert np.max(np.abs(whole.outputs[4:] - value(cell, drawn).outputs[4:])) > 1e-3


def test_without_a_carry_the_cell_starts_from_its_own():
    cell = zoo.weights.LearnedStart(4)
    drawn = draw(cell, 3, (2,), 2)
    given_none = recurrax.scan(cell, drawn.params, drawn.xs)
    initial = cell.initial_carry(jax.tree.map(jnp.asarray, drawn.params), (2,), jnp.float32)
    assert_same_bits(given_none, value(cell, drawn._replace(carry=initial)))


def test_unrolling_changes_nothing():
    cell = GRU(3)
    drawn = draw(cell, 5, (2,), 2)._replace(lengths=np.array([5, 3]))
    assert_close(value_and_grad(cell, drawn, unroll=2), value_and_grad(cell, drawn), "float32")


def test_vmap_over_seeds_is_a_loop_over_seeds():
    cell = LSTM(3)
    drawn = [draw(cell, 4, (2,), 2, seed=seed) for seed in range(3)]
    params = jax.tree.map(lambda *leaves: np.stack(leaves), *(one.params for one in drawn))

    def of(params):
        return value_and_grad(cell, drawn[0]._replace(params=params))

    together = jax.jit(jax.vmap(of))(params)
    for seed, one in enumerate(drawn):
        assert_close(jax.tree.map(lambda leaf, at=seed: leaf[at], together), of(one.params), "float32")


@pytest.mark.parametrize(
    ("implementation", "cell"),
    [("fused", Elman(3)), ("pallas", Elman(3)), ("newton", Elman(3)), ("associative", MinGRU(3))],
    ids=str,
)
def test_vmap_and_then_the_gradient(implementation, cell):
    """Results and gradients by parameters and inputs: in the layout of the reference, whose loops JAX differentiates.

    JAX takes the mapped axis of a forward rule's results to be where the plain function has it, and says nothing.
    """
    drawn = [draw(cell, 4, (2,), 2, seed=seed) for seed in range(3)]
    params, xs, cotangents = (
        jax.tree.map(lambda *leaves: np.stack(leaves), *(getattr(one, name) for one in drawn))
        for name in ("params", "xs", "cotangents")
    )

    def of(implementation):
        def run(params, xs):
            return recurrax.scan(cell, params, xs, implementation=implementation)

        results, pull = jax.vjp(jax.vmap(run), params, xs)
        return results, pull(cotangents)

    assert_close(*jax.jit(lambda: (of(implementation), of("reference")))(), "float32")


@pytest.mark.parametrize("mapped", [(0, None), (None, 0), (0, 0)], ids=str)
@pytest.mark.parametrize(
    ("implementation", "cell"),
    [("fused", Elman(3)), ("pallas", Elman(3)), ("newton", GRU(3)), ("associative", MinGRU(3))],
    ids=str,
)
def test_vmap_and_then_second_derivatives(implementation, cell, mapped):
    """A Hessian-vector product of a sum over what is mapped, parameters or inputs or both."""
    drawn = [draw(cell, 4, (2,), 2, seed=seed) for seed in range(3)]
    given = [
        jax.tree.map(lambda *leaves: np.stack(leaves), *(getattr(one, name) for one in drawn))
        if axis == 0
        else getattr(drawn[0], name)
        for name, axis in zip(("params", "xs"), mapped, strict=True)
    ]

    def of(implementation):
        def loss(params, xs):
            return jnp.sum(jnp.sin(recurrax.scan(cell, params, xs, implementation=implementation).outputs))

        def total(*given):
            return jnp.sum(jax.vmap(loss, in_axes=mapped)(*given))

        return jax.jvp(jax.grad(total, argnums=(0, 1)), given, jax.tree.map(np.cos, given))

    assert_close(*jax.jit(lambda: (of(implementation), of("reference")))(), "float32")
