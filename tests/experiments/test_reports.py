"""What reports say follows from the numbers, and says no more than the intervals allow."""

import json

import _gradient_decay_words as words
import _profiles as profiles
import _seeds as seeds
import gradient_decay
import lyapunov_of_cells
import numpy as np
import pytest

from recurrax.report import Report
from recurrax.study.statistics import Interval


def config(**changes):
    return gradient_decay.Config(**gradient_decay.SMOKE | {"inputs": ("adding",), "lags": 40} | changes)


def curves(slope, networks=4):
    """Curves (S, 41) whose slopes spread by a hundredth around the one given."""
    slopes = slope * np.linspace(0.99, 1.01, networks)
    return slopes[:, None] * np.arange(41.0)


def arrays(slopes, trained):
    """The arrays of an experiment in which training takes each cell from one slope to another."""
    found = {}
    for arm in profiles.arms(8, 200):
        before, after = slopes.get(arm.name, -0.2), trained.get(arm.name, slopes.get(arm.name, -0.2))
        found[f"initial.adding.{arm.name}"] = curves(before)
        found[f"during.adding.{arm.name}"] = np.stack([curves(before), curves(before), curves(after)])
        found[f"loss.adding.{arm.name}"] = np.tile(np.array([1.0, 0.5, 0.05, 0.05]), (4, 1))
        found[f"failed.adding.{arm.name}"] = np.full(4, -1)
    return found


def test_what_training_changes_is_counted_where_intervals_are_apart():
    said = gradient_decay.finish(config(), arrays({}, {"gru": -0.02, "lstm_1": -0.1, "lstm_0": -0.5})).report.answer
    assert "slow the decay of 2 of 6 cells (GRU orthogonal most, from -0.200" in said
    assert "quicken the decay of 1 of 6 cells (LSTM b_f=0, from -0.200" in said
    assert "change that of 3 so little that the intervals before and after overlap" in said


@pytest.mark.parametrize(
    ("gated", "simple", "verdict"),
    [
        (-0.4, -0.2, "This contradicts the"),
        (-0.2, -0.4, "This agrees with the"),
        (-0.2, -0.2, "This leaves open, since"),
    ],
)
def test_the_verdict_on_a_belief_needs_intervals_that_are_apart(gated, simple, verdict):
    found = gradient_decay.finish(config(steps=0), arrays({"lstm_0": gated, "elman_orthogonal": simple}, {}))
    assert verdict in found.report.findings[0]


def test_success_and_time_to_it_come_from_the_losses():
    found = gradient_decay.finish(config(), arrays({}, {}))
    learned = found.numbers["adding"]["gru"]["learned"]
    assert (learned["successes"], learned["networks"]) == (0, 4)  # the mean of all four losses is 0.4
    table = found.report.tables[-1]
    assert table.rows[0][:3] == ("adding", "Elman", "uniform")
    assert table.rows[0][-1] == ">4"


def test_every_cell_has_its_key_figure():
    (key,) = gradient_decay.finish(config(steps=0), arrays({"gru": -1.0}, {})).report.key_figures
    assert "GRU orthogonal 14" in key.value
    assert "LSTM chrono >40" in key.value


def test_exponents_with_their_intervals():
    lyapunov = lyapunov_of_cells.Config(**lyapunov_of_cells.SMOKE | {"seeds": 3})
    spectrum = np.linspace(-0.1, -2.0, 8)
    found = {}
    for arm in profiles.arms(8, 200):
        found[f"loss.{arm.name}"] = np.full((3, 2), 1.0)
        for phase in lyapunov_of_cells.PHASES:
            found[f"{phase}.{arm.name}"] = spectrum + np.array([[-0.01], [0.0], [0.01]])
            if arm.family == "LSTM":
                found[f"hidden.{phase}.{arm.name}"] = np.full((3, 1), -1.5)
    finished = lyapunov_of_cells.finish(lyapunov, found)
    json.dumps(finished.numbers, allow_nan=False)
    assert Report.from_json(json.loads(json.dumps(finished.report.to_json()))) == finished.report
    exponents, learned = finished.report.tables
    assert exponents.rows[-1][2:] == ("-0.100 [-0.110, -0.090]",) * 2 + ("-1.500",) * 2
    assert learned.rows[0][4:] == ("3 of 3", "1.00 [0.44, 1.00]", "2")


def test_disjoint_intervals():
    low, high = Interval(0.0, -1.0, 1.0), Interval(3.0, 2.0, 4.0)
    assert words._below(low, high)
    assert not words._below(high, low)
    assert not words._below(low, low)
    assert seeds.signed(low, 1) == "+0.0 [-1.0, +1.0]"
