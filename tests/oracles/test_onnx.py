"""The ONNX operator tests of RNN, LSTM and GRU, float32."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
from oracles.records import array, bias, kernel, load
from tolerances import assert_close

import recurrax
from recurrax import GRU, LSTM, Elman, cells

CASES = load("onnx_node_rnn_lstm_gru.json")["cases"]
ORDER = {"RNN": "h", "LSTM": "iofg", "GRU": "zrn"}
TARGET = {"RNN": "h", "LSTM": "ifgo", "GRU": "rzn"}


class Direction(NamedTuple):
    """One direction's cell, parameters and starting carry."""

    cell: Any
    params: Any
    carry: Any


def direction_of(case, inputs, at):
    """ONNX adds both biases outside the reset product, and resets before it by default."""
    op, size = case["op"], case["attributes"]["hidden_size"]
    W = kernel(inputs["W"][at], ORDER[op], TARGET[op])
    R = kernel(inputs["R"][at], ORDER[op], TARGET[op])
    both = inputs.get("B", np.zeros((at + 1, 2 * len(ORDER[op]) * size), np.float32))[at]
    b = sum(bias(half, ORDER[op], TARGET[op]) for half in np.split(both, 2))
    h0, c0 = (
        inputs[name][at] if name in inputs else np.zeros((inputs["X"].shape[1], size), np.float32)
        for name in ("initial_h", "initial_c")
    )
    match op:
        case "RNN":
            return Direction(Elman(size), cells.ElmanParams(W, R, b), cells.ElmanCarry(h0))
        case "GRU":
            assert not case["attributes"].get("linear_before_reset", 0)
            cell = GRU(size, reset_after=False)
            return Direction(cell, cells.GRUParams(W, R, b, None), cells.GRUCarry(h0))
    if "P" in inputs:
        peepholes = bias(inputs["P"][at], "iof", "ifo")
        return Direction(LSTM(size, peepholes=True), cells.LSTMParams(W, R, b, peepholes), cells.LSTMCarry(h0, c0))
    return Direction(LSTM(size), cells.LSTMParams(W, R, b), cells.LSTMCarry(h0, c0))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_onnx(case):
    attributes = case["attributes"]
    assert set(attributes) <= {"hidden_size", "layout", "direction"}
    inputs = {name: array(entry, entry["dtype"]) for name, entry in case["inputs"].items()}
    if attributes.get("layout"):
        inputs["X"] = inputs["X"].swapaxes(0, 1)
    reverses = {"reverse": (True,), "bidirectional": (False, True)}.get(attributes.get("direction"), (False,))
    results = []
    for at, reverse in enumerate(reverses):
        cell, params, carry = direction_of(case, inputs, at)
        lengths = inputs.get("sequence_lens")
        results.append(recurrax.scan(cell, params, jnp.asarray(inputs["X"]), carry, lengths=lengths, reverse=reverse))
    actual = {
        "Y": np.stack([result.outputs for result in results], axis=1),  # (T, directions, B, H)
        "Y_h": np.stack([result.carry.h for result in results]),
    }
    if case["op"] == "LSTM":
        actual["Y_c"] = np.stack([result.carry.c for result in results])
    if attributes.get("layout"):
        actual = {"Y": actual["Y"].transpose(2, 0, 1, 3), "Y_h": actual["Y_h"].swapaxes(0, 1)}
    for name, entry in case["outputs"].items():
        assert_close(actual[name], array(entry), "float32")
