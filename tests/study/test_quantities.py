"""What arrays come to, as numbers and as words."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from recurrax.study import quantities, standard
from recurrax.study.statistics import Interval

SETTINGS = SimpleNamespace(lags=60, window=(5, 40), reference_lag=30, steps=30, hidden_size=8)
TASK = SimpleNamespace(landmarks={"nothing known": 2.0, "half known": 0.5}, unit="volts")


def straight(*slopes):
    """Curves (S, 61) of ln A(k) - ln A(0) that fall by a number of nats per step."""
    return np.array(slopes)[:, None] * np.arange(61.0)


def test_what_straight_lines_come_to():
    curves = straight(-0.5, -0.4, -0.25, -0.3, -0.01)
    lags, levels, rates, halves = (one.summary(curves, SETTINGS, None) for one in standard.decay("curve"))
    assert lags.values.tolist() == [28, 35, 56, 47, math.inf]  # first k with slope k <= ln 1e-6 = -13.8155
    assert (lags.interval.estimate, lags.text) == (47, "47 [28, >60]")
    assert lags.bounds.low.tolist() == [28, 35, 56, 47, 60]
    np.testing.assert_allclose(rates.values, [-0.5, -0.4, -0.25, -0.3, -0.01], rtol=1e-12)
    assert rates.interval.estimate == pytest.approx((-0.4 - 0.25 - 0.3) / 3)
    assert levels.interval.estimate == pytest.approx(-0.3 * 30)
    assert halves.text.startswith("2.2 [")  # ln 2 / 0.3167
    assert standard.level("curve").heading(SETTINGS) == "A(30)"
    assert standard.vanish_lag("curve").heading(SETTINGS) == "K, steps"


def test_a_network_whose_gradient_is_lost_does_not_vanish_from_the_numbers():
    curves = straight(-0.5, -0.4, -0.3)
    curves[0, 20:] = -np.inf
    assert standard.rate("curve").summary(curves, SETTINGS, None).values[0] == -math.inf


LOSSES = np.array([[1.0] * 10 + [0.1] * 20, [1.0] * 9 + [0.2] * 21, [1.0] * 30, [1.0] * 29 + [np.nan]])


def test_what_losses_come_to():
    loss, reached, time = (one.summary(LOSSES, SETTINGS, TASK) for one in standard.learned())
    assert loss.values.tolist() == pytest.approx([0.1, 0.2, 1.0, math.inf])
    assert loss.interval.estimate == pytest.approx((0.2 + 1.0) / 2)  # the middle two, a failure being the worst
    assert (reached.interval.estimate, reached.text) == (0.5, "0.50 [0.15, 0.85]")  # Wilson (1927), eq. 8, by hand
    assert time.values.tolist() == [22, 22, math.inf, math.inf]  # a mean over 20 of at most 1/2: 8 ones and 12 tenths
    assert time.interval.estimate == 22
    none = standard.learned()[2].summary(LOSSES, SETTINGS, SimpleNamespace(landmarks={}))
    assert none.text == ">30"


def test_numbers_are_saved_as_json():
    saved = standard.vanish_lag("curve").summary(straight(-0.01, -0.5), SETTINGS, None).saved()
    assert saved["per_network"] == [math.inf, 28.0]
    from recurrax.files import plain

    assert json.loads(json.dumps(plain(saved), allow_nan=False))["per_network"] == [None, 28.0]


def test_losses_are_drawn_in_blocks_beside_the_landmarks():
    curve = standard.losses()
    settings = SimpleNamespace(steps=53)
    drawn = curve.value(np.arange(106.0).reshape(2, 53), settings, TASK)
    assert drawn[0].tolist() == [2, 7, 12, 17, 22, 27, 32, 37, 42, 47]
    assert curve.x(settings, 10).tolist() == [2.5, 7.5, 12.5, 17.5, 22.5, 27.5, 32.5, 37.5, 42.5, 47.5]
    assert [(level.value, level.label.split("\n")[0]) for level in curve.levels(settings, TASK)] == [
        (2, "2: nothing known"),
        (0.5, "0.5: half known"),
    ]


def test_words_of_intervals():
    assert quantities.said(Interval(-0.25, -0.5, 0.125), quantities.signed) == "-0.250 [-0.500, +0.125]"
    assert quantities.said(Interval(-0.0091, -0.0092, -0.0090), quantities.signed) == "-0.009"
    assert quantities.said(Interval(0.1, 0.05, 0.2), quantities.half_life) == "grows"
    assert quantities.said(Interval(-np.inf, -np.inf, 0.0), quantities.power) == "0 [0, 1]"
    assert quantities.power(np.log(9.7e-7)) == "1e-06"
    assert [quantities.listed(parts) for parts in ([], ["a"], ["a", "b", "c"])] == ["", "a", "a, b and c"]
