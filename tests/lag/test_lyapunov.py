"""Spectra of maps, flows, random matrices and cells whose exponents are known."""

import jax.numpy as jnp
import numpy as np
import pytest
from lag.drawn import drawn
from scipy.special import polygamma

import recurrax
from recurrax.lag import lyapunov_of_step, lyapunov_spectrum


def henon(state, _):
    x, y = state
    return jnp.stack([1 - 1.4 * x * x + y, 0.3 * x])


def cat(state, _):
    return jnp.array([[2.0, 1.0], [1.0, 1.0]]) @ state % 1.0


def lorenz(state, _, dt=0.01):
    def flow(s):
        x, y, z = s
        return jnp.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])

    k1 = flow(state)
    k2 = flow(state + dt / 2 * k1)
    k3 = flow(state + dt / 2 * k2)
    return state + dt / 6 * (k1 + 2 * k2 + 2 * k3 + flow(state + dt * k3))


def test_logistic_map(x64):
    spectrum = lyapunov_of_step(lambda x, _: 4 * x * (1 - x), jnp.array([0.3]), jnp.arange(100_000))
    assert float(spectrum.exponents[0]) == pytest.approx(np.log(2), abs=1e-3)


def test_cat_map_stretches_alike_at_every_step(x64):
    spectrum = lyapunov_of_step(cat, jnp.array([0.1, 0.2]), jnp.arange(200), burn_in=50)
    golden = np.log((3 + np.sqrt(5)) / 2)
    assert golden == pytest.approx(0.9624237, abs=1e-7)
    np.testing.assert_allclose(spectrum.exponents, [golden, -golden], rtol=1e-12)
    assert float(spectrum.standard_error.max()) < 1e-12


def test_henon_contracts_areas_by_its_determinant(x64):
    spectrum = lyapunov_of_step(henon, jnp.array([0.1, 0.1]), jnp.arange(50_000), interval=2)
    assert float(spectrum.exponents.sum()) == pytest.approx(np.log(0.3), rel=1e-12)
    assert abs(float(spectrum.exponents[0]) - 0.4192) < 4 * float(spectrum.standard_error[0]) < 0.03


def test_lorenz_contracts_volumes_by_its_divergence(x64):
    dt = 0.01
    spectrum = lyapunov_of_step(lorenz, jnp.array([1.0, 1.0, 20.0]), jnp.arange(30_000), burn_in=3000, interval=2)
    rates = np.asarray(spectrum.exponents) / dt
    # The integrator's own contraction differs from the flow's by its truncation error.
    assert rates.sum() == pytest.approx(-41 / 3, rel=1e-4)
    np.testing.assert_allclose(rates[:2], [0.9056, 0.0], atol=0.03)


def test_products_of_gaussian_matrices_by_z_scores(x64):
    size, steps, sigma = 16, 1500, 0.9
    matrices = jnp.asarray(np.random.default_rng(3).normal(0, sigma / np.sqrt(size), size=(steps, size, size)))
    spectrum = lyapunov_of_step(lambda s, matrix: matrix @ s, jnp.asarray(np.ones(size)), matrices, burn_in=1)
    half = (size - np.arange(size)) / 2
    expected = np.log(sigma) + 0.5 * (np.log(2 / size) + polygamma(0, half))
    deviation = 0.5 * np.sqrt(polygamma(1, half) / spectrum.steps)
    z = (np.asarray(spectrum.exponents) - expected) / deviation
    assert expected[0] == pytest.approx(-0.13726, abs=5e-6)
    # Of 16 independent normals the largest exceeds 3.8 once in 430 draws; their squares sum to 16 ± 5.7.
    assert np.abs(z).max() < 3.8
    assert 4 < np.square(z).sum() < 36
    ratio = np.asarray(spectrum.standard_error) / deviation
    assert 0.8 < ratio.mean() < 1.2


def test_a_scaled_rotation_has_one_exponent_n_times(x64):
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))
    cell = recurrax.Elman(5, activation="identity")
    params, xs, _ = drawn(cell, batch=(), steps=100)
    params = params._replace(recurrent_kernel=jnp.asarray(0.9 * rotation[:, None]))
    spectrum = lyapunov_spectrum(cell, params, xs, interval=10)
    np.testing.assert_allclose(spectrum.exponents, np.full(5, np.log(0.9)), rtol=1e-12)


def test_an_lstm_without_weights_keeps_its_cell_and_loses_its_output(x64):
    cell = recurrax.LSTM(3)
    params, xs, _ = drawn(cell, batch=(), steps=400, scale=0.0)
    bias = np.zeros((4, 3))
    bias[1] = 1.0, 2.0, 3.0
    spectrum = lyapunov_spectrum(cell, params._replace(bias=jnp.asarray(bias)), xs, burn_in=200)
    # h feeds nothing, so half of the joint state is forgotten at once: counted, not averaged.
    assert int(spectrum.lost) == 3
    np.testing.assert_allclose(spectrum.exponents[:3], -np.logaddexp(0, [-3.0, -2.0, -1.0]), rtol=1e-10)
    assert np.isneginf(spectrum.exponents[3:]).all()
    assert np.isnan(spectrum.standard_error[3:]).all()


def test_the_memory_cell_belongs_to_the_state(x64):
    """With a long-lived cell the joint spectrum is near zero; h alone, c held fixed, would decay at once."""
    cell = recurrax.LSTM(8)
    params, xs, _ = drawn(cell, batch=(), steps=300, scale=0.3)
    b_f = np.log(np.linspace(1, 199, 8))  # chrono: one time scale per unit
    bias = np.stack([-b_f, b_f, 0 * b_f, 0 * b_f])
    params = params._replace(bias=jnp.asarray(bias))
    spectrum = lyapunov_spectrum(cell, params, xs, exponents=2)
    assert -0.05 < float(spectrum.exponents[0]) < 0
    c = jnp.asarray(np.zeros(8))

    def h_alone(h, x):
        return cell.step(params, recurrax.cells.LSTMCarry(h, c), x)[0].h

    assert float(lyapunov_of_step(h_alone, jnp.zeros(8), xs, exponents=1).exponents[0]) < -1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"exponents": 9}, r"exponents: expected None or an int in 1..8"),
        ({"interval": 7}, "interval: expected a positive int that divides T = 20, got 7"),
        ({"burn_in": 0}, "burn_in: expected a multiple of the interval, at least 1 steps, got 0"),
        ({"burn_in": 19}, "burn_in: expected at least two intervals left of T = 20 steps, got 19"),
        ({"interval": 5, "burn_in": 4}, "burn_in: expected a multiple of the interval, at least 5 steps, got 4"),
        ({"xs": jnp.zeros((20, 3, 2))}, r"xs: expected one sequence \(T, D\), got batch axes \(3,\)"),
    ],
)
def test_refuses(change, message):
    cell = recurrax.LSTM(4)
    params, xs, _ = drawn(cell, "float32", batch=(), steps=20)
    arguments = {"cell": cell, "params": params, "xs": xs, **change}
    with pytest.raises(ValueError, match=message):
        lyapunov_spectrum(**arguments)
