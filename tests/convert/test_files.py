"""A cell and its parameters in a file and back; damaged and foreign files; the command line."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tolerances import assert_same_bits

import recurrax
from recurrax import GRU, LSTM, Elman, cli, convert
from recurrax.convert import files
from recurrax.wrappers import Normed, Residual, Stack

D = 3
CELLS = [
    LSTM(4, forget_bias="chrono", projection_size=2),
    GRU(4, reset_after=False),
    Stack([Normed(Elman(4, activation="relu")), Residual(GRU(4))]),
]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: type(cell).__name__)
def test_there_and_back(cell, dtype, tmp_path):
    shapes, noise = jax.eval_shape(lambda key: cell.init(key, D, dtype), jax.random.key(0)), np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: noise.standard_normal(leaf.shape).astype(leaf.dtype), shapes)
    recurrax.save(tmp_path / "cell.safetensors", cell, params)
    other, found = recurrax.load(tmp_path / "cell.safetensors")
    assert other == cell
    assert_same_bits(found, params)
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype(dtype)}


def test_damaged_and_foreign_files(tmp_path):
    path = tmp_path / "cell.safetensors"
    cell = Elman(4)
    recurrax.save(path, cell, cell.init(jax.random.key(0), D))
    content = path.read_bytes()
    for at in (2, content.index(b"Elman") + 20, content.index(b"input_size") + 12, len(content) - 5):
        path.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
        with pytest.raises(ValueError, match=r"cell\.safetensors: expected "):
            recurrax.load(path)
    for cut in (0, 7, 60, len(content) - 1):
        path.write_bytes(content[:cut])
        with pytest.raises(ValueError, match=r"cell\.safetensors: expected a safetensors file, got one that"):
            recurrax.load(path)
    files.write_arrays(path, {"head.weight": np.ones((2, 2), np.float32)})
    with pytest.raises(ValueError, match=r"expected a file that recurrax\.save has written, got another"):
        recurrax.load(path)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"^params: expected what Elman\.init draws, got a dict"):
        recurrax.save(path, cell, {"W": np.ones(3)})
    with pytest.raises(ValueError, match=r"^cell: .* holds .*Elman.*, got .*GRU"):
        recurrax.load(path, GRU(4))


def test_a_cell_of_ones_own_is_told(tmp_path):
    cell = recurrax.from_step(lambda w, h, x: (jnp.tanh(x + w * h),) * 2, jnp.full(D, 0.5), jnp.zeros(D))
    recurrax.save(tmp_path / "own", cell, cell.params)
    with pytest.raises(
        ValueError, match=r"holds the parameters of Foreign, none of recurrax's cells; say recurrax\.load"
    ):
        recurrax.load(tmp_path / "own")
    assert_same_bits(recurrax.load(tmp_path / "own", cell)[1], cell.params)


def test_the_command_there_and_back(tmp_path, capsys):
    noise = np.random.default_rng(0)
    shapes = {"weight_ih": (16, D), "weight_hh": (16, 4), "bias_ih": (16,), "bias_hh": (16,)}
    state = {f"rnn.{name}_l0": noise.standard_normal(shape).astype("f") for name, shape in shapes.items()}
    upper = {**shapes, "weight_ih": (16, 4)}
    state |= {f"rnn.{name}_l1": noise.standard_normal(shape).astype("f") for name, shape in upper.items()}
    there, ours, back = (tmp_path / name for name in ("torch", "ours", "back"))
    files.write_arrays(there, state | {"head.weight": np.ones((2, 4), np.float32)})
    assert cli.main(["convert", str(there), str(ours), "--prefix", "rnn."]) == 0
    assert "layer 1: the two biases of i, f, g, o summed" in capsys.readouterr().out
    cell, params = recurrax.load(ours)
    assert cell == Stack([LSTM(4), LSTM(4)])
    assert_same_bits(params[1], convert.from_torch(state, prefix="rnn.")[1][0].params)
    assert cli.main(["convert", str(ours), str(back), "--to", "torch", "--prefix", "rnn."]) == 0
    written = files.read_arrays(back).arrays
    assert written.keys() == state.keys()
    np.testing.assert_array_equal(written["rnn.weight_hh_l1"], state["rnn.weight_hh_l1"])
    both = state["rnn.bias_ih_l0"] + state["rnn.bias_hh_l0"]
    np.testing.assert_array_equal(written["rnn.bias_ih_l0"], both)
    assert cli.main(["convert", str(ours), str(back), "--to", "keras"]) == 1
    assert "to: expected recurrax or torch for 2 layers, got keras" in capsys.readouterr().err
