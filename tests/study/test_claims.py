"""The four verdicts on planted effects, and what may not be compared."""

import numpy as np
import pytest

from recurrax.study import claims, statistics
from recurrax.study.claims import Claim, Evidence, Pair, Published, Sample
from recurrax.study.quantities import Number

K = Number("K", "initial", lambda array, settings, task: array, "steps")
SPREAD = np.linspace(-0.4, 0.4, 10)


def sample(label, values, beyond=np.inf, seeds=None):
    values = np.asarray(values, float)
    return Sample(label, np.arange(len(values)) if seeds is None else seeds, statistics.censored(values, beyond))


def planted(*effects, level=("orthogonal", "uniform")):
    """Pairs of cells that differ by a known effect."""
    return [
        Evidence(Pair("a", "b", name), "echo", sample("a", effect + SPREAD), sample("b", np.zeros(10)))
        for name, effect in zip(level, effects, strict=False)
    ]


def verdict(compared, **changes):
    claim = Claim(**{"statement": "It is so.", "number": K, "pairs": (Pair("a", "b"),), "delta": 1.0, **changes})
    return claims.judge(claim, "K, steps", compared)


@pytest.mark.parametrize(
    ("effects", "expected"),
    [
        ([2.0], "supported"),
        ([0.0], "refuted"),
        ([-3.0], "refuted"),
        ([1.1], "undecided"),
        ([2.0, 3.0], "supported"),
        ([2.0, 0.0], "depends on the drawing"),
        ([2.0, 1.1], "undecided"),
        ([0.0, 1.1], "undecided"),
    ],
)
def test_verdicts_on_planted_effects(effects, expected):
    found = verdict(planted(*effects), depends_on="the drawing")
    assert found.verdict == expected
    assert found.answer == f"It is so. {expected.capitalize()}."


def test_verdicts_that_differ_between_tasks_alone_depend_on_the_task():
    echo, adding = planted(2.0), [one._replace(task="adding") for one in planted(0.0)]
    assert verdict([*echo, *adding], depends_on="the drawing").verdict == "depends on the task"


def test_the_line_says_all_that_the_verdict_rests_on():
    (line,) = verdict(planted(2.0), analogue=True).sentences()
    # The 2nd and the 9th of ten differences; ten of ten beyond δ: 2/2^10.
    effect = "difference in K, steps of a over b (echo, orthogonal) +2 [+1.69, +2.31]"
    assert line == f"supported: {effect}, δ 1, n 10, p 0.002, analogue"


@pytest.mark.parametrize(("effect", "how"), [(0.0, "equal"), (-3.0, "opposite"), (-1.1, "not larger")])
def test_a_refuted_claim_says_whether_equal_or_opposite(effect, how):
    assert verdict(planted(effect)).sentences()[0].startswith(f"refuted, {how}: ")


def test_five_seeds_decide_nothing_and_six_do():
    for seeds, expected in ((5, "undecided"), (6, "supported")):
        compared = [Evidence(Pair("a", "b"), "", sample("a", np.full(seeds, 9.0)), sample("b", np.zeros(seeds)))]
        assert verdict(compared).verdict == expected


def test_many_pairs_need_more_seeds():
    """Six of six give p = 2/2^6 = 0.031 alone, and 0.062 when Holm counts two."""
    pair = Evidence(Pair("a", "b"), "", sample("a", np.full(6, 9.0)), sample("b", np.zeros(6)))
    assert verdict([pair]).verdict == "supported"
    found = verdict([pair, pair])
    assert found.verdict == "undecided"
    assert found.comparisons[0].p_value == pytest.approx(4 / 2**6)


def test_ratios_of_values_beyond_those_measured():
    against = sample("b", [16.0] * 10, beyond=256)
    beyond = sample("a", [np.inf] * 10, beyond=256)
    found = verdict([Evidence(Pair("a", "b"), "", beyond, against)], effect="log2 ratio")
    assert (found.verdict, found.comparisons[0].theta) == ("supported", (4.0, 4.0, np.inf))
    both = verdict([Evidence(Pair("a", "b"), "", beyond, beyond)], effect="log2 ratio")
    assert both.verdict == "undecided"
    assert "unknown [-inf, +inf]" in both.sentences()[0]
    with pytest.raises(ValueError, match="claim: expected positive numbers of K"):
        verdict([Evidence(Pair("a", "b"), "", sample("a", [0.0] * 10), against)], effect="log2 ratio")


def test_ratios_of_values_below_those_measured():
    seen = Sample("a", np.arange(10), statistics.censored(np.full(10, 64.0), below=8))
    below = Sample("b", np.arange(10), statistics.censored(np.full(10, 5.0), below=8))
    found = verdict([Evidence(Pair("a", "b"), "", seen, below)], effect="log2 ratio")
    assert (found.verdict, found.comparisons[0].theta) == ("supported", (3.0, 3.0, np.inf))  # 64 over at most 8
    # Neither learns the shortest lag: that says nothing, least of all that they are alike.
    neither = verdict([Evidence(Pair("a", "b"), "", below, below._replace(label="c"))], effect="log2 ratio")
    assert (neither.verdict, neither.comparisons[0].theta[1:]) == ("undecided", (-np.inf, np.inf))


def test_cells_that_do_not_share_their_seeds_are_not_compared():
    apart = [Evidence(Pair("a", "b"), "", sample("a", SPREAD), sample("b", SPREAD, seeds=np.arange(10) + 1))]
    with pytest.raises(ValueError, match=r"claim: expected the same seeds for a and b, got \[0, 1, .* and \[1, 2,"):
        verdict(apart)


def test_nothing_compared_is_no_verdict_and_delta_is_a_number():
    assert verdict([]) is None
    for wrong in ({"delta": -1.0}, {"delta": np.nan}, {"pairs": ()}):
        with pytest.raises(ValueError, match="delta: expected"):
            verdict([], **wrong)
    for wrong in ({"effect": "value"}, {"pairs": (Pair("a"),)}):
        with pytest.raises(ValueError, match="pairs: expected two cells each, or one each for a value"):
            verdict([], **wrong)


def test_a_value_of_one_cell_against_delta():
    compared = [
        Evidence(Pair("a", level=level), "", sample("a", value + SPREAD)) for level, value in (("x", 2.0), ("y", 0.0))
    ]
    found = verdict(compared, effect="value", pairs=(Pair("a"),), depends_on="the drawing")
    assert found.verdict == "depends on the drawing"
    assert found.sentences() == [
        "supported: K, steps of a (x) +2 [+1.69, +2.31], δ 1, n 10, p 0.0039",
        "refuted: K, steps of a (y) +0 [-0.311, +0.311], δ 1, n 10, p 0.0039",
    ]


def test_a_claim_may_have_a_rule_of_its_own():
    effects = planted(2.0, 0.0)
    assert verdict(effects, rule=lambda found: found[0].verdict).verdict == "supported"
    assert verdict(effects, rule=lambda found: found[1].verdict).verdict == "refuted"


def test_what_a_paper_reports_is_saved_with_the_verdict():
    published = Published("Known (1999)", "Twice as soon.", "A larger one there.")
    compared = [Evidence(Pair("a", "b"), "", sample("a", 9.0 + SPREAD), sample("b", SPREAD))]
    assert verdict(compared, published=published).saved()["published"] == published._asdict()
    assert "published" not in verdict(compared).saved()
