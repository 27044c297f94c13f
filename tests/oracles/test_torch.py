"""PyTorch's recorded outputs, gradients and Hessian-vector products, in float64.

Each case is run as a function of PyTorch's own arrays, layouts and both biases, so that its gradients arrive in
PyTorch's layout too. Directions and layers are compositions of scans.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.records import DATA, load
from tolerances import RTOL, SECOND_RTOL, assert_close

import recurrax
from recurrax import GRU, LSTM, Elman, cells

CASES = load("torch_f64_grads.json")["cases"]


class Spec(NamedTuple):
    """What is static about a case."""

    kind: str
    nonlinearity: str | None
    layers: int
    directions: int
    projection_size: int | None
    implementation: str


def cell_of(spec, hidden_size):
    match spec.kind:
        case "RNN":
            return Elman(hidden_size, activation=spec.nonlinearity)
        case "LSTM":
            return LSTM(hidden_size, projection_size=spec.projection_size)
        case _:
            return GRU(hidden_size)


def params_of(spec, inputs, suffix):
    """PyTorch's arrays (G*H, D), (G*H, H), (G*H,), (G*H,) in the cells' layout; gates have the same order."""
    kernel, recurrent_kernel = inputs[f"weight_ih_{suffix}"], inputs[f"weight_hh_{suffix}"]
    gates = {"RNN": 1, "LSTM": 4, "GRU": 3}[spec.kind]
    size = recurrent_kernel.shape[0] // gates
    b_x, b_h = (inputs[f"bias_{side}_{suffix}"].reshape(gates, size) for side in ("ih", "hh"))
    kernel = kernel.reshape(gates, size, -1).transpose(2, 0, 1)
    recurrent_kernel = recurrent_kernel.reshape(gates, size, -1).transpose(2, 0, 1)
    match spec.kind:
        case "RNN":
            return cells.ElmanParams(kernel, recurrent_kernel, b_x + b_h)
        case "LSTM":
            projection = inputs[f"weight_hr_{suffix}"].T if spec.projection_size else None
            return cells.LSTMParams(kernel, recurrent_kernel, b_x + b_h, projection=projection)
        case _:
            return cells.GRUParams(kernel, recurrent_kernel, b_x + b_h.at[2].set(0), recurrent_bias=b_h[2])


def run(spec, inputs, lengths):
    """y (T, B, directions*H), h_n and c_n (layers*directions, B, H)."""
    hidden_size = inputs["c0" if spec.kind == "LSTM" else "h0"].shape[-1]
    cell = cell_of(spec, hidden_size)
    layer, h_n, c_n = inputs["x"], [], []
    for depth in range(spec.layers):
        sides = []
        for direction in range(spec.directions):
            at = depth * spec.directions + direction
            params = params_of(spec, inputs, f"l{depth}" + "_reverse" * direction)
            h0 = inputs["h0"][at]
            match spec.kind:
                case "RNN":
                    carry = cells.ElmanCarry(h0)
                case "LSTM":
                    carry = cells.LSTMCarry(h0, inputs["c0"][at])
                case _:
                    carry = cells.GRUCarry(h0)
            result = recurrax.scan(
                cell, params, layer, carry, lengths=lengths, reverse=bool(direction), implementation=spec.implementation
            )
            sides.append(result.outputs)
            h_n.append(result.carry.h)
            c_n += [result.carry.c] if spec.kind == "LSTM" else []
        layer = jnp.concatenate(sides, axis=-1)
    outputs = {"y": layer, "h_n": jnp.stack(h_n)}
    return outputs | ({"c_n": jnp.stack(c_n)} if c_n else {})


@partial(jax.jit, static_argnums=0)
def derivatives(spec, inputs, lengths, cotangents, direction):
    """Outputs, ∂L/∂inputs and the Hessian of L over (x, h0, c0) times `direction`, with L = <cotangents, outputs>."""

    def loss(inputs):
        outputs = run(spec, inputs, lengths)
        return sum(jnp.vdot(cotangents[name], outputs[name]) for name in cotangents), outputs

    def slope(states):
        gradient, outputs = jax.grad(loss, has_aux=True)(inputs | states)
        return sum(jnp.vdot(direction[name], gradient[name]) for name in direction), (outputs, gradient)

    hvp, (outputs, gradient) = jax.grad(slope, has_aux=True)({name: inputs[name] for name in direction})
    return outputs, gradient, hvp


@pytest.fixture(scope="module")
def recorded():
    with np.load(DATA / "torch_f64_grads.npz") as file:
        return dict(file)


def part(recorded, case, kind):
    prefix = f"{case['name']}/{kind}/"
    return {key.removeprefix(prefix): value for key, value in recorded.items() if key.startswith(prefix)}


@pytest.mark.parametrize("implementation", ["reference", "fused"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_torch(case, implementation, recorded, x64, quick_compile):
    directions, lengths = 1 + case["bidirectional"], case["lens"] and np.array(case["lens"])
    spec = Spec(
        case["kind"], case["nonlinearity"], case["layers"], directions, case["proj_size"] or None, implementation
    )
    inputs = part(recorded, case, "in")
    if not case["bias"]:
        rows = inputs["weight_hh_l0"].shape[0]
        inputs |= {"bias_ih_l0": np.zeros(rows), "bias_hh_l0": np.zeros(rows)}
    cotangents, direction = part(recorded, case, "cot"), part(recorded, case, "hvp_dir")
    outputs, gradient, hvp = derivatives(spec, inputs, lengths, cotangents, direction)
    expected = part(recorded, case, "grad")
    assert_close(outputs, part(recorded, case, "out"), "float64")
    assert_close({name: gradient[name] for name in expected}, expected, "float64")
    assert_close(hvp, part(recorded, case, "hvp"), "float64", SECOND_RTOL)
    assert set(expected) >= {"x", "h0", "weight_ih_l0", "weight_hh_l0"}
    assert RTOL["float64"] <= 1e-12
    assert SECOND_RTOL["float64"] <= 1e-10
