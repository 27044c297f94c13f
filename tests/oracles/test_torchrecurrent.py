"""JANET, MGU, IndRNN, coRNN and AntisymmetricRNN as torchrecurrent computes them: outputs, carries, every gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.records import array, bias, kernel, load
from tolerances import assert_close

import recurrax
from recurrax import JANET, MGU, AntisymmetricRNN, CoRNN, IndRNN, cells

CASES = load("torchrecurrent.json")["cases"]
ORDERS = {"JANETCell": "fg", "MGUCell": "fn", "GatedAntisymmetricRNNCell": "zh"}
"""The gates of cells that have several, in the order of torchrecurrent's rows."""


def cell_of(case):
    options, size = case["options"], case["carry"][0]["shape"][-1]
    if case["cell"] == "JANETCell":
        return JANET(size, beta=options["beta"])
    if case["cell"] == "coRNNCell":
        return CoRNN(size, step_size=options["dt"], frequency=options["gamma"], damping=options["epsilon"])
    if "Antisymmetric" in case["cell"]:
        is_gated = case["cell"].startswith("Gated")
        return AntisymmetricRNN(size, options["epsilon"], options["gamma"], is_gated)
    return {"MGUCell": MGU(size), "IndRNNCell": IndRNN(size, activation="tanh")}[case["cell"]]


def parameters(case, params):
    """Parameters of ours from those of torchrecurrent, its input bias alone; gradients likewise."""
    order = ORDERS.get(case["cell"], "h")
    target = "hz" if order == "zh" else order
    W, b = kernel(array(params["weight_ih"]), order, target), bias(array(params["bias_ih"]), order, target)
    if case["cell"] == "IndRNNCell":
        return cells.IndRNNParams(W, array(params["vector_u"]), b)
    recurrent = array(params["weight_hh"])
    if case["cell"] == "coRNNCell":
        return cells.CoRNNParams(W, np.concatenate([recurrent.T, array(params["weight_ch"]).T])[:, None], b)
    if "Antisymmetric" in case["cell"]:
        return cells.AntisymmetricRNNParams(W, recurrent.T[:, None], b)
    return {"JANETCell": cells.JANETParams, "MGUCell": cells.MGUParams}[case["cell"]](
        W, kernel(recurrent, order, target), b
    )


def with_recurrent_bias(case, params):
    """Both biases in one; the recurrent one of a gated antisymmetric cell is h's alone."""
    added = sum(array(case["params"][name]) for name in ("bias_hh", "bias_ch") if name in case["params"])
    if case["cell"].startswith("Gated"):
        added = np.concatenate([added, np.zeros_like(added)])
    return params._replace(bias=params.bias + added.reshape(params.bias.shape))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["cell"])
def test_torchrecurrent(case, x64):
    cell = cell_of(case)
    params = jax.tree.map(jnp.asarray, with_recurrent_bias(case, parameters(case, case["params"])))
    carry_type = type(cell.initial_carry(params, (), jnp.float64))
    carry = carry_type(*(jnp.asarray(array(leaf)) for leaf in case["carry"]))

    @jax.jit
    def run(params, xs, carry):
        result, pull = jax.vjp(lambda *args: recurrax.scan(cell, *args), params, xs, carry)
        zeros = jax.tree.map(jnp.zeros_like, result.carry)
        return result, *pull(recurrax.ScanResult(jnp.asarray(array(case["cotangent"])), zeros))

    result, *gradients = run(params, jnp.asarray(array(case["xs"])), carry)
    assert_close(tuple(result), (array(case["outputs"]), carry_type(*map(array, case["last"]))), "float64")
    theirs = case["gradients"]
    expected = parameters(case, theirs["params"]), array(theirs["xs"]), carry_type(*map(array, theirs["carry"]))
    assert_close(tuple(gradients), expected, "float64")
