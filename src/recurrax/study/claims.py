"""A claim about cells, and the verdict that paired seeds give on it.

θ is the effect on paired seeds, δ the smallest effect that counts, fixed beforehand; the interval is exact, at 95 %.
A comparison is **supported** if the whole interval lies beyond +δ, **refuted** if it lies whole below +δ, else
**undecided**; where a claim compares m pairs, the sign test's p value against δ, adjusted by Holm over the m, has to be
at most 0.05 too. A claim is what its comparisons are; **depends on X** where some are supported and others refuted.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from recurrax.study import statistics
from recurrax.study.quantities import Number
from recurrax.study.statistics import Bounds, Interval

SUPPORTED, REFUTED, UNDECIDED = "supported", "refuted", "undecided"


@dataclass(frozen=True)
class Pair:
    """Cells to compare, as `study.named` writes them; a claim about a number's value has one cell and none against it.

    Fields: `of`; `against`; `level` of X that they stand for; `task`, where not all tasks are meant; `number`, where it
    is another than the claim's; `against_task`, where `against` is measured on another task than `of`.
    """

    of: str
    against: str | None = None
    level: str = ""
    task: str | None = None
    number: Number | None = None
    against_task: str | None = None


class Published(NamedTuple):
    """What a paper reports of the effect: which paper, its finding, and how its setting differs from the one here."""

    paper: str
    finding: str
    setting: str


@dataclass(frozen=True)
class Claim:
    """What is believed, as an effect that can turn out otherwise.

    Fields:
        statement: the belief, one sentence that holds where the effect is beyond `delta`.
        number: what is compared.
        pairs: which cells; a pair of which one was not measured takes no part.
        delta: δ, the smallest effect that counts, in the effect's unit.
        effect: "difference" of the number, or its "log2 ratio"; or its "value", of one cell.
        depends_on: X, what the pairs differ in.
        analogue: whether generated data stand for what the belief is about.
        rule: comparisons to a verdict, where that is not what all of them say.
        published: the paper whose finding it is, where it is one.
    """

    statement: str
    number: Number
    pairs: tuple[Pair, ...]
    delta: float
    effect: Literal["difference", "log2 ratio", "value"] = "difference"
    depends_on: str = "the pair"
    analogue: bool = False
    rule: "Callable[[Sequence[Comparison]], str] | None" = None
    published: Published | None = None

    def __post_init__(self):
        if not math.isfinite(self.delta) or self.delta < 0 or not self.pairs:
            raise ValueError(f"delta: expected a finite number of at least 0 and a pair to compare, got {self.delta}")
        if any((pair.against is None) != (self.effect == "value") for pair in self.pairs):
            raise ValueError(f"pairs: expected two cells each, or one each for a value, got {self.pairs}")


class Sample(NamedTuple):
    """What was measured of one cell on one task: its label, seeds (S,), and what is known of each network's number."""

    label: str
    seeds: np.ndarray
    bounds: Bounds


class Evidence(NamedTuple):
    """What a comparison rests on: a pair, the task, and what was measured of its cells."""

    pair: Pair
    task: str
    of: Sample
    against: Sample | None = None


class Comparison(NamedTuple):
    """A pair's effect θ with its interval, Holm's p value against δ, how many seeds, and what follows.

    `against` is empty where the effect is a value.
    """

    of: str
    against: str
    task: str
    level: str
    theta: Interval
    p_value: float
    seeds: int
    verdict: str


class Verdict(NamedTuple):
    """What became of a claim."""

    statement: str
    verdict: str
    effect: str
    delta: float
    analogue: bool
    comparisons: tuple[Comparison, ...]
    depends_on: str = ""
    published: Published | None = None

    def sentences(self) -> list[str]:
        """A line per comparison: its verdict, the cells, θ, interval, δ, n, and "analogue" where data are generated."""
        return [
            f"{one.verdict}{self._how(one)}: {self.effect} of {one.of}"
            + (f" over {one.against}" if one.against else "")
            + f"{_on(one)} {_theta(one.theta)}, δ {self.delta:g}, n {one.seeds}, p {one.p_value:.2g}"
            + (", analogue" if self.analogue else "")
            for one in self.comparisons
        ]

    @property
    def answer(self) -> str:
        """The statement and its verdict."""
        return f"{self.statement} {self.verdict.capitalize()}."

    def saved(self) -> Mapping[str, Any]:
        """What summary.json holds of it."""
        comparisons = [{**one._asdict(), "theta": one.theta._asdict()} for one in self.comparisons]
        published = {"published": self.published._asdict()} if self.published else {}
        parts = {name: part for name, part in self._asdict().items() if name != "published"}
        return {**parts, **published, "comparisons": comparisons, "sentences": self.sentences()}

    def _how(self, one: Comparison) -> str:
        """Of a refuted comparison, whether the cells are alike or the effect runs the other way."""
        if one.verdict != REFUTED or not one.against:
            return ""
        if one.theta.high < -self.delta:
            return ", opposite"
        return ", equal" if one.theta.low > -self.delta else ", not larger"


def judge(claim: Claim, heading: str, compared: Sequence[Evidence]) -> Verdict | None:
    """The verdict on a claim.

    Args:
        claim: with its δ.
        heading: of its number, with the unit.
        compared: what was measured.

    Returns:
        None if nothing was compared.

    Raises:
        ValueError: the two cells of a pair do not share their seeds, or a ratio is of numbers that are not positive.
    """
    if not compared:
        return None
    effects = [_effect(claim, pair.of, pair.against) for pair in compared]
    p_values = statistics.holm(np.array([statistics.sign_test(effect, claim.delta) for effect in effects])).tolist()
    found = []
    for (pair, task, of, against), effect, p_value in zip(compared, effects, p_values, strict=True):
        theta = statistics.paired_median(effect)
        verdict = verdict_of(theta, claim.delta, p_value)
        other = against.label if against else ""
        found.append(Comparison(of.label, other, task, pair.level, theta, p_value, len(of.seeds), verdict))
    verdict = claim.rule(found) if claim.rule else together(claim.depends_on, found)
    effect = heading if claim.effect == "value" else f"{claim.effect} in {heading}"
    return Verdict(
        claim.statement, verdict, effect, claim.delta, claim.analogue, tuple(found), claim.depends_on, claim.published
    )


def _effect(claim: Claim, of: Sample, against: Sample | None) -> Bounds:
    if against is None:
        return of.bounds
    if not np.array_equal(of.seeds, against.seeds):
        raise ValueError(
            f"claim: expected the same seeds for {of.label} and {against.label}, "
            f"got {of.seeds.tolist()} and {against.seeds.tolist()}"
        )
    bounds = [of.bounds, against.bounds]
    if claim.effect == "log2 ratio":
        if min(float(end.min()) for bound in bounds for end in bound) < 0 or any(0 in bound.high for bound in bounds):
            raise ValueError(f"claim: expected positive numbers of {claim.number.name}, of which to take a ratio")
        with np.errstate(divide="ignore"):  # a number of which only the most is known may be as small as 0
            bounds = [Bounds(*(np.log2(end) for end in bound)) for bound in bounds]
    return statistics.differences(*bounds)


def verdict_of(theta: Interval, delta: float, p_value: float) -> str:
    """What an effect's interval and its adjusted p value come to."""
    if p_value <= 1 - statistics.CONFIDENCE:
        if theta.low > delta:
            return SUPPORTED
        if theta.high < delta:
            return REFUTED
    return UNDECIDED


def together(depends_on: str, found: Sequence[Comparison]) -> str:
    """What the comparisons come to. Those that differ within a task differ by X, others by the task."""
    verdicts = {one.verdict for one in found}
    if {SUPPORTED, REFUTED} <= verdicts:
        by_task = [{one.verdict for one in found if one.task == task} for task in {one.task for one in found}]
        within = any({SUPPORTED, REFUTED} <= of_task for of_task in by_task)
        return f"depends on {depends_on if within else 'the task'}"
    return verdicts.pop() if len(verdicts) == 1 else UNDECIDED


def _on(one: Comparison) -> str:
    places = [place for place in (one.task, one.level) if place]
    return f" ({', '.join(places)})" if places else ""


def _theta(theta: Interval) -> str:
    estimate, low, high = ("unknown" if math.isnan(end) else f"{end:+.3g}" for end in theta)
    return f"{estimate} [{low}, {high}]"
