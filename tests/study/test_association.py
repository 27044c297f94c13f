"""Planted rank correlations over cells: each verdict where it is the right one."""

import numpy as np
import pytest

from recurrax.study import association, statistics
from recurrax.study.association import Association, Contrast, Term
from recurrax.study.quantities import Number

K, LAG = Number("K", "gradient"), Number("failing lag", "failing")
RNG = np.random.default_rng(3)
X = RNG.permutation(24).astype(float)
OUTCOMES = {"tight": X + RNG.normal(size=24), "none": RNG.permutation(24), "loose": X + 14 * RNG.normal(size=24)}


def verdict(*tasks, classes=("a",) * 24, within_class=False, delta=0.5):
    contrasts = tuple(Contrast(f"K on {task}", (Term(K, LAG, task),), task, within_class) for task in tasks)
    claim = Association("It goes together.", contrasts, delta, "mixing")
    return association.judge(claim, lambda number, task: X if number is K else OUTCOMES.get(task), classes)


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        (["tight"], "supported"),
        (["none"], "refuted"),
        (["loose"], "undecided"),
        (["tight", "none"], "depends on mixing"),
        (["tight", "not measured"], "supported"),
    ],
)
def test_verdicts_on_planted_correlations(tasks, expected):
    assert verdict(*tasks).verdict == expected


def test_nothing_measured_or_few_cells_is_no_verdict():
    assert verdict("not measured") is None
    assert verdict("tight", classes=("a",) * 3) is None


def test_the_correlation_is_spearmans_and_infinities_rank_last():
    x, y = X.copy(), OUTCOMES["loose"].copy()
    y[X > 20] = np.inf
    theta, _ = association.bootstrap([(x, y)], [1], 0.5)
    assert theta == pytest.approx(statistics.spearman(x, y))


def test_what_two_classes_have_in_common_is_no_correlation_within_them():
    """Two clusters apart in both numbers, unrelated inside: 0.75 over all, about 0 given the class."""
    x, y = (np.r_[RNG.permutation(12), 50 + RNG.permutation(12)].astype(float) for _ in range(2))
    classes = ["a"] * 12 + ["b"] * 12
    over_all, within = (association.bootstrap([(x, y)], [1], 0.5, given)[0].estimate for given in (None, classes))
    groups = np.repeat([0, 1], 12)
    ranks = [np.concatenate([np.argsort(np.argsort(part)) for part in (side[:12], side[12:])]) for side in (x, y)]
    assert over_all > 0.6
    assert within == pytest.approx(np.corrcoef(*ranks)[0, 1])
    assert statistics.rank_correlation(x, y, groups) == pytest.approx(within)


def test_delta_is_a_number():
    with pytest.raises(ValueError, match="delta: expected a finite number"):
        Association("It is so.", (), 0.5)
