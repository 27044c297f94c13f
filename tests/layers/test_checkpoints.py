"""Parameters of both layers through Flax's serialization and Orbax, back as plain dicts, and those of other cells."""

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint
import pytest
from flax import nnx, serialization
from tolerances import assert_same_bits

import recurrax
from recurrax import GRU, LSTM, Elman, Stack
from recurrax.wrappers import LearnedCarry

pytestmark = pytest.mark.usefixtures("quick_compile")

D, H = 3, 4
XS = jax.random.normal(jax.random.key(1), (2, 5, D))
CELLS = [LSTM(H), GRU(H, reset_after=False), Stack([Elman(H), LearnedCarry(GRU(H))])]
"""Plain fields, a field that is absent, and a tuple of NamedTuples with a list in one."""


def through_bytes(tree, tmp_path):
    return serialization.msgpack_restore(serialization.to_bytes(tree))


def through_orbax(tree, tmp_path):
    with orbax.checkpoint.PyTreeCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "saved", tree)
        return checkpointer.restore(tmp_path / "saved")


def make(cell, seed=0, size=D):
    return recurrax.nnx.RNN(cell, size, rngs=nnx.Rngs(seed))


@pytest.mark.filterwarnings("ignore:Sharding info not provided")
@pytest.mark.parametrize("there_and_back", [through_bytes, through_orbax])
@pytest.mark.parametrize("cell", CELLS, ids=["LSTM", "GRU", "Stack"])
def test_parameters_come_back_as_plain_dicts_and_are_taken(cell, there_and_back, tmp_path):
    """Outputs of the layer that they came from, bit for bit, through either layer."""
    layer, other = make(cell), make(cell, seed=1)
    restored = there_and_back(nnx.to_pure_dict(nnx.state(layer, nnx.Param)), tmp_path)
    expected = layer(XS)
    assert np.any(other(XS) != expected)
    other.set_params(restored)
    assert_same_bits((other.params, other(XS)), (layer.params, expected))
    other.set_params(make(cell, seed=2).params)
    other.set_params(layer.params)
    assert_same_bits(other(XS), expected)
    linen = recurrax.linen.RNN(cell, D)
    assert_same_bits(linen.apply({"params": restored}, XS), expected)
    assert_same_bits(linen.cell_params({"params": restored}), layer.params)


def fields(layer):
    return nnx.to_pure_dict(nnx.state(layer, nnx.Param))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (make(GRU(H)), "^params: expected those of LSTM, .*kernel.*, got .*recurrent_bias"),
        (
            make(Elman(H)),
            r"^params.*kernel.*: expected shape \(3, 4, 4\) of the layer's LSTM, got \(3, 1, 4\)",
        ),
        (
            make(LSTM(H + 1)),
            r"^params.*kernel.*: expected shape \(3, 4, 4\) of the layer's LSTM, got \(3, 4, 5\)",
        ),
    ],
    ids=["cell", "gates", "width"],
)
def test_parameters_of_another_cell_are_refused_in_one_sentence(given, message):
    doors = (
        lambda: make(LSTM(H)).set_params(given.params),
        lambda: make(LSTM(H)).set_params(fields(given)),
        lambda: recurrax.linen.RNN(LSTM(H)).apply({"params": fields(given)}, XS),
    )
    for door in doors:
        with pytest.raises(ValueError, match=message) as caught:
            door()
        assert "\n" not in str(caught.value).partition("\n-----")[0], "but for JAX's own note"


def test_parameters_keep_the_layer_s_dtype():
    layer = recurrax.nnx.RNN(LSTM(H), D, param_dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    layer.set_params(jax.tree.map(np.asarray, make(LSTM(H)).params))
    assert all(leaf.dtype == jnp.bfloat16 for leaf in jax.tree.leaves(layer.params))
