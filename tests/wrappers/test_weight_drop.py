"""Weights that are dropped: which ones they are, and that a row is the cell with its own kernels, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tolerances import assert_close
from zoo.trials import OPTIONS, found

import recurrax
from recurrax import GRU, LSTM, Elman, Normed, OrthogonalRNN, WeightDrop, with_key

pytestmark = pytest.mark.usefixtures("quick_compile", "plain_style")

RATE = 0.25


@pytest.mark.parametrize("inner", [LSTM(4, peepholes=True, projection_size=3), Normed(GRU(4))], ids=repr)
def test_a_row_is_the_cell_with_kernels_of_its_own(inner, x64):
    cell = WeightDrop(inner, RATE)
    params = cell.init(jax.random.key(0), 3, jnp.float64)
    xs = jax.random.normal(jax.random.key(1), (5, 2, 3), jnp.float64)
    carry = with_key(cell.initial_carry(params, (2,), jnp.float64), jax.random.key(2))
    weights = jax.random.normal(jax.random.key(3), (5, 2, inner.step(params, carry.cell, xs[0])[1].shape[-1]))

    def loss(params):
        return jnp.sum(weights * recurrax.scan(cell, params, xs, carry).outputs)

    def row_by_row(params):
        rows = [
            recurrax.scan(inner, cell.dropped(params, carry.key[row], xs[0, row]), xs[:, row]).outputs
            for row in range(2)
        ]
        return jnp.sum(weights * jnp.stack(rows, axis=1))

    got, expected = (jax.jit(jax.value_and_grad(f))(params) for f in (loss, row_by_row))
    assert_close(got, expected, "float64")


@pytest.mark.parametrize(
    ("cell", "kernels"),
    [
        (LSTM(64, peepholes=True), {".recurrent_kernel"}),
        (GRU(64), {".recurrent_kernel"}),
        (Normed(Elman(64)), {".cell.recurrent_kernel"}),
        (OrthogonalRNN(64), {".skew"}),  # what the kernel is the exponential of
    ],
    ids=repr,
)
def test_recurrent_kernels_are_dropped_and_nothing_else(cell, kernels):
    params = cell.init(jax.random.key(0), 3)
    masked = WeightDrop(cell, RATE).dropped(params, jax.random.key(1), jnp.zeros(3))
    for (path, new), old in zip(jax.tree.leaves_with_path(masked), jax.tree.leaves(params), strict=True):
        if jax.tree_util.keystr(path) not in kernels:
            np.testing.assert_array_equal(new, old)
            continue
        there = np.asarray(old) != 0
        dropped = (np.asarray(new) == 0) & there
        np.testing.assert_allclose(new, np.where(dropped, 0, old / (1 - RATE)), rtol=1e-6)
        # Five standard errors of a binomial share.
        assert abs(dropped[there].mean() - RATE) < 5 * np.sqrt(RATE * (1 - RATE) / there.sum())


def test_without_a_key_it_is_the_cell(x64):
    cell, xs = WeightDrop(LSTM(4), RATE), jax.random.normal(jax.random.key(1), (5, 2, 3), jnp.float64)
    params = cell.init(jax.random.key(0), 3, jnp.float64)
    got, expected = recurrax.scan(cell, params, xs), recurrax.scan(LSTM(4), params, xs)
    assert_close((got.outputs, got.carry.cell), tuple(expected), "float64")


def test_the_fused_scan_is_the_reference(x64):
    assert found(WeightDrop(Elman(3), 0.5), OPTIONS["all rows"], compiled=True) is None


def test_a_product_inside_of_a_loop_of_a_cell_is_found():
    """A user's recur whose product stands in a `lax.scan` of its own, behind `jax.jit`."""

    class Looped(Elman):
        def recur(self, params, carry, u):
            @jax.jit
            def product(h, kernel):
                return jax.lax.scan(lambda h, _: (h @ kernel[:, 0], None), h, length=1)[0]

            return jax.tree.map(lambda leaf: leaf + product(carry.h, params.recurrent_kernel), u)

    cell = WeightDrop(Looped(4), RATE)
    params = cell.init(jax.random.key(0), 3)
    masked = cell.dropped(params, jax.random.key(1), jnp.zeros(3))
    assert bool(jnp.any(masked.recurrent_kernel == 0))
    np.testing.assert_array_equal(masked.kernel, params.kernel)
