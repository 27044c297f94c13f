"""A claim about how two numbers go together over many cells, and the verdict of a bootstrap over the cells.

θ is Spearman's rank correlation of the cells' medians, or a sum and difference of several such; the interval is a
percentile bootstrap over cells, in which all correlations of a contrast see the same cells. Verdicts and Holm's
adjustment are those of `study.claims`, with the bootstrap's p value in place of the sign test's.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from recurrax.study import claims, statistics
from recurrax.study.quantities import Number
from recurrax.study.statistics import Interval

_RESAMPLES = 2000


@dataclass(frozen=True)
class Term:
    """The rank correlation of a predictor with an outcome over cells, on one task; `sign` ±1 in a contrast."""

    predictor: Number
    outcome: Number
    task: str
    sign: int = 1


@dataclass(frozen=True)
class Contrast:
    """θ = Σ sign · ρ over terms. With `within_class`, cells are compared with those of the same step only.

    `what` says θ in words; `level` names the X that it stands for.
    """

    what: str
    terms: tuple[Term, ...]
    level: str = ""
    within_class: bool = False


@dataclass(frozen=True)
class Association:
    """What is believed about cells taken together.

    Fields: `statement`, one sentence that holds where θ is beyond `delta`; `contrasts`, of which one with a task that
    was not measured takes no part; `delta`, δ; `depends_on`, X; `analogue` as of `study.Claim`.
    """

    statement: str
    contrasts: tuple[Contrast, ...]
    delta: float
    depends_on: str = "the task"
    analogue: bool = False

    def __post_init__(self):
        if not math.isfinite(self.delta) or self.delta < 0 or not self.contrasts:
            raise ValueError(f"delta: expected a finite number of at least 0 and a contrast, got {self.delta}")


Column = Callable[[Number, str], np.ndarray | None]
"""(number, task) to its median for every cell (N,), None where it was not measured of all."""


def judge(claim: Association, column: Column, classes: Sequence[str]) -> claims.Verdict | None:
    """The verdict on an association, None where fewer than four cells or none of its tasks were measured.

    Args:
        claim: with its δ.
        column: the numbers.
        classes: (N,) which step each cell computes; cells of one class differ only in what they are drawn from.
    """
    found, p_values = [], []
    for contrast in claim.contrasts:
        columns = [(column(term.predictor, term.task), column(term.outcome, term.task)) for term in contrast.terms]
        pairs = [(x, y) for x, y in columns if x is not None and y is not None]
        if len(classes) < 4 or len(pairs) < len(columns):
            continue
        signs = [term.sign for term in contrast.terms]
        theta, p_value = bootstrap(pairs, signs, claim.delta, classes if contrast.within_class else None)
        found.append(
            claims.Comparison(contrast.what, "", "", contrast.level, theta, p_value, len(classes), claims.UNDECIDED)
        )
        p_values.append(p_value)
    if not found:
        return None
    adjusted = statistics.holm(np.array(p_values)).tolist()
    found = [
        one._replace(p_value=p_value, verdict=claims.verdict_of(one.theta, claim.delta, p_value))
        for one, p_value in zip(found, adjusted, strict=True)
    ]
    verdict = claims.together(claim.depends_on, found)
    return claims.Verdict(
        claim.statement, verdict, "rank correlation", claim.delta, claim.analogue, tuple(found), claim.depends_on
    )


def bootstrap(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
    signs: Sequence[int],
    delta: float,
    classes: Sequence[str] | None = None,
) -> tuple[Interval, float]:
    """θ = Σ sign · ρ(x, y) with its interval, and the two-sided p value of θ = δ, never below 1 / resamples.

    >>> x = np.arange(12.0)
    >>> bootstrap([(x, x**3), (x, -x)], signs=[1, -1], delta=0.5)
    (Interval(estimate=2.0, low=2.0, high=2.0), 0.0005)
    """
    size = len(pairs[0][0])

    def theta(places: np.ndarray) -> np.ndarray:
        groups = None if classes is None else np.unique(classes, return_inverse=True)[1][places]
        terms = [statistics.rank_correlation(x[places], y[places], groups) for x, y in pairs]
        return np.sum([sign * term for sign, term in zip(signs, terms, strict=True)], axis=0)

    drawn = theta(np.random.default_rng(0).integers(0, size, (_RESAMPLES, size)))
    drawn = drawn[~np.isnan(drawn)]  # resamples in which one side is constant
    if not drawn.size:
        return Interval(math.nan, -math.inf, math.inf), 1.0
    low, high = np.quantile(drawn, [(1 - statistics.CONFIDENCE) / 2, (1 + statistics.CONFIDENCE) / 2])
    beside = min(float(np.mean(drawn <= delta)), float(np.mean(drawn >= delta)))
    p_value = min(1.0, max(2 * beside, 1 / _RESAMPLES))
    return Interval(float(theta(np.arange(size))), float(low), float(high)), p_value
