"""The prediction for wide networks, and wide networks measured."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

import recurrax
from recurrax.cells import ElmanParams
from recurrax.lag import adjoint_profile, fit_decay, mean_field

TABLE = [
    # σ_w, σ_v, q, χ₁, slope
    (0.5, 0.1, 0.0132, 0.2437, -0.7060),
    (0.9, 0.3, 0.2165, 0.6004, -0.2551),
    (1.0, 0.3, 0.2763, 0.7003, -0.1782),
    (1.0, 1.0, 1.4639, 0.3989, -0.4595),
    (1.5, 0.5, 1.2182, 0.9671, -0.0167),
    (2.0, 0.5, 2.4797, 1.2722, 0.1204),
]


@pytest.mark.parametrize(("sigma_w", "sigma_v", "q", "chi", "slope"), TABLE)
def test_predicts_and_a_network_of_512_units_agrees(sigma_w, sigma_v, q, chi, slope):
    predicted = mean_field(sigma_w, sigma_v)
    assert predicted.q == pytest.approx(q, abs=5e-5)
    assert predicted.chi == pytest.approx(chi, abs=5e-5)
    assert predicted.slope == pytest.approx(slope, abs=5e-5)
    size, seeds, rows = 512, 3, 2
    log_norm = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        recurrent = rng.normal(0, sigma_w / math.sqrt(size), size=(size, 1, size))
        arrays = sigma_v * np.eye(size)[:, None], recurrent, np.zeros((1, size)), rng.normal(size=(100, rows, size))
        *params, xs = (jnp.asarray(array, jnp.float32) for array in arrays)
        log_norm.append(adjoint_profile(recurrax.Elman(size), ElmanParams(*params), xs).log_norm_joint)
    fit = fit_decay(np.stack(log_norm, axis=1), window=(5, 70))
    assert fit.samples == seeds
    assert fit.rate == pytest.approx(predicted.slope, abs=0.015)


def test_without_drive_gradients_follow_the_recurrent_gain():
    still = mean_field(0.5, 0.0)
    assert still.q == pytest.approx(0, abs=1e-12)
    assert still.chi == pytest.approx(0.25)
    assert still.correlation_length == pytest.approx(1 / math.log(4))
    assert mean_field(2.0, 0.5).correlation_length == math.inf
    assert mean_field(0.0, 1.0).slope == -math.inf


def test_refuses():
    with pytest.raises(ValueError, match="sigma_w: expected a finite number >= 0, got -1"):
        mean_field(-1, 0.3)
    with pytest.raises(ValueError, match="sigma_b: expected a finite number"):
        mean_field(1, 0.3, math.nan)
