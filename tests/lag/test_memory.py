"""Forward memory of networks whose memory is known."""

import jax.numpy as jnp
import numpy as np
import pytest

import recurrax
from recurrax.cells import ElmanParams
from recurrax.lag import memory_curve


def delay_line(size, dtype="float64"):
    """h_t = (x_t, x_{t-1}, ..., x_{t-size+1})."""
    arrays = np.eye(1, size)[None], np.eye(size, k=1)[:, None], np.zeros((1, size))
    return recurrax.Elman(size, activation="identity"), ElmanParams(*(jnp.asarray(a, dtype) for a in arrays))


def noise(*shape, dtype="float64"):
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), dtype)


def test_a_delay_line_remembers_exactly_its_length(x64):
    xs = noise(2000, 3, 1)
    curve = memory_curve(*delay_line(10), xs, lags=range(20), ridge=0.0)
    np.testing.assert_allclose(curve.r2[:10], 1.0, rtol=1e-12)
    # Beyond its length only chance is left: 10 coefficients fitted to some 3000 samples.
    assert float(jnp.abs(curve.r2[10:]).max()) < 0.02
    assert float(curve.capacity) == pytest.approx(10, abs=0.05)


def test_one_unit_shares_its_capacity_among_lags(x64):
    """h_t = w h_tm1 + x_t decodes x_{t-k} with R² = (1 - w²) w^{2k}, which sums to 1."""
    w = 0.8
    params = ElmanParams(jnp.ones((1, 1, 1)), jnp.full((1, 1, 1), w), jnp.zeros((1, 1)))
    xs = noise(4000, 10, 1)
    curve = memory_curve(recurrax.Elman(1, activation="identity"), params, xs, lags=range(30), burn_in=50)
    np.testing.assert_allclose(curve.r2, (1 - w**2) * w ** (2 * np.arange(30)), atol=0.02)
    assert float(curve.capacity) == pytest.approx(1, abs=0.05)


def test_features_are_told_apart_and_a_constant_one_says_so():
    cell, params = delay_line(4, "float32")
    params = params._replace(kernel=jnp.concatenate([params.kernel, jnp.zeros((2, 1, 4))]))
    xs = noise(400, 3, dtype="float32") * jnp.asarray([[1.0, 1.0, 0.0]])
    curve = memory_curve(cell, params, xs, lags=(0, 3))
    assert curve.r2_by_feature.shape == (2, 3)
    np.testing.assert_allclose(curve.r2_by_feature[:, 0], 1.0, atol=1e-4)
    assert float(jnp.abs(curve.r2_by_feature[:, 1]).max()) < 0.2
    assert np.isnan(curve.r2_by_feature[:, 2]).all()


def test_what_the_state_does_not_hold_lies_on_the_noise_floor():
    """R² = -n/(N - n) for targets that have nothing to do with the inputs, as its docstring says."""
    cell, params = delay_line(20, "float32")
    xs, others = noise(600, 2, 1, dtype="float32"), noise(600, 2, 50, dtype="float32")[::-1]
    curve = memory_curve(cell, params, xs, lags=range(30), targets=others)
    size, fitted = 20, 600 - 2 * 29  # half of the steps, of two rows
    assert float(curve.noise_floor) == pytest.approx(-size / (fitted - size))
    # The mean of 1500 values, each ± 2 √n/N = 0.016 and hardly any two of them independent.
    assert float(curve.r2_by_feature.mean()) == pytest.approx(-size / (fitted - size), rel=0.15)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lags": (-1,)}, r"lags: expected a sequence of ints >= 0, got \(-1,\)"),
        ({"lags": (0, 200)}, "lags: expected .* got T = 400, burn_in = 0 and a longest lag of 200"),
        (
            {"xs": jnp.zeros((43, 1))},
            "xs: expected at least 20 steps to fit 4 state components to, .* got 19 of T = 43, .* R² is far below 0",
        ),
        ({"held_out": 0.04}, "held_out: expected at least 20 steps to decode, got 16 of T = 400, .* R² is chance"),
        ({"targets": jnp.zeros((400, 2), int)}, r"targets: expected floating .*, got int32 \(400, 2\)"),
        ({"ridge": -1.0}, "ridge: expected a number >= 0"),
        ({"held_out": 1.0}, r"held_out: expected a number in \(0, 1\), got 1.0"),
        ({"field": "c"}, "field: expected None or one of the carry's h"),
        ({"xs": jnp.zeros((400, 1)), "ridge": 0.0}, "ridge: expected more than 0"),
    ],
)
def test_refuses(change, message):
    cell, params = delay_line(4, "float32")
    xs = noise(400, 1, dtype="float32")
    with pytest.raises(ValueError, match=message):
        memory_curve(**{"cell": cell, "params": params, "xs": xs, "lags": (0, 3), **change})
