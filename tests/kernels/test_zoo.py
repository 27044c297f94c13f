"""Cells as users write them: whatever the reference differentiates, the default does too, to rounding, in float64."""

import numpy as np
import pytest
import zoo
from tolerances import RTOL, SECOND_RTOL

from recurrax.check import trial as trials

pytestmark = pytest.mark.usefixtures("x64", "quick_compile", "plain_style")

T, BATCH = 4, (3,)
LENGTHS = np.array([T, 0, T - 1])
MASK = np.array([[1, 1, 1], [0, 1, 1], [1, 1, 1], [1, 1, 0]], bool)
RESETS = np.array([[0, 0, 1], [0, 0, 0], [1, 0, 0], [0, 1, 0]], bool)
OPTIONS = {
    "lengths": ({"lengths": LENGTHS}, {}),
    "mask": ({"mask": MASK}, {}),
    "resets": ({"resets": RESETS}, {}),
    "reverse": ({}, {"reverse": True}),
    "chunk": ({}, {"chunk": 3}),  # with a rest of 1
    "unroll": ({}, {"unroll": 3}),
    "from the initial carry": ({"carry": None}, {}),
    "without a batch": (None, {}),
}
"""Fields of the trial and options of the scan; a carry is given where nothing else is said."""
EVERYTHING = ({"lengths": LENGTHS, "mask": MASK, "resets": RESETS}, {"reverse": True, "chunk": 2, "unroll": 2})


def draw(cell, batch=BATCH):
    return zoo.draw_trial(cell, T, batch, np.float64)


def assert_alike(got, expected, trial, table=RTOL):
    assert trials.difference(got, expected, table[zoo.precision(trial)]) is None


@pytest.mark.parametrize("cell", zoo.ALL, ids=repr)
def test_all_rows_alike_first_and_second_order(cell):
    trial = draw(cell)
    got, got_second = trials.second_order(cell, trial, implementation="fused")
    expected, expected_second = trials.second_order(cell, trial, implementation="reference")
    assert_alike(got, expected, trial)
    assert_alike(got_second, expected_second, trial, SECOND_RTOL)


@pytest.mark.parametrize("cell", zoo.ALL, ids=repr)
def test_every_option_at_once(cell):
    fields, options = EVERYTHING
    trial = draw(cell)._replace(**fields)
    got = trials.value_and_grad(cell, trial, implementation="fused", **options)
    assert_alike(got, trials.value_and_grad(cell, trial, implementation="reference", **options), trial)
