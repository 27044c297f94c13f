"""A trained first carry: its gradient is the sum of those of every start."""

import jax
import jax.numpy as jnp
import numpy as np
from tolerances import assert_close

import recurrax
from recurrax.wrappers import LearnedCarry

T, H = 6, 3


def test_gradient_through_resets_masks_and_lengths(x64, quick_compile):
    """h_t = x_t + w h_tm1 by a diagonal identity network: ∂Σy/∂s_0 is a sum of powers of w over each row's segments."""
    cell = LearnedCarry(recurrax.Elman(H, activation="identity"))
    w = 0.5
    params = cell.init(jax.random.key(0), H, jnp.float64)
    params = params._replace(
        cell=params.cell._replace(recurrent_kernel=w * jnp.eye(H, dtype=jnp.float64)[:, None]),
        start=[jnp.arange(1.0, 4.0)],
    )
    xs = np.random.default_rng(0).standard_normal((T, 3, H))
    rows = {
        "lengths": np.array([6, 4, 0]),
        "mask": np.ones((T, 3), bool),
        "resets": np.zeros((T, 3), bool),
    }
    rows["resets"][2, 0] = rows["resets"][5, 1] = True  # the second one lies in padding
    rows["mask"][1, 1] = False

    @jax.jit
    def gradient(params):
        def loss(params):
            return jnp.sum(recurrax.scan(cell, params, xs, **rows).outputs)

        return jax.grad(loss)(params).start[0], recurrax.scan(cell, params, xs, **rows).carry.h[2]

    found, untouched = gradient(params)
    first = sum(w**k for k in (1, 2)) + sum(w**k for k in (1, 2, 3, 4))  # two segments of 2 and of 4 steps
    second = sum(w**k for k in (1, 2, 3))  # four steps, one of them masked
    assert_close(found, np.full(H, first + second), "float64")
    assert_close(untouched, np.arange(1.0, 4.0), "float64")
