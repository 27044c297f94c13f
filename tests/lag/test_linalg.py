"""QR by reflections against NumPy's, for any shape, rank and scale."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recurrax.lag.linalg import orthonormal

find = jax.jit(orthonormal)


@pytest.mark.parametrize("shape", [(1, 1), (3, 8), (40, 70), (96, 96)], ids=str)
def test_is_the_qr_decomposition_up_to_signs(shape, x64):
    count = shape[0]
    rows = np.random.default_rng(0).normal(size=shape) * np.exp(-0.2 * np.arange(count))[:, None]
    q, log_diagonal = find(jnp.asarray(rows))
    expected, triangle = np.linalg.qr(rows.T)
    np.testing.assert_allclose(q @ q.T, np.eye(count), atol=1e-13)
    np.testing.assert_allclose(np.abs(np.sum(np.asarray(q) * expected.T, axis=1)), 1.0, rtol=1e-12)
    np.testing.assert_allclose(log_diagonal, np.log(np.abs(np.diagonal(triangle))), atol=1e-12)


def test_dependent_rows_still_give_a_whole_frame(x64):
    rows = np.random.default_rng(0).normal(size=(40, 50))
    rows[3], rows[7] = rows[2], 0.0
    rows[39] = rows[:39].sum(axis=0)
    q, log_diagonal = find(jnp.asarray(rows))
    np.testing.assert_allclose(q @ q.T, np.eye(40), atol=1e-13)
    assert (np.asarray(log_diagonal)[[3, 7, 39]] < -30).all()
    assert np.isneginf(find(jnp.zeros((4, 6)))[1]).all()
    np.testing.assert_array_equal(find(jnp.zeros((4, 6)))[0], np.eye(4, 6))


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_squares_neither_underflow_nor_overflow(scale):
    rows = np.random.default_rng(0).normal(size=(5, 5)).astype(np.float32)
    (q, log_diagonal), (q_1, log_diagonal_1) = find(jnp.asarray(scale * rows, jnp.float32)), find(jnp.asarray(rows))
    np.testing.assert_allclose(q, q_1, atol=1e-5)
    np.testing.assert_allclose(log_diagonal - np.log(scale), log_diagonal_1, atol=1e-5)
