"""The literal expectations of Keras's own tests of SimpleRNN, LSTM, GRU and Bidirectional, float32."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
from oracles.records import array, load
from tolerances import assert_close

import recurrax
from recurrax import GRU, LSTM, Elman, cells

CASES = load("keras_literals.json")["cases"]
WITHOUT_MEANING_HERE = {"unroll", "implementation"}  # how Keras computes, not what


class Layer(NamedTuple):
    """What a Keras layer gives: outputs (T, B, H) at their own positions, the last output (B, H), the states."""

    outputs: np.ndarray
    last: np.ndarray
    states: tuple[np.ndarray, ...]


def cell_and_params(config, input_size):
    """Every kernel and bias of the recorded tests is constant, so the order of the gates does not show."""
    (size,) = config["args"]
    value = {name: config[f"{name}_initializer"]["Constant"] for name in ("kernel", "recurrent", "bias")}
    if not config.get("use_bias", True):
        value["bias"] = 0.0

    def constants(gates):
        shapes = {"kernel": (input_size, gates, size), "recurrent": (size, gates, size), "bias": (gates, size)}
        return [np.full(shape, value[name], np.float32) for name, shape in shapes.items()]

    match config["cls"]:
        case "SimpleRNN":
            return Elman(size), cells.ElmanParams(*constants(1)), cells.ElmanCarry
        case "GRU":
            reset_after = config.get("reset_after", True)
            inner = np.full(size, value["bias"], np.float32) if reset_after else None
            params = cells.GRUParams(*constants(3), inner)
            if reset_after:  # Keras's second bias stands inside r and z too
                params.bias[:2] *= 2
            return GRU(size, reset_after=reset_after), params, cells.GRUCarry
        case "LSTM":
            params = cells.LSTMParams(*constants(4))
            if config.get("use_bias", True) and config.get("unit_forget_bias", True):
                params.bias[1] = 1.0
            return LSTM(size), params, cells.LSTMCarry
    raise AssertionError(f"no adapter for {config['cls']}")


def run_layer(config, call, states):
    known = {"cls", "args", "return_sequences", "return_state", "stateful", "go_backwards", "zero_output_for_mask"}
    known |= {"use_bias", "unit_forget_bias", "reset_after"} | WITHOUT_MEANING_HERE
    assert {name for name in config if not name.endswith("_initializer")} <= known
    xs = array(call["sequence"], "float32").swapaxes(0, 1)
    cell, params, make_carry = cell_and_params(config, xs.shape[-1])
    mask = array(call["mask"], "bool").T if "mask" in call else None
    reverse = config.get("go_backwards", False)
    carry = make_carry(*states) if states else None
    result = recurrax.scan(cell, params, jnp.asarray(xs), carry, mask=mask, reverse=reverse)
    outputs, states = np.array(result.outputs), tuple(np.asarray(state) for state in result.carry)
    if mask is not None and config.get("return_sequences", False) and not config.get("zero_output_for_mask", False):
        assert not reverse, "Keras would fill from the other side"
        for t in range(1, len(outputs)):  # where recurrax gives zeros, Keras repeats the output before
            outputs[t] = np.where(mask[t][:, None], outputs[t], outputs[t - 1])
    return Layer(outputs, states[0], states)


def merged(mode, forward, backward):
    if mode is None:
        return [forward, backward]
    if mode == "concat":
        return np.concatenate([forward, backward], axis=-1)
    return {"sum": forward + backward, "mul": forward * backward, "ave": (forward + backward) / 2}[mode]


def run_call(config, call, states):
    """What Keras returns for one call, and the states it ends with."""
    if config["cls"] != "Bidirectional":
        end = run_layer(config, call, states)
        sequences = config.get("return_sequences", False)
        output = end.outputs.swapaxes(0, 1) if sequences else end.last
        return ([output, *end.states] if config.get("return_state", False) else output), end.states
    inner = config["layer"]
    outer = config.get("backward_layer", inner | {"go_backwards": True})
    half = len(states) // 2
    ends = [run_layer(inner, call, states[:half]), run_layer(outer, call, states[half:])]
    sequences = inner.get("return_sequences", False)
    outputs = [end.outputs.swapaxes(0, 1) if sequences else end.last for end in ends]
    output, states = merged(config.get("merge_mode", "concat"), *outputs), (*ends[0].states, *ends[1].states)
    return ([output, *states] if inner.get("return_state", False) else output), states


def given_states(call):
    given = call.get("initial_state", [])
    return tuple(array(state, "float32") for state in (given if isinstance(given, list) else [given]))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['file'][:-8]}-{case['test'][5:]}-{case['n']}")
def test_keras(case):
    config, states, output = case["layer"], (), None
    stateful = config.get("layer", config).get("stateful", False)
    for call in case["calls"]:
        if call == "reset_state":
            states = ()
            continue
        output, states = run_call(config, call, given_states(call) or (states if stateful else ()))
    for index in case["output_path"]:
        output = output[index]
    assert_close(output, array(case["expected"]), "float32")
