import jax
import jax.numpy as jnp
import numpy as np
import pytest

import recurrax
from recurrax import cells, train


@pytest.mark.parametrize("cell", [cell(5) for cell in cells.ALL], ids=lambda cell: type(cell).__name__)
def test_is_a_linear_map_of_the_scan(cell):
    model = train.Readout(cell, input_size=3, output_size=2, every_step=True)
    params = model.init(jax.random.key(0))
    params = params._replace(bias=jnp.array([0.5, -1.0]))
    xs = jax.random.normal(jax.random.key(1), (4, 6, 3))
    outputs = np.asarray(recurrax.scan(cell, params.cell, xs).outputs, np.float64)
    expected = outputs @ np.asarray(params.kernel, np.float64) + np.array([0.5, -1.0])
    np.testing.assert_allclose(model.predict(params, xs), expected, atol=1e-6)
    last = train.Readout(cell, 3, 2, every_step=False)
    np.testing.assert_allclose(last.predict(params, xs), expected[-1], atol=1e-6)
    assert hash(last) == hash(train.Readout(cell, 3, 2, every_step=False))


def test_refuses_no_outputs():
    with pytest.raises(ValueError, match="output_size: expected a positive int, got 0"):
        train.Readout(recurrax.Elman(2), 1, 0, every_step=True).init(jax.random.key(0))
