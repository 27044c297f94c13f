"""Nodes RNN, LSTM and GRU of ONNX models, of which PyTorch, Keras and others export theirs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from recurrax.cells import GRU, LSTM, Elman
from recurrax.convert.weights import Conversion, weights_from, weights_to
from recurrax.extras import require

OPERATORS: dict[str, Any] = {"RNN": Elman, "GRU": GRU, "LSTM": LSTM}
ACTIVATIONS = {"Tanh": "tanh", "Relu": "relu", "Sigmoid": "sigmoid"}
FIELDS = {"RNN": ("activation",), "GRU": ("gate", "candidate"), "LSTM": ("gate", "candidate", "activation")}
"""What a node's `activations` are, one direction's after the other's; f, g and h in its words."""
REFUSED = {"clip": 0.0, "input_forget": 0, "activation_alpha": [], "activation_beta": []}
"""Attributes that change what a step does, and what they are where they do not."""


def from_onnx(model: Any, name: str = "", *, check: bool = False) -> tuple[Conversion, ...]:
    """The RNN, LSTM or GRU of an ONNX model: one conversion, two for `direction="bidirectional"`.

    Args:
        model: an `onnx.ModelProto`, or the path of a file.
        name: of the node; needed where several are there. The layers of a stack are nodes of their own.
        check: as in `recurrax.convert.weights_from`, against onnx's own evaluator.

    Returns:
        (cell, params, notes) of each direction; the second of two, and that of `direction="reverse"`, is scanned with
        `reverse=True`. Initial states and lengths are inputs of the node, to be given to `scan`.

    Raises:
        ModuleNotFoundError: onnx, of the extra "interchange", is not installed.
        ValueError: no such node is there, its weights are no constants, or it does what our cells do not.
    """
    onnx = require("onnx", "interchange")
    model = onnx.load(model) if isinstance(model, str | Path) else model
    node = _node(model.graph, name)
    attributes = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    for what, usual in REFUSED.items():
        if attributes.get(what, usual) != usual:
            raise ValueError(f"model: {node.op_type} with {what}={attributes[what]} does what our cells do not")
    held: dict[str, str] = dict(
        zip(("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"), node.input, strict=False)
    )
    constants = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
    for one in model.graph.node:
        if one.op_type == "Constant":
            constants[one.output[0]] = onnx.numpy_helper.to_array(one.attribute[0].t)
    weights: dict[str, np.ndarray] = {}
    for kind in ("W", "R", "B", "P"):
        if held.get(kind):
            if held[kind] not in constants:
                raise ValueError(f"model: expected {kind} of {node.op_type} to be a constant, got {held[kind]!r}")
            weights[kind] = constants[held[kind]]
    directions = [{kind: array[at] for kind, array in weights.items()} for at in range(len(weights["W"]))]
    named = [one.decode() for one in attributes.get("activations", [])]
    per = len(FIELDS[node.op_type])
    return tuple(
        _direction(
            node.op_type, bool(attributes.get("linear_before_reset")), arrays, named[at * per : (at + 1) * per], check
        )
        for at, arrays in enumerate(directions)
    )


def _node(graph: Any, name: str) -> Any:
    nodes = [node for node in graph.node if node.op_type in OPERATORS and name in ("", node.name)]
    if len(nodes) != 1:
        have = ", ".join(f"{node.op_type} {node.name!r}" for node in graph.node if node.op_type in OPERATORS) or "none"
        raise ValueError(f"name: expected that of one node RNN, GRU or LSTM of the model, got {name!r} of {have:.200}")
    return nodes[0]


def _direction(
    operator: str, reset_after: bool, arrays: dict[str, np.ndarray], named: Sequence[str], check: bool
) -> Conversion:
    if unknown := set(named) - ACTIVATIONS.keys():
        raise ValueError(f"model: expected activations among {', '.join(ACTIVATIONS)}, got {', '.join(unknown)}")
    kind, size = OPERATORS[operator], arrays["R"].shape[-1]
    cell = kind(size, reset_after=reset_after) if kind is GRU else kind(size)
    cell = replace(cell, peepholes=True) if "P" in arrays else cell
    cell = replace(cell, **dict(zip(FIELDS[operator], map(ACTIVATIONS.get, named), strict=False)))
    if "B" in arrays:
        arrays["Wb"], arrays["Rb"] = np.split(arrays.pop("B"), 2)
    return weights_from("onnx", arrays, cell=cell, check=check)


def to_onnx(directions: Sequence[Any], *, reverse: bool = False, name: str = "recurrent", check: bool = False) -> Any:
    """An `onnx.ModelProto` of one node: X (T, B, D) to Y (T, directions, B, H), with Y_h and, of an LSTM, Y_c.

    Args:
        directions: (cell, params) or (cell, params, notes), of one direction or of two, forwards first.
        reverse: that the only direction is backwards.
        name: of the node.
        check: as in `from_onnx`.

    Raises:
        ModuleNotFoundError: onnx, of the extra "interchange", is not installed.
        ValueError: ONNX has no such cell, or the two differ in kind or size.

    >>> import jax, recurrax
    >>> cell = recurrax.GRU(4)
    >>> model = to_onnx([(cell, cell.init(jax.random.key(0), 3))])
    >>> model.graph.node[0].op_type, [tuple(one.dims) for one in model.graph.initializer]
    ('GRU', [(1, 12, 3), (1, 12, 4), (1, 24)])
    """
    first = directions[0][0]
    if len(directions) > 2 or any(
        type(cell) is not type(first) or cell.hidden_size != first.hidden_size for cell, *_ in directions
    ):
        raise ValueError(f"directions: expected one, or two of one kind and size, got {[one[0] for one in directions]}")
    found = [weights_to("onnx", cell, params, check=check).arrays for cell, params, *_ in directions]
    return model_of([cell for cell, *_ in directions], found, reverse=reverse, name=name)


def model_of(
    cells: Sequence[Any], found: Sequence[Mapping[str, np.ndarray]], *, reverse: bool = False, name: str = "recurrent"
) -> Any:
    """The model of one node with cells of one kind and size, and for each direction its arrays by their layout."""
    onnx, first = require("onnx", "interchange"), cells[0]
    operator = next(operator for operator, kind in OPERATORS.items() if isinstance(first, kind))
    arrays = {kind: np.stack([one[kind] for one in found]) for kind in ("W", "R")}
    if "Wb" in found[0]:
        arrays["B"] = np.stack([np.concatenate([one["Wb"], one["Rb"]]) for one in found])
    if "P" in found[0]:
        arrays["P"] = np.stack([one["P"] for one in found])
    outputs = ["Y", "Y_h", "Y_c"] if operator == "LSTM" else ["Y", "Y_h"]
    words = {ours: theirs for theirs, ours in ACTIVATIONS.items()}
    used = [getattr(cell, name) for cell in cells for name in FIELDS[operator]]
    if unknown := set(used) - words.keys():
        raise ValueError(f"directions: ONNX has no activation {', '.join(unknown)}")
    attributes: dict[str, Any] = {
        "hidden_size": first.hidden_size,
        "direction": "bidirectional" if len(cells) == 2 else "reverse" if reverse else "forward",
        "activations": [words[one] for one in used],
    }
    if operator == "GRU":
        attributes["linear_before_reset"] = int(first.reset_after)
    inputs = ["X", "W", "R", "B" if "B" in arrays else "", *(["", "", "", "P"] if "P" in arrays else [])]
    node = onnx.helper.make_node(operator, inputs, outputs, name=name, **attributes)
    dtype = onnx.helper.np_dtype_to_tensor_dtype(arrays["W"].dtype)
    values = {"X": ["T", "B", arrays["W"].shape[-1]], "Y": ["T", len(found), "B", first.hidden_size]}
    infos = {name: onnx.helper.make_tensor_value_info(name, dtype, shape) for name, shape in values.items()}
    states = [
        onnx.helper.make_tensor_value_info(name, dtype, [len(found), "B", first.hidden_size]) for name in outputs[1:]
    ]
    initializers = [onnx.numpy_helper.from_array(array, kind) for kind, array in arrays.items()]
    graph = onnx.helper.make_graph([node], "recurrax", [infos["X"]], [infos["Y"], *states], initializers)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 14)], ir_version=8)
