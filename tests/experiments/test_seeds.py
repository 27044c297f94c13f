"""What a few networks say together: intervals, rates and times, as numbers and as words."""

import doctest
import json
import math

import _seeds as seeds
import numpy as np
import pytest

from recurrax.study.statistics import Interval

WINDOW, REFERENCE = (5, 40), 30


def straight(*slopes):
    """Curves (S, 61) of ln A(k) - ln A(0) that fall by a number of nats per step."""
    return np.array(slopes)[:, None] * np.arange(61.0)


def test_the_examples():
    tested = doctest.testmod(seeds)
    assert tested.attempted >= 3
    assert tested.failed == 0


def test_what_straight_lines_come_to():
    found = seeds.decay(straight(-0.5, -0.4, -0.25, -0.3, -0.01), WINDOW, REFERENCE)
    assert found.vanish_lags == [28, 35, 56, 47, math.inf]  # first k with slope k <= ln 1e-6 = -13.8155
    assert found.vanish_lag.estimate == 47
    np.testing.assert_allclose(found.rates, [-0.5, -0.4, -0.25, -0.3, -0.01], rtol=1e-12)
    assert found.rate.estimate == pytest.approx((-0.4 - 0.25 - 0.3) / 3)
    assert found.log_norm.estimate == pytest.approx(-0.3 * REFERENCE)
    for interval in (found.vanish_lag, found.rate, found.log_norm):
        assert interval.low <= interval.estimate <= interval.high


def test_a_lag_beyond_those_measured_is_said_and_saved_as_such():
    found = seeds.decay(straight(-0.01, -0.01, -0.5), WINDOW, REFERENCE)
    assert seeds.steps(found.vanish_lag, beyond=60) == ">60 [28, >60]"
    assert seeds.saved({"K": found.vanish_lag})["K"] == {"estimate": None, "low": 28.0, "high": None}
    json.dumps(seeds.saved({"decay": found}), allow_nan=False)


def test_a_network_whose_gradient_is_lost_does_not_vanish_from_the_numbers():
    curves = straight(-0.5, -0.4, -0.3)
    curves[0, 20:] = -np.inf
    assert seeds.decay(curves, WINDOW, REFERENCE).rates[0] == -math.inf


LOSSES = np.array([[1.0] * 10 + [0.1] * 20, [1.0] * 20 + [0.2] * 10, [1.0] * 30, [1.0] * 29 + [np.nan]])


def test_what_losses_come_to():
    found = seeds.learned(LOSSES, threshold=0.5, window=1)
    assert (found.successes, found.networks, found.rate.estimate) == (2, 4, 0.5)
    assert found.rate.low == pytest.approx(0.1500, abs=1e-4)  # Wilson (1927), eq. 8, by hand
    assert found.loss.estimate == pytest.approx((0.2 + 1.0) / 2)  # of 0.1, 0.2, 1 and a failure: the middle two
    assert found.steps.estimate == 21  # two of four reached it, after 11 and 21 steps


def test_a_threshold_that_nobody_reached():
    found = seeds.learned(LOSSES, threshold=0.01, window=5)
    table = seeds.learning_table("Learned", {("adding", "GRU", "plain"): found}, 5, "0.01", steps_taken=30)
    assert table.rows[0][3:5] == (table.rows[0][3], "0 of 4")
    assert table.rows[0][-1] == ">30"


def test_words_of_intervals():
    assert seeds.signed(Interval(-0.25, -0.5, 0.125)) == "-0.250 [-0.500, +0.125]"
    assert seeds.signed(Interval(-0.0091, -0.0092, -0.0090)) == "-0.009"
    assert seeds.half_life(Interval(0.1, 0.05, 0.2)) == "grows"
    assert seeds.power(Interval(-np.inf, -np.inf, 0.0)) == "0 [0, 1]"
