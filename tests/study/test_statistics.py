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


def seen(values):
    return statistics.censored(np.array(values, float))


@pytest.mark.parametrize(
    ("seeds", "k", "coverage"), [(6, 1, 0.96875), (10, 2, 0.978515625), (17, 5, 0.950958251953125)]
)
def test_the_paired_median_lies_between_order_statistics(seeds, k, coverage):
    values = np.random.default_rng(0).normal(size=seeds)
    found = statistics.paired_median(seen(values))
    assert found == (np.median(values), np.sort(values)[k - 1], np.sort(values)[-k])
    assert 1 - 2 * stats.binom.cdf(k - 1, seeds, 0.5) == pytest.approx(coverage)
    assert 1 - 2 * stats.binom.cdf(k, seeds, 0.5) < 0.95
    assert (found.low, found.high) == tuple(stats.quantile_test(values, p=0.5).confidence_interval(0.95))


def test_five_seeds_cannot_give_a_95_percent_interval():
    assert statistics.paired_median(seen([1, 2, 3, 4, 5])) == (3, -math.inf, math.inf)


def test_censored_differences_are_bounded_on_the_side_that_is_known():
    of = statistics.censored(np.array([math.inf, math.inf, 10.0, 10.0]), beyond=200)
    against = statistics.censored(np.array([50.0, math.inf, math.inf, 4.0]), beyond=200)
    found = statistics.differences(of, against)
    assert found.low.tolist() == [150, -math.inf, -math.inf, 6]
    assert found.high.tolist() == [math.inf, math.inf, -190, 6]


def test_the_interval_of_censored_differences_holds_whatever_they_may_be():
    low = statistics.Bounds(np.arange(10.0), np.arange(10.0) + np.where(np.arange(10) > 6, math.inf, 0))
    assert statistics.paired_median(low) == (4.5, 1.0, math.inf)


@pytest.mark.parametrize(
    ("values", "median"),
    [
        ([16, 64, math.inf], (64, 64)),
        ([16, math.inf, math.inf], (256, math.inf)),
        ([16, 64, math.inf, math.inf], (160, math.inf)),
    ],
)
def test_a_median_of_which_half_lie_beyond_is_a_bound(values, median):
    assert statistics.median_of_censored(statistics.censored(np.array(values), 256)) == median


@pytest.mark.parametrize(("above", "below"), [(6, 0), (5, 1), (9, 1), (3, 3)])
def test_the_sign_test_is_the_binomial_one_and_ties_do_not_count(above, below):
    values = [1.0] * above + [-1.0] * below + [0.0] * 3
    expected = stats.binomtest(above, above + below).pvalue
    assert statistics.sign_test(seen(values)) == pytest.approx(expected)
    assert statistics.sign_test(seen(np.add(values, 2)), hypothesis=2) == pytest.approx(expected)
    assert statistics.sign_test(seen([0.0, 0.0])) == 1


def test_fisher_is_the_hypergeometric_closed_form():
    # 5/5 against 0/5: one table in C(10, 5) = 252 is as extreme, at either end.
    assert statistics.fisher((5, 0), (5, 5)) == pytest.approx(2 / 252)
    assert statistics.fisher((4, 1), (5, 5)) == pytest.approx(2 * (1 + 25) / 252)
    with pytest.raises(ValueError, match="successes: expected"):
        statistics.fisher((6, 0), (5, 5))


def test_holm_by_hand_and_in_any_order():
    p = np.array([0.03, 0.001, 0.04, 0.5])
    adjusted = statistics.holm(p)
    assert adjusted == pytest.approx([0.09, 0.004, 0.09, 0.5])
    order = [2, 0, 3, 1]
    assert statistics.holm(p[order]) == pytest.approx(adjusted[order])
    assert statistics.holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]


def test_spearman_is_scipys_and_its_interval_covers_what_it_says():
    generator = np.random.default_rng(3)
    x = generator.normal(size=40)
    y = x + generator.normal(size=40)
    found = statistics.spearman(x, y)
    assert found.estimate == pytest.approx(stats.spearmanr(x, y).statistic)
    assert 0 < found.low < found.estimate < found.high < 1
    y[y == y.max()] = math.inf  # what was never reached ranks last
    assert statistics.spearman(x, y).estimate == pytest.approx(found.estimate)
    covered = sum(
        interval.low <= 0 <= interval.high
        for interval in (statistics.spearman(*generator.normal(size=(2, 25)), resamples=300) for _ in range(200))
    )
    assert 0.85 < covered / 200 <= 1
    for bad in (([1.0, 2.0], [1.0, 2.0]), ([1.0] * 5, list(range(5))), ([1.0, 2.0, 3.0], [1.0, 2.0])):
        with pytest.raises(ValueError, match="x, y: expected at least three pairs"):
            statistics.spearman(*map(np.array, bad))
