"""An LSTM seen through h alone."""

import jax
import jax.numpy as jnp
import lyapunov_of_cells
import numpy as np

from recurrax import LSTM, Elman


def test_an_lstm_seen_through_h_alone_takes_the_same_steps(x64):
    cell, key = LSTM(4), jax.random.key(0)
    params, xs = cell.init(key, 3, jnp.float64), jax.random.normal(key, (20, 3), jnp.float64)
    seen = lyapunov_of_cells.with_carry(cell, params, xs)
    carry = lyapunov_of_cells.ElmanCarry(h=jnp.zeros(4, jnp.float64))
    whole = cell.initial_carry(params, (), jnp.float64)
    for step in range(20):
        x = jax.tree.map(lambda leaf, step=step: leaf[step], seen)
        carry = lyapunov_of_cells.HiddenOnly(cell).step(params, carry, x)[0]
        whole = cell.step(params, whole, xs[step])[0]
        np.testing.assert_allclose(carry.h, whole.h, rtol=1e-12)


def test_which_cells_have_more_than_h():
    for cell, more in ((LSTM(4), True), (Elman(4), False)):
        assert lyapunov_of_cells.has_memory(cell, cell.init(jax.random.key(0), 3)) is more
