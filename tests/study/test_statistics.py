import math

import numpy as np
import pytest
from scipy import stats

from recurrax.study import statistics
from recurrax.study.statistics import TimeToThreshold, median, median_time, success_rate, time_to_threshold

MIDDLES = pytest.mark.parametrize("middle", [statistics.interquartile_mean, median])


def test_the_interquartile_mean_is_that_of_the_middle_half():
    values = np.array([9.0, 1.0, -50.0, 3.0, 2.0, 1e6, 4.0, 0.0])
    assert statistics.interquartile_mean(values).estimate == np.mean([1.0, 2.0, 3.0, 4.0])


@MIDDLES
def test_intervals_cover_the_truth_about_as_often_as_they_say(middle):
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        interval = middle(generator.normal(size=30), resamples=300)
        covered += interval.low <= 0 <= interval.high
        assert interval.low <= interval.estimate <= interval.high
    # A percentile bootstrap of 30 values covers a little less than 95 %; 0.85 is 6 binomial deviations below.
    assert 0.85 < covered / 200 <= 1


@MIDDLES
def test_equal_seeds_have_no_spread_failures_are_inf_and_nans_are_refused(middle):
    assert middle(np.full(5, 0.25)) == (0.25, 0.25, 0.25)
    failed = middle(np.array([1.0, 2.0, 3.0, 4.0, math.inf]))
    assert failed.estimate == 3.0
    assert failed.high > 3
    for bad in ([], [1.0, math.nan], [[1.0]]):
        with pytest.raises(ValueError, match="values: expected at least one number per seed and no NaN"):
            middle(np.array(bad))


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (3, 10), (10, 10), (1, 1)])
def test_wilson_interval_is_the_closed_form(successes, trials):
    z = stats.norm.ppf(0.975)
    p, n = successes / trials, trials
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    found = success_rate(successes, trials)
    assert found.estimate == p
    assert math.isclose(found.low, centre - half, abs_tol=1e-12)
    assert math.isclose(found.high, centre + half, abs_tol=1e-12)


def test_counts_that_cannot_be_are_refused():
    for successes, trials in ((1, 0), (3, 2), (-1, 2)):
        with pytest.raises(ValueError, match=r"successes: expected 0\.\.trials of at least one trial"):
            success_rate(successes, trials)


def test_time_to_threshold_waits_for_the_mean_of_a_window():
    curve = np.array([[4.0], [0.0], [4.0], [1.0], [1.0], [1.0]])
    assert time_to_threshold(curve, 1.0).steps.tolist() == [2]
    assert time_to_threshold(curve, 1.0, window=3).steps.tolist() == [6]
    never = time_to_threshold(curve, -1.0)
    assert (never.steps.tolist(), never.reached.tolist()) == ([6], [False])
    with pytest.raises(ValueError, match=r"curves: expected shape \(steps, S\) with at least 7 steps, got \(6, 1\)"):
        time_to_threshold(curve, 1.0, window=7)


def test_median_time_by_hand_and_with_censoring_in_between():
    # Survival 4/5, 3/5, then 1 of 3 leaves unseen, 3/5 * 1/2 = 3/10.
    times = TimeToThreshold(np.array([1, 2, 3, 4, 5]), np.array([True, True, False, True, False]))
    found = median_time(times)
    assert found.estimate == 4
    assert found.low <= 4 <= found.high
    # Taking the unseen one for a failure at 3 would have said 3.
    assert np.median([1, 2, 3, 4, 5]) == 3


def test_median_time_when_half_or_more_never_get_there():
    few = median_time(TimeToThreshold(np.full(5, 100), np.array([True, True, False, False, False])))
    assert few.estimate == math.inf
    none = median_time(TimeToThreshold(np.full(3, 100), np.zeros(3, bool)))
    assert none == (math.inf, 100, math.inf)


def test_median_time_interval_covers_the_truth():
    generator = np.random.default_rng(2)
    covered = 0
    for _ in range(200):
        times = generator.exponential(1.0, 40)
        seen = TimeToThreshold(np.minimum(times, 1.5), times <= 1.5)
        found = median_time(seen)
        covered += found.low <= math.log(2) <= found.high
    assert covered / 200 > 0.88
