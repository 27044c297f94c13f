"""Every lag of every recorded curve: gradient norms from 1e-403 to 1e+0, computed with 60 digits and no autodiff."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import recurrax
from recurrax.lag import adjoint_profile

DATA = Path(__file__).parents[1] / "oracles" / "data"
CASES = json.loads((DATA / "lag_gradient_truth.json").read_text())["cases"]
ATOL = {"float32": 1e-4, "float64": 1e-10}
"""In log10: the accuracy promised at every lag, whatever the norm."""


def case(name):
    """The cell, its parameters in this library's layout, and the recorded arrays."""
    with np.load(DATA / "lag_gradient_truth.npz") as arrays:
        found = {key.split("/")[1]: arrays[key] for key in arrays.files if key.startswith(name + "/")}
    size = found["U"].shape[1]
    gates = found["U"].shape[0] // size
    kernel, recurrent_kernel = (found[key].T.reshape(-1, gates, size) for key in ("W", "U"))
    params = kernel, recurrent_kernel, found["b"].reshape(gates, size)
    if gates == 4:
        return recurrax.LSTM(size), recurrax.cells.LSTMParams(*params), found
    return recurrax.Elman(size), recurrax.cells.ElmanParams(*params), found


def measure(name, dtype):
    cell, params, found = case(name)
    params, x, v = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), (params, found["x"], found["v"]))
    profile = adjoint_profile(cell, params, x, v)
    assert profile.log_norm_joint.dtype == dtype
    return profile, found


def assert_log10(log_norm, truth, dtype):
    got = np.asarray(log_norm, np.float64) / np.log(10)
    assert got.shape == truth.shape
    assert np.isfinite(got).all()
    np.testing.assert_allclose(got, truth, rtol=0, atol=ATOL[dtype])


def check(name, dtype):
    profile, found = measure(name, dtype)
    if "log10_grad_norm_by_lag" in found:
        assert profile.log_norm_bptt is None
        assert_log10(profile.log_norm.h, found["log10_grad_norm_by_lag"], dtype)
        assert_log10(profile.log_norm_joint, found["log10_grad_norm_by_lag"], dtype)
    else:
        assert_log10(profile.log_norm.h, found["log10_dh_norm_by_lag"], dtype)
        assert_log10(profile.log_norm_bptt, found["log10_dc_total_norm_by_lag"], dtype)


@pytest.mark.parametrize("name", [entry["name"] for entry in CASES])
def test_float32(name, as_users_compile):
    """Rounding as it is where programs are optimised: of 300 steps nearly all that is promised is used up."""
    check(name, "float32")


@pytest.mark.parametrize("name", [entry["name"] for entry in CASES])
def test_float64(name, x64):
    check(name, "float64")


def test_the_recorded_curves_reach_far_below_any_float():
    assert min(entry.get("log10_at_last_lag", 0) for entry in CASES) < -403
