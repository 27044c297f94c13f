"""Meshes with explicit axes, the default of `jax.make_mesh`: values and gradients are those of one device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo
from jax.sharding import NamedSharding, PartitionSpec
from tolerances import assert_close

import recurrax
from recurrax import GRU, LSTM

CELLS = (LSTM(4), GRU(4), zoo.gates.TextbookLSTM(4), zoo.weights.Readout(4))


def gradients(cell):
    def loss(params, xs):
        return jnp.sum(recurrax.scan(cell, params, xs, lengths=jnp.array([3, 0, 2, 3])).outputs ** 2)

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))


@pytest.mark.parametrize("cut", ["batch", "units"])
@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: type(cell).__name__)
def test_gradients_are_those_of_one_device(cell, cut, plain_style, quick_compile):
    params, xs = cell.init(jax.random.key(0), 2), jax.random.normal(jax.random.key(1), (3, 4, 2))
    expected = gradients(cell)(params, xs)
    mesh = jax.make_mesh((2,), ("d",))

    def placed(leaf, axis):
        names = [None] * leaf.ndim
        names[axis] = "d"
        return jax.device_put(leaf, NamedSharding(mesh, PartitionSpec(*names)))

    with jax.set_mesh(mesh):
        if cut == "batch":
            xs = placed(xs, 1)
        else:
            params = jax.tree.map(lambda leaf: placed(leaf, leaf.ndim - 1), params)
        result = jax.jit(lambda params, xs: recurrax.scan(cell, params, xs))(params, xs)
        got = gradients(cell)(params, xs)
    name = "d" if cut == "batch" else None
    assert result.outputs.sharding.spec[1] == name
    assert all(leaf.sharding.spec[0] == name for leaf in jax.tree.leaves(result.carry))
    cut_gradient, cut_operand = (got[1][1], xs) if cut == "batch" else (got[1][0], params)
    for gradient, operand in zip(jax.tree.leaves(cut_gradient), jax.tree.leaves(cut_operand), strict=True):
        assert gradient.sharding.spec == operand.sharding.spec
    assert_close(jax.tree.map(np.asarray, got), jax.tree.map(np.asarray, expected), "float32")
