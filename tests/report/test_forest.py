"""That the figure below a verdict shows every interval, and where one has no end."""

import pytest

from recurrax.report.forest import draw_forest


def drawn(tmp_path, **theta):
    one = {"of": "a", "against": "b", "task": "echo", "level": "", "verdict": "undecided"}
    one["theta"] = {"estimate": 1.0, "low": 0.0, "high": 2.0, **theta}
    far = {**one, "theta": {"estimate": 4.0, "low": 3.0, "high": 5.0}, "verdict": "supported"}
    path = tmp_path / "forest.svg"
    draw_forest({"comparisons": [one, far], "effect": "difference", "delta": 1.0}, path)
    return path.read_text()


def test_a_claim_that_is_the_same_is_drawn_the_same(tmp_path):
    assert drawn(tmp_path) == drawn(tmp_path)


@pytest.mark.parametrize("end", ["low", "high"])
def test_an_interval_without_end_is_an_arrow(tmp_path, end):
    bounded, unbounded = drawn(tmp_path), drawn(tmp_path, **{end: None})
    assert unbounded.count("<use") == bounded.count("<use") + 1


def test_an_unknown_estimate_has_no_mark(tmp_path):
    whole = drawn(tmp_path, low=None, high=None)
    assert drawn(tmp_path, estimate=None, low=None, high=None).count("<use") == whole.count("<use") - 1
