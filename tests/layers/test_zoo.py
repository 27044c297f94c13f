"""Both layers around cells as users write them: any pytree of parameters, any inputs, the batch first or time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from zoo import ALL

import recurrax
from recurrax.layers import call

pytestmark = pytest.mark.usefixtures("quick_compile", "plain_style")

PLAIN = {"kernel", "recurrent_kernel", "bias"}


def is_plain(cell):
    """Whether parameters and inputs are what every second cell has."""
    with jax.numpy_rank_promotion("allow"):
        params = jax.eval_shape(lambda: cell.init(jax.random.key(0), cell.features))
    xs = cell.inputs(np.random.default_rng(0), 2, (3,), np.float32)
    return isinstance(params, dict) and set(params) <= PLAIN and hasattr(xs, "shape") and call.is_floating(xs)


@pytest.mark.parametrize("cell", [cell for cell in ALL if not is_plain(cell)], ids=lambda cell: type(cell).__name__)
def test_a_layer_is_the_scan_with_parameters_of_its_own(cell):
    xs = cell.inputs(np.random.default_rng(0), 4, (3,), np.float32)
    layer = recurrax.nnx.RNN(cell, cell.features, time_major=True, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(layer(xs), recurrax.scan(cell, layer.params, xs).outputs)
    drawn = cell.init(nnx.Rngs(0).params(), cell.features)
    assert jax.tree.structure(layer.params) == jax.tree.structure(drawn)
    trained = jax.tree.leaves(nnx.state(layer, nnx.Param))
    assert all(call.is_trained(leaf) for leaf in trained)
    assert len(trained) == sum(call.is_trained(leaf) for leaf in jax.tree.leaves(drawn))

    linen = recurrax.linen.RNN(cell, cell.features)
    batch_first = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), xs)
    variables = linen.init(jax.random.key(0), batch_first)
    outputs = linen.apply(variables, batch_first)
    expected = recurrax.scan(cell, linen.cell_params(variables), xs).outputs
    np.testing.assert_array_equal(jnp.moveaxis(outputs, 1, 0), expected)
    assert all(call.is_trained(leaf) for leaf in jax.tree.leaves(variables["params"]))
