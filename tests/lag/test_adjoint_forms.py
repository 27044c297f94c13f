"""Adjoint norms with a closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lag.drawn import H, drawn

import recurrax
from recurrax.cells import ElmanCarry, ElmanParams, LSTMParams
from recurrax.lag import adjoint_profile, fit_decay, half_life, vanish_lag

RTOL = 1e-12
ATOL_F32 = 1e-4


def elman(recurrent, kernel=1.0, dtype="float32"):
    """Elman parameters from a recurrent matrix acting on columns, one input feature, no bias."""
    size = len(recurrent)
    arrays = np.full((1, 1, size), kernel), np.asarray(recurrent).T[:, None], np.zeros((1, size))
    return ElmanParams(*(jnp.asarray(array, dtype) for array in arrays))


def lstm(size, forget_bias, dtype="float32"):
    """LSTM parameters that are zero but for the forget bias, one input feature."""
    bias = np.zeros((4, size))
    bias[1] = forget_bias
    arrays = np.zeros((1, 4, size)), np.zeros((size, 4, size)), bias
    return LSTMParams(*(jnp.asarray(array, dtype) for array in arrays))


def test_a_linear_network_with_a_scaled_rotation_decays_as_sigma_to_the_k(x64):
    rng = np.random.default_rng(0)
    rotation, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    for sigma in (0.3, 1.0, 1.2):
        params = elman(sigma * rotation, dtype="float64")
        cell = recurrax.Elman(6, activation="identity")
        profile = adjoint_profile(
            cell, params, jnp.asarray(rng.normal(size=(200, 3, 1))), jnp.asarray(rng.normal(size=(3, 6)))
        )
        relative = profile.log_norm_joint - profile.log_norm_joint[:1]
        expected = np.log(sigma) * np.arange(200)
        np.testing.assert_allclose(relative, np.broadcast_to(expected[:, None], relative.shape), rtol=RTOL, atol=RTOL)


@pytest.mark.parametrize("forget_bias", [0.0, 1.0, 4.0, -60.0])
def test_an_lstm_without_weights_forgets_by_its_forget_gate_alone(forget_bias, x64):
    cell = recurrax.LSTM(5)
    profile = adjoint_profile(cell, lstm(5, forget_bias, "float64"), jnp.ones((100, 1)))
    expected = -np.logaddexp(0, -forget_bias) * np.arange(100)
    # h_{T-1} = o tanh(c) with o = 1/2 and c = 0, so the classic dL/dc starts at 1/2 per unit.
    np.testing.assert_allclose(profile.log_norm_bptt, np.log(0.5 * np.sqrt(5)) + expected, rtol=RTOL, atol=RTOL)
    # The state adjoint reaches c one step earlier, and h, which nothing reads, only at lag 0.
    np.testing.assert_allclose(profile.log_norm.c[1:], profile.log_norm_bptt[1:], rtol=RTOL, atol=RTOL)
    assert np.isneginf(profile.log_norm.c[0])
    assert np.isneginf(profile.log_norm.h[1:]).all()


@pytest.mark.parametrize(
    ("forget_bias", "half", "vanished"),
    [(0, 1.0, 20), (1, 2.21, 45), (2, 5.46, 109), (3, 14.27, 285), (4, 38.19, 762), (5, 103.2, 2058), (6, 280.0, 5581)],
)
def test_half_lives_and_vanish_lags_of_forget_gates(forget_bias, half, vanished):
    log_norm = adjoint_profile(recurrax.LSTM(1), lstm(1, forget_bias), jnp.zeros((5600, 1))).log_norm_bptt
    assert half_life(log_norm) == pytest.approx(half, abs=0.005 if half < 100 else 0.05)
    assert vanish_lag(log_norm) == vanished


def test_a_diagonal_network_keeps_each_coordinate_to_itself(x64):
    rates = np.array([0.99, -0.5, 1e-3])
    params = elman(np.diag(rates), dtype="float64")
    cell, xs = recurrax.Elman(3, activation="identity"), jnp.ones((150, 1))
    k = np.arange(150)
    for unit, rate in enumerate(rates):
        log_norm = adjoint_profile(cell, params, xs, jnp.eye(3)[unit]).log_norm.h
        np.testing.assert_allclose(log_norm, k * np.log(abs(rate)), rtol=RTOL, atol=RTOL)


def test_a_gru_whose_gates_see_no_state_keeps_the_product_of_its_update_gates(x64):
    cell, (params, xs, cotangent) = recurrax.GRU(H), drawn(recurrax.GRU(H))
    params = params._replace(recurrent_kernel=0 * params.recurrent_kernel)
    z = jax.nn.sigmoid(cell.project(params, xs).z)
    kept = np.cumprod(np.asarray(z)[::-1], axis=0)  # ∏_j z_{T-1-j}
    expected = np.log(np.linalg.norm(np.asarray(cotangent[-1]) * kept, axis=-1))
    log_norm = adjoint_profile(cell, params, xs, cotangent[-1]).log_norm.h
    np.testing.assert_allclose(log_norm[1:], expected[:-1], rtol=0, atol=RTOL)


def test_a_relu_network_started_at_the_identity_holds_gradients_exactly():
    profile = adjoint_profile(recurrax.Elman(2, activation="relu"), elman(np.eye(2), 0.1), jnp.ones((300, 2, 1)))
    np.testing.assert_array_equal(profile.log_norm.h, np.full((300, 2), profile.log_norm.h[0, 0]))


@pytest.mark.parametrize(
    ("w", "fixed_point", "slope"), [(1.5, 0.858560, 0.394313), (2.0, 0.957504, 0.166372), (3.0, 0.994902, 0.030513)]
)
def test_a_scalar_tanh_decays_by_its_slope_at_the_fixed_point(w, fixed_point, slope):
    profile = adjoint_profile(recurrax.Elman(1), elman([[w]]), jnp.zeros((400, 1)), carry=ElmanCarry(jnp.ones(1)))
    fit = fit_decay(profile.log_norm.h, window=(0, 300))
    assert np.exp(fit.rate) == pytest.approx(slope, abs=2e-6)
    h = 1.0
    for _ in range(400):
        h = np.tanh(w * h)
    assert h == pytest.approx(fixed_point, abs=1e-6)
    assert w * (1 - h * h) == pytest.approx(slope, abs=1e-6)


def test_the_critical_scalar_tanh_decays_as_a_power_law(x64):
    steps = 10_001
    xs = jnp.zeros((steps, 1)).at[0].set(40.0)  # drives h_0 to 1
    log_norm = np.asarray(adjoint_profile(recurrax.Elman(1), elman([[1.0]], dtype="float64"), xs).log_norm.h)
    h, log_product = 1.0, 0.0
    for k in range(1, steps):
        h = np.tanh(h)
        log_product += np.log1p(-h * h)
        # Lag steps-1 counts back to h_0; the product up to k is what the lags between add.
        from_start = log_norm[steps - 1] - log_norm[steps - 1 - k]
        if k in (100, 1000, 10_000):
            assert from_start == pytest.approx(log_product, rel=1e-10)
            expected = {100: 1.5920, 1000: 1.6352, 10_000: 1.6404}[k]
            assert k**1.5 * np.exp(from_start) == pytest.approx(expected, abs=5e-5)


def test_a_jordan_block_grows_before_it_decays(x64):
    profile = adjoint_profile(
        recurrax.Elman(2, activation="identity"),
        elman([[0.95, 1.0], [0.0, 0.95]], dtype="float64"),
        jnp.zeros((200, 1)),
        jnp.array([1.0, 0.0]),
    )
    k = np.arange(200)
    expected = k * np.log(0.95) + 0.5 * np.log1p((k / 0.95) ** 2)
    np.testing.assert_allclose(profile.log_norm.h, expected, rtol=1e-11, atol=1e-12)
    assert profile.log_norm.h[19] > 1
    assert profile.log_norm.h[199] < -4


def test_growth_beyond_the_largest_float_stays_finite():
    params = elman(10.0 * np.eye(3))
    log_norm = adjoint_profile(recurrax.Elman(3, activation="identity"), params, jnp.zeros((400, 1))).log_norm.h
    np.testing.assert_allclose(log_norm - log_norm[0], np.log(10) * np.arange(400), atol=ATOL_F32)


def test_a_gradient_that_is_zero_says_so_and_a_neighbour_does_not_notice():
    xs = np.ones((300, 2, 1), np.float32)
    xs[-5, 0] = -1e6  # both units of row 0 die five steps before the end
    profile = adjoint_profile(recurrax.Elman(2, activation="relu"), elman(np.eye(2)), jnp.asarray(xs))
    assert np.isneginf(profile.log_norm_joint[5:, 0]).all()
    assert np.isfinite(profile.log_norm_joint[:5, 0]).all()
    np.testing.assert_allclose(profile.log_norm_joint[:, 1], np.log(np.sqrt(2)), rtol=1e-6)


@pytest.mark.parametrize(
    ("t_max", "expected"),
    [
        (50, {1: 0.93588, 10: 0.6313, 50: 0.19415, 100: 0.05607, 200: 0.00567, 500: 0.00001}),
        (200, {1: 0.97774, 10: 0.85296, 50: 0.57307, 100: 0.38609, 200: 0.19384, 500: 0.03146}),
        (1000, {1: 0.994, 10: 0.95626, 50: 0.85061, 100: 0.75825, 200: 0.62435, 500: 0.3855}),
    ],
)
def test_chrono_units_together_decay_as_a_mean_over_time_scales(t_max, expected):
    """√(E f^{2k}) with f = T/(1+T), T uniform on (1, t_max - 1): here Gauss's nodes and, as cotangent, his weights."""
    node, weight = np.polynomial.legendre.leggauss(100)
    time_scale = t_max / 2 + (t_max / 2 - 1) * node
    cotangent = jnp.asarray(np.sqrt(weight), jnp.float32)
    profile = adjoint_profile(recurrax.LSTM(100), lstm(100, np.log(time_scale)), jnp.zeros((501, 1)), cotangent)
    log_norm = profile.log_norm_bptt
    for k, rms in expected.items():
        assert np.exp(log_norm[k] - log_norm[0]) == pytest.approx(rms, abs=2e-5)
