"""What experiments make of effects by rules of their own, on planted ones."""

import importlib

import numpy as np
import pytest

from recurrax.study.claims import Comparison
from recurrax.study.statistics import Interval
from recurrax.tasks import Recall


def comparison(verdict="undecided", level="", low=0.0, high=0.0):
    return Comparison("a", "b", "echo", level, Interval((low + high) / 2, low, high), 0.01, 10, verdict)


@pytest.mark.parametrize(
    ("of_i", "of_f", "expected"),
    [
        (["supported", "refuted"], ["undecided", "supported"], "supported"),
        (["supported", "supported"], ["refuted", "refuted"], "refuted"),
        (["supported", "refuted"], ["undecided", "refuted"], "undecided"),
    ],
)
def test_every_gate_matters_where_each_does_on_some_task(of_i, of_f, expected):
    found = [comparison(one, level) for level, of in (("i", of_i), ("f", of_f)) for one in of]
    assert importlib.import_module("gates").every_gate(found) == expected


@pytest.mark.parametrize(
    ("short", "growth", "expected"),
    [
        ((-0.1, 0.04), (0.06, 0.2), "supported"),
        ((-0.1, 0.04), (0.04, 0.2), "undecided"),
        ((0.04, 0.2), (0.06, 0.2), "undecided"),
        ((0.11, 0.2), (0.06, 0.2), "refuted"),
    ],
)
def test_a_simple_network_suffices_where_its_gap_is_small_and_grows(short, growth, expected):
    found = [comparison(low=low, high=high) for low, high in (short, growth)]
    assert importlib.import_module("short_range_text").suffices(found) == expected


def test_a_window_is_the_longest_run_of_rates_and_holes_end_it():
    losses = np.array([[9, 0, 0, 9, 0, 0, 0], [9, 9, 0, 0, 0, 0, 9], [9, 9, 9, 9, 9, 9, 9]])[:, None, None]
    windows = importlib.import_module("stability").windows
    assert windows(losses, Recall()) == [(4, 7), (2, 6), (0, 0)]
    assert windows(losses[:2], Recall(), share=1.0) == [(4, 6), (4, 6)]
    assert windows(losses[:2], Recall(), share=0.5) == [(1, 7), (1, 7)]


def test_the_opening_of_an_lstm_is_its_forget_gate_and_of_an_elman_network_nothing():
    import jax

    from recurrax import LSTM, Elman

    selective = importlib.import_module("selective_memory")
    task, settings = Recall(length=6, ladder=True), selective.Settings(after=1)
    xs = task.batch(jax.random.key(0), 5).xs
    for cell, expected in ((LSTM(3, forget_bias=2.0), 1 / (1 + np.exp(-2.0))), (Elman(3), 0.0)):
        params = jax.tree.map(np.zeros_like, cell.init(jax.random.key(1), task.input_size))
        if expected:
            params = params._replace(bias=np.array([0, 2, 0, 0.0], np.float32)[:, None].repeat(3, 1))
        opening, gap = selective.openings(settings, cell, params, xs, task.needed(xs))
        np.testing.assert_allclose([opening[0], gap], [expected, 0.0], atol=1e-6)
