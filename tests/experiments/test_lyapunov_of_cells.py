"""The exponent that is told where an LSTM's memory is left out."""

import jax
import jax.numpy as jnp
import lyapunov_of_cells
import numpy as np
import pytest

from recurrax import GRU, LSTM, Elman, lag


def test_it_is_that_of_the_product_of_the_blocks(x64):
    """Against the product of 60 Jacobians, whose norm is their exponent's but for an alignment."""
    cell, key = LSTM(4), jax.random.key(0)
    params, xs = cell.init(key, 3, jnp.float64), jax.random.normal(key, (60, 3), jnp.float64)
    carry, product = cell.initial_carry(params, (), jnp.float64), np.eye(4)
    norms = []
    for x in xs:
        block = jax.jacobian(lambda h, carry=carry, x=x: cell.step(params, carry._replace(h=h), x)[0].h)(carry.h)
        carry, product = cell.step(params, carry, x)[0], np.asarray(block) @ product
        norms.append(np.log(np.linalg.norm(product, 2)))
    found = lyapunov_of_cells.exponent_of_h(cell, params, xs)
    assert found.shape == (1,)
    assert found[0] == pytest.approx((norms[-1] - norms[5]) / 54, rel=0.03)


@pytest.mark.parametrize("cell", [Elman(5), GRU(5)])
def test_where_h_is_all_that_is_carried_it_is_the_leading_exponent(cell, x64):
    key = jax.random.key(1)
    params, xs = cell.init(key, 3, jnp.float64), jax.random.normal(key, (300, 3), jnp.float64)
    leading = lag.lyapunov_spectrum(cell, params, xs, exponents=1).exponents
    np.testing.assert_allclose(lyapunov_of_cells.exponent_of_h(cell, params, xs), leading, rtol=0.02)


def test_which_cells_have_more_than_h():
    for cell, more in ((LSTM(4), True), (Elman(4), False)):
        assert lyapunov_of_cells.has_memory(cell, cell.init(jax.random.key(0), 3)) is more
