"""Which loss counts as solved, what a failing lag becomes in a table, and that a network's training is its own."""

import math

import numpy as np
import pytest

from recurrax import Elman, tasks
from recurrax.study import failing

SETTINGS = failing.FailingSettings(seeds=2, rates=(1e-3,), shortest=4, longest=8, steps=2, batch_size=2)


@pytest.mark.parametrize(
    ("task", "loss"),
    [
        (tasks.Recall(), 0.1 * math.log(4)),
        (tasks.Adding(), 1 / 60),
        (tasks.Agreement(clause=5), tasks.Agreement(clause=5).floor + 0.2 * math.log(2) / 5),
    ],
)
def test_a_fifth_of_the_smallest_landmark_above_the_floor_is_solved(task, loss):
    assert math.isclose(failing.solved_loss(task), loss, rel_tol=1e-12)


def test_a_failing_lag_lies_between_the_last_solved_and_the_first_failed():
    found = failing.middles(np.array([[0.0, 4.0], [4.0, 9.0], [8.0, np.inf]]), SETTINGS, None)
    assert found.tolist() == pytest.approx([4 / math.sqrt(2), 6.0, math.inf])


def test_of_rates_that_fail_at_the_same_lag_the_fastest_is_chosen(monkeypatch):
    """Steps to solve a lag at each rate: 1e-3 and 3e-3 solve 8, the latter sooner; 1e-2 is the fastest but solves 4."""
    needed = {1e-3: {4: 10, 6: 30, 8: 50}, 3e-3: {4: 20, 6: 25, 8: 40}, 1e-2: {4: 1}}

    def training(cell, task, settings, seed, rate):
        return float(needed[rate].get(task.lag, math.inf))

    monkeypatch.setattr(failing, "training", training)
    monkeypatch.setattr(failing, "_steps", lambda steps: steps)
    settings = failing.FailingSettings(seeds=2, rates=(1e-3, 3e-3, 1e-2), shortest=4, longest=8, steps=60)
    found = failing.failing_lags(Elman(4), tasks.Recall(5), settings)
    assert found["rate"].tolist() == [3e-3, 3e-3]


def test_networks_differ_in_seed_and_rate_alone():
    one, other = (failing.training(Elman(4), tasks.Recall(5), SETTINGS, seed, rate).rows[0] for seed, rate in
                  ((100, 1e-3), (101, 2e-3)))  # fmt: skip
    assert (one.seed, dict(one.arguments), other.seed, dict(other.arguments)) == (
        100, {"learning_rate": 1e-3}, 101, {"learning_rate": 2e-3},
    )  # fmt: skip


def test_seeds_are_fresh_and_rates_positive():
    assert list(SETTINGS.network_seeds) == [100, 101]
    with pytest.raises(ValueError, match="rates: expected positive numbers"):
        failing.FailingSettings(rates=(0.0,))
