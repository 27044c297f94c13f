"""NumPy's float64 arrays go through every door without a warning; warnings are errors here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import recurrax
from recurrax import LSTM, MinGRU, lag

pytestmark = pytest.mark.usefixtures("quick_compile")

RNG = np.random.default_rng(0)
XS = RNG.normal(size=(4, 2, 3))
CELL = MinGRU(2)
PARAMS = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), CELL.init(jax.random.key(0), 3))
RNN = recurrax.nnx.RNN(LSTM(2), 3, time_major=True, dropout=0.1, zoneout=0.1, rngs=nnx.Rngs(0))

DOORS = {
    "reference": lambda: recurrax.scan(CELL, PARAMS, XS, implementation="reference"),
    "fused": lambda: recurrax.scan(CELL, PARAMS, XS, implementation="fused", lengths=np.array([4, 1])),
    "associative": lambda: recurrax.scan(CELL, PARAMS, XS, implementation="associative"),
    "nnx": lambda: RNN(XS),
    "linen": lambda: recurrax.linen.RNN(CELL).apply({"params": PARAMS._asdict()}, XS),
    "adjoint_profile": lambda: lag.adjoint_profile(CELL, PARAMS, XS),
    "lag_matrix": lambda: lag.lag_matrix(CELL, PARAMS, XS, anchors=(3,)),
    "jacobian_profile": lambda: lag.jacobian_profile(CELL, PARAMS, XS, lags=(0, 1)),
    "parameter_profile": lambda: lag.parameter_profile(CELL, PARAMS, XS),
}


@pytest.mark.parametrize("door", DOORS)
def test_no_warning_and_float32(door):
    floating = [leaf for leaf in jax.tree.leaves(DOORS[door]()) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    assert floating
    assert all(leaf.dtype == jnp.float32 for leaf in floating if isinstance(leaf, jax.Array))
