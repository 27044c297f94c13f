"""Nodes of ONNX models there and back, and what ONNX's own reference in NumPy makes of them."""

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator
from tolerances import assert_close, assert_same_bits

import recurrax
from recurrax import GRU, LSTM, Elman, convert

T, B, D, H = 5, 2, 3, 4
CELLS = [
    Elman(H),
    GRU(H, reset_after=True),
    GRU(H, reset_after=False),
    LSTM(H),
    LSTM(H, peepholes=True),
]
XS = np.random.default_rng(0).standard_normal((T, B, D))


def drawn(cell, seed):
    noise = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: noise.standard_normal(leaf.shape), cell.init(jax.random.key(0), D))


def scanned(conversions, reverse):
    ways = (False, True) if len(conversions) == 2 else (reverse,)
    return [
        recurrax.scan(one.cell, jax.tree.map(jnp.asarray, one.params), jnp.asarray(XS), reverse=way).outputs
        for one, way in zip(conversions, ways, strict=True)
    ]


@pytest.mark.parametrize("cell", CELLS, ids=repr)
@pytest.mark.parametrize("way", ["forward", "reverse", "bidirectional"])
def test_there_and_back_bit_for_bit_and_as_onnx_runs_it(cell, way, x64):
    directions = [(cell, drawn(cell, seed)) for seed in range(2 if way == "bidirectional" else 1)]
    model = convert.to_onnx(directions, reverse=way == "reverse")
    onnx.checker.check_model(model, full_check=True)
    back = convert.from_onnx(model)
    assert [one.cell for one in back] == [cell] * len(directions)
    for one, (_, params) in zip(back, directions, strict=True):
        assert_same_bits(one.params, params)
    theirs, *_ = ReferenceEvaluator(model).run(None, {"X": XS})
    for at, ours in enumerate(scanned(back, way == "reverse")):
        assert_close(ours, theirs[:, at], "float64")


def test_a_file_with_constants_and_two_biases(tmp_path, x64):
    cell = LSTM(H)
    model = convert.to_onnx([(cell, drawn(cell, 0))], name="encoder")
    (bias,) = (one for one in model.graph.initializer if one.name == "B")
    halves = onnx.numpy_helper.to_array(bias).copy()
    halves[:, 4 * H :] = np.arange(4 * H)
    model.graph.initializer.remove(bias)
    constant = onnx.helper.make_node("Constant", [], ["B"], value=onnx.numpy_helper.from_array(halves, "B"))
    model.graph.node.insert(0, constant)
    onnx.save(model, tmp_path / "model.onnx")
    (found,) = convert.from_onnx(tmp_path / "model.onnx", "encoder")
    assert found.notes == ("the two biases of i, f, g, o summed",)
    theirs, *_ = ReferenceEvaluator(model).run(None, {"X": XS})
    assert_close(scanned([found], False)[0], theirs[:, 0], "float64")


def test_activations_are_fields():
    cell = LSTM(H, gate="relu", candidate="sigmoid", activation="relu")
    (back,) = convert.from_onnx(convert.to_onnx([(cell, drawn(cell, 0))]))
    assert back.cell == cell


def with_attribute(name, value):
    model = convert.to_onnx([(LSTM(H), drawn(LSTM(H), 0))])
    node = model.graph.node[0]
    kept = [one for one in node.attribute if one.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, onnx.helper.make_attribute(name, value)])
    return model


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("clip", 3.0, "model: LSTM with clip=3.0 does what our cells do not"),
        ("input_forget", 1, "model: LSTM with input_forget=1 does"),
        ("activations", ["Sigmoid", "Softsign", "Tanh"], "model: .* among Tanh, Relu, Sigmoid, got Softsign"),
    ],
)  # fmt: skip
def test_what_our_cells_do_not_is_refused(name, value, said):
    with pytest.raises(ValueError, match=f"^{said}"):
        convert.from_onnx(with_attribute(name, value))


def test_what_onnx_has_not_is_refused():
    for cell, said in (
        (LSTM(H, forget_gate=False), "cell: onnx has none with forget_gate=False"),
        (LSTM(H, candidate="identity"), "directions: ONNX has no activation identity"),
        (LSTM(H, projection_size=2), "cell: onnx has none with projection_size=2"),
    ):
        with pytest.raises(ValueError, match=said):
            convert.to_onnx([(cell, drawn(cell, 0))])
    with pytest.raises(ValueError, match="directions: expected one, or two of one kind and size"):
        convert.to_onnx([(cell, drawn(cell, 0)) for cell in (GRU(H), LSTM(H))])


def test_the_node_is_named_where_there_are_several():
    model = convert.to_onnx([(GRU(H), drawn(GRU(H), 0))], name="one")
    other = onnx.helper.make_node("GRU", ["X", "W", "R"], ["Z"], name="two", hidden_size=H)
    model.graph.node.append(other)
    with pytest.raises(ValueError, match=r"^name: expected that of one node .* got '' of GRU 'one', GRU 'two'$"):
        convert.from_onnx(model)
    assert len(convert.from_onnx(model, "one")) == 1
    model.graph.node[0].input[1] = "X"
    with pytest.raises(ValueError, match="model: expected W of GRU to be a constant, got 'X'"):
        convert.from_onnx(model, "one")
