"""What is read off a curve of log norms."""

import math

import numpy as np
import pytest

from recurrax.cells import LSTMCarry
from recurrax.lag import LagProfile, choose_decay, fit_decay, half_life, quantiles, vanish_lag

LAGS = np.arange(60.0)


def test_a_curve_that_never_falls_never_vanishes():
    flat = np.zeros((60, 4))
    assert vanish_lag(flat) == math.inf
    assert half_life(flat) == math.inf


def test_collapsed_rows_pull_the_median_down():
    curves = np.stack([-0.01 * LAGS, -0.01 * LAGS, np.zeros(60)], axis=1)
    assert vanish_lag(curves) == math.inf
    curves[10:, 1:] = -np.inf
    assert vanish_lag(curves) == 10
    assert half_life(curves) == 10


def test_the_median_of_an_even_number_of_rows_is_the_mean_of_the_middle_two():
    curves = np.stack([-1.0 * LAGS, -3.0 * LAGS], axis=1)
    assert vanish_lag(curves, epsilon=math.exp(-4.1)) == 3
    assert half_life(curves) == pytest.approx(math.log(2) / 2)


def test_rows_too_short_for_a_lag_do_not_count_there():
    curves = np.stack([-1.0 * LAGS, -1.0 * LAGS], axis=1)
    curves[5:, 1] = np.nan
    assert vanish_lag(curves) == 14


def test_quantiles_are_numpys_where_all_is_finite_and_count_collapsed_rows():
    curves = np.random.default_rng(0).normal(size=(7, 4, 3))
    levels = (0.0, 0.1, 0.5, 0.77, 1.0)
    np.testing.assert_allclose(
        quantiles(curves, levels), np.quantile(curves.reshape(7, 12), levels, axis=1), rtol=1e-12
    )
    curves[2, 0] = -np.inf
    curves[3] = np.nan
    assert quantiles(curves, (0.1,))[0, 2] == -np.inf
    assert np.isfinite(quantiles(curves, (0.5,))[0, 2])
    assert np.isnan(quantiles(curves)[:, 3]).all()


def test_the_norm_is_relative_to_lag_0():
    assert vanish_lag(7 - 0.5 * LAGS) == vanish_lag(-0.5 * LAGS) == 28


def test_the_rate_is_the_mean_over_samples_and_its_error_comes_from_samples():
    rng = np.random.default_rng(0)
    rates = rng.normal(-0.3, 0.05, size=400)
    fit = fit_decay(2 + rates * LAGS[:, None], window=(10, 50))
    assert fit.rate == pytest.approx(rates.mean())
    assert fit.intercept == pytest.approx(2)
    assert fit.standard_error == pytest.approx(rates.std(ddof=1) / 20)
    assert fit.window == (10, 50)
    assert fit.samples == 400
    assert fit.collapsed == 0


def test_further_batch_axes_are_averaged_within_a_sample():
    rng = np.random.default_rng(0)
    curves = rng.normal(size=(60, 5, 7))
    assert fit_decay(curves, (0, 59)) == fit_decay(curves.mean(axis=2), (0, 59))


def test_a_transient_outside_the_window_is_not_fitted():
    curve = np.where(LAGS < 10, 5.0, -0.2 * LAGS)
    fit = fit_decay(curve, (10, 59))
    assert fit.rate == pytest.approx(-0.2)
    assert math.isnan(fit.standard_error)


def test_one_collapsed_sample_is_not_left_out():
    curves = np.stack([-0.1 * LAGS, -0.1 * LAGS], axis=1)
    curves[40:, 1] = -np.inf
    fit = fit_decay(curves, (5, 50))
    assert fit.rate == -math.inf
    assert math.isnan(fit.standard_error)
    assert fit.collapsed == 1
    assert fit_decay(curves, (5, 39)).rate == pytest.approx(-0.1)


def test_a_profile_stands_for_its_joint_norm():
    curves = np.stack([-0.5 * LAGS, -0.6 * LAGS], axis=1)
    profile = LagProfile(LAGS, LSTMCarry(curves + 9, curves - 9), curves, None)
    assert vanish_lag(profile) == vanish_lag(curves) == 26
    assert half_life(profile) == half_life(curves)
    assert fit_decay(profile, (2, 40)) == fit_decay(curves, (2, 40))
    assert choose_decay(profile, (2, 40), families=["exponential"], resamples=2).samples == 2
    np.testing.assert_array_equal(quantiles(profile), quantiles(curves))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: vanish_lag(LAGS, epsilon=0.0), r"epsilon: expected a number in \(0, 1\], got 0.0"),
        (lambda: vanish_lag(np.full(5, -np.inf)), "log_norm: expected finite values at lag 0"),
        (lambda: half_life(np.zeros((0, 3))), r"log_norm: expected \(T, \*batch\) with at least one lag"),
        (lambda: quantiles(LAGS, (0.5, 1.5)), r"levels: expected numbers in \[0, 1\], got \[0.5, 1.5\]"),
        (lambda: vanish_lag((LAGS, LAGS)), r"log_norm: expected one array \(T, \*batch\) or a profile .*, got tuple"),
        (lambda: half_life(LSTMCarry(LAGS, LAGS)), "log_norm: expected one array .*, got LSTMCarry"),
        (lambda: fit_decay([0.0, -1.0, -2.0], (0, 2)), "log_norm: expected one array .*, got list"),
        (lambda: fit_decay(LAGS, (5, 60)), r"window: expected .* < T = 60, got \(5, 60\)"),
        (lambda: fit_decay(LAGS, (5, 5)), "window: expected"),
        (lambda: fit_decay(LAGS, (0.5, 5)), "window: expected"),
        (lambda: fit_decay(LAGS, 5), "window: expected"),
        (lambda: fit_decay(LAGS * np.nan, (0, 5)), "log_norm: expected numbers below inf at lags 0..5"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()
