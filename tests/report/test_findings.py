"""What is said of a run's numbers, against numbers that are known."""

import math

import pytest
from pages import CLAIM, KEYS, NUMBERS, save_run

from recurrax import report
from recurrax.report import findings
from recurrax.report.findings import Bar, Reading


def test_a_ranking_is_of_the_first_number_and_puts_what_lies_beyond_first():
    on_adding, on_text = findings.rankings({"numbers": NUMBERS, "report": {"key_figures": [{"name": "K, steps"}] * 2}})
    assert [reading.label for reading in on_adding.readings] == ["lstm", "gru", "elman"]
    assert on_adding.readings[2] == Reading("elman", 20.0, 10.0, 30.0, "20 [10, 30]")
    assert on_text.heading == "K, steps"
    alone, _ = findings.rankings({"numbers": NUMBERS})
    assert alone.heading == "K on adding"
    assert findings.rankings({"numbers": {"speed": 2.5}}) == findings.rankings({}) == []


def test_readings_lie_where_they_should_on_the_scale():
    ranking, _ = findings.rankings({"numbers": NUMBERS})
    bars, said = findings.bars(ranking)
    assert bars == [
        Bar("lstm", ">200", left=100.0, width=0.0, dot=100.0, beyond=True),
        Bar("gru", "50 [40, >200]", left=20.0, width=80.0, dot=25.0, beyond=False),
        Bar("elman", "20 [10, 30]", left=5.0, width=10.0, dot=10.0, beyond=False),
    ]
    assert said == "scale from 0 to 200; hollow where the estimate lies beyond"


@pytest.mark.parametrize(
    ("values", "dots", "scale"),
    [
        ((1.0, 10.0, 100.0), [100.0, 50.0, 0.0], "log scale from 1 to 100"),
        ((-4.0, -1.0, 0.0), [100.0, 75.0, 0.0], "scale from -4 to 0"),
        ((-1.0, 3.0), [100.0, 0.0], "scale from -1 to 3"),
        ((0.0,), [100.0], "scale from 0 to 0"),
    ],
)
def test_scales(values, dots, scale):
    ranking = findings.ranked("x", [Reading(str(value), value, value, value, str(value)) for value in values])
    bars, said = findings.bars(ranking)
    assert ([bar.dot for bar in bars], said) == (dots, scale)


def test_the_answer_is_one_sentence(tmp_path):
    def answer(name, **changes):
        return findings.answer(report.load(save_run(tmp_path / name, **changes)))

    assert answer("one-claim") == "An LSTM reaches further. Supported."
    ranked = "\n".join(f"{key.name}: {key.value}." for key in KEYS)
    refuted = CLAIM | {"verdict": "refuted"}
    assert answer("claims", claims=(CLAIM, CLAIM, refuted), answer=ranked + "\nA.\nB.") == (
        "3 claims were judged: 2 supported, 1 refuted."
    )
    assert answer("none", claims=(), answer=ranked) == (
        "K, steps on adding: from 20 [10, 30] (elman) to >200 (lstm); K, steps on text: 5 for elman."
    )
    assert answer("smoke-12") == findings.SMOKE
    assert answer("told", smoke=True) == findings.SMOKE


def test_comparisons_say_their_interval_infinities_among_it(tmp_path):
    (claim,) = findings.verdicts(report.load(save_run(tmp_path / "run")))
    assert [(one["word"], one["said"]) for one in claim["comparisons"]] == [
        ("supported", "+2.5 [+1.5, +∞]"),
        ("refuted, equal", "+0.1 [-0.2, +0.3]"),
    ]
    assert findings.verdicts(report.load(save_run(tmp_path / "smoke-1"))) == []


def test_a_limit_is_known_only_of_an_estimate_beyond_it():
    assert findings.limit(Reading("", math.nan, math.nan, math.nan, ">200")) == 200.0
    assert findings.limit(Reading("", 50.0, 40.0, math.nan, "50 [40, >200]")) is None
