"""The double-precision baseline of the W3C's WebNN operators lstm, lstmCell, gru and gruCell."""

import jax.numpy as jnp
import numpy as np
import pytest
from oracles.records import array, bias, kernel, load
from tolerances import assert_close

import recurrax
from recurrax import GRU, LSTM, cells

CASES = load("webnn_baseline.json")["cases"]
FIELDS = ("gate", "candidate", "activation")
"""What WebNN's list of activations says, in its order."""


def cell_and_params(case, at):
    """The cell and its parameters for direction `at`; cells have no axis for directions."""
    args, options, size = case["args"], case["options"], case["args"]["hiddenSize"]
    is_lstm = case["op"].startswith("lstm")
    order, target = (options.get("layout", "iofg" if is_lstm else "zrn"), "ifgo" if is_lstm else "rzn")
    zeros = {"shape": [len(order) * size], "data": [0.0] * (len(order) * size)}

    def pick(entry):
        values = array(entry)
        return values if case["op"].endswith("Cell") or entry is zeros else values[at]

    W, R = (kernel(pick(args[name]), order, target) for name in ("weight", "recurrentWeight"))
    b, b_h = (bias(pick(options.get(name, zeros)), order, target) for name in ("bias", "recurrentBias"))
    functions = dict(zip(FIELDS, options.get("activations", ()), strict=False))
    if is_lstm:
        p = {"shape": [3 * size], "data": [0.0] * (3 * size)}
        peephole = bias(pick(options["peepholeWeight"]) if "peepholeWeight" in options else array(p), "iof", "ifo")
        return LSTM(size, peepholes=True, **functions), cells.LSTMParams(W, R, b + b_h, peephole)
    if not options.get("resetAfter", True):
        return GRU(size, reset_after=False, **functions), cells.GRUParams(W, R, b + b_h, None)
    return GRU(size, **functions), cells.GRUParams(W, R, b + b_h * np.array([[1], [1], [0]]), b_h[2])


def carry_of(case, at):
    args, options = case["args"], case["options"]
    if case["op"].endswith("Cell"):
        h = array(args["hiddenState"])
        return cells.LSTMCarry(h, array(args["cellState"])) if "cellState" in args else cells.GRUCarry(h)
    zeros = np.zeros((array(args["input"]).shape[1], args["hiddenSize"]))
    h, c = (array(options[n])[at] if n in options else zeros for n in ("initialHiddenState", "initialCellState"))
    return cells.LSTMCarry(h, c) if case["op"] == "lstm" else cells.GRUCarry(h)


def run(case):
    """{"h": (directions, B, H), "c": the same, "sequence": (T, directions, B, H)}, for cells without directions."""
    xs = jnp.asarray(array(case["args"]["input"]))
    if case["op"].endswith("Cell"):
        cell, params = cell_and_params(case, 0)
        carry, _ = cell.step(params, carry_of(case, 0), xs)
        return carry._asdict()
    results = []
    reverses = {"backward": (True,), "both": (False, True)}.get(case["options"].get("direction"), (False,))
    for at, reverse in enumerate(reverses):
        cell, params = cell_and_params(case, at)
        results.append(recurrax.scan(cell, params, xs, carry_of(case, at), reverse=reverse))
    stacked = {name: np.stack([getattr(r.carry, name) for r in results]) for name in results[0].carry._fields}
    return stacked | {"sequence": np.stack([result.outputs for result in results], axis=1)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_webnn(case, x64):
    actual = run(case)
    for expected, declared in zip(case["expected"], case["shapes"], strict=True):
        got = np.asarray(actual[expected["output"]])
        assert got.shape == tuple(declared["shape"])
        assert_close(got.ravel(), np.asarray(expected["data"]), "float64")
