"""Which law a decay follows: exponential, power, stretched exponential or a mixture of two exponentials."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from recurrax.lag.decay import check_window, samples_of
from recurrax.lag.notebook import html, without_curve


class DecayModel(NamedTuple):
    """One law fitted to the mean curve.

    parameters: by name, as the law's equation has them.
    bic: K ln(RSS/K) + p ln K over the K lags of the window.
    held_out: mean squared error in nats² of curves the fit has not seen, each sample held out once; NaN with one.
    """

    parameters: dict[str, float]
    bic: float
    held_out: float


class DecayChoice(NamedTuple):
    """The law chosen, by what, among which, for which lags and from how many samples.

    standard_error: of the chosen law's parameters, by bootstrap over samples; NaN with one sample.
    curve: T numbers, the mean of ln A(k) over the samples, which the laws were fitted to.
    """

    family: str
    standard_error: dict[str, float]
    criterion: str
    models: dict[str, DecayModel]
    window: tuple[int, int]
    samples: int
    curve: tuple[float, ...]
    __repr__ = without_curve
    _repr_html_ = html


class _Family(NamedTuple):
    """ln A(k) = law(k, parameters), and where to start looking for the parameters given ln A."""

    names: tuple[str, ...]
    law: Callable[[np.ndarray, np.ndarray], np.ndarray]
    guess: Callable[[np.ndarray, np.ndarray], np.ndarray]


def _slope(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    centred = x - x.mean()
    slope = float(centred @ y / (centred @ centred))
    return float(y.mean()) - slope * float(x.mean()), slope


def _two_rates(k: np.ndarray, y: np.ndarray) -> np.ndarray:
    third = max(len(k) // 3, 2)
    intercept, slow = _slope(k[-third:], y[-third:])
    return np.array([intercept, -slow, 0.0, -min(_slope(k[:third], y[:third])[1], slow) + 0.1])


FAMILIES = {
    "exponential": _Family(("intercept", "rate"), lambda k, p: p[0] + p[1] * k, lambda k, y: np.array(_slope(k, y))),
    "power": _Family(
        ("intercept", "exponent"), lambda k, p: p[0] + p[1] * np.log(k), lambda k, y: np.array(_slope(np.log(k), y))
    ),
    "stretched": _Family(
        ("intercept", "log_scale", "stretch"),
        lambda k, p: p[0] - np.exp(np.clip(p[2] * (np.log(np.maximum(k, 1e-9)) - p[1]), -700, 60)),
        lambda k, y: np.array([_slope(k, y)[0], -math.log(max(-_slope(k, y)[1], 1e-6)), 1.0]),
    ),
    "mixture": _Family(
        ("intercept", "slow_rate", "log_weight", "fast_rate"),
        lambda k, p: p[0] + np.logaddexp(-p[1] * k, p[2] - p[3] * k),
        _two_rates,
    ),
}
"""exponential: a + r k.  power: a + p ln k.  stretched: a - (k/τ)^β, log_scale ln τ, stretch β.
mixture: a + ln(e^{-r₁k} + e^{b-r₂k})."""


def choose_decay(
    log_norm: Any, window: tuple[int, int], *, families: Sequence[str] = tuple(FAMILIES), resamples: int = 100
) -> DecayChoice:
    """Fits laws of decay to the mean over samples of ln A(k) and chooses the simplest that is not worse than the best.

    With four samples or more the criterion is held-out error, one sample at a time: of the laws within one standard
    error of the best, the one with the fewest parameters. With fewer it is BIC, which takes lags for independent and is
    therefore too sure. A power law needs a decade of lag, k_max >= 10 k_min; under that it is not a candidate. A
    mixture of exponentials imitates a power law up to its longest time scale, so read the choice with its window.

    Args:
        log_norm: a profile, or (T, *batch) natural logs; the first batch axis holds the samples (sequences or
            seeds), further ones are averaged over.
        window: (k_min, k_max), both included.
        families: the candidates, of "exponential", "power", "stretched" and "mixture".
        resamples: how many bootstrap samples of the samples give the standard errors.

    Raises:
        ValueError: an unknown family, "power" alone under a decade of lag, a window with fewer lags than a law has
            parameters, or a norm inside it that is zero or not finite.

    References: Schwarz (1978) for BIC; Clauset, Shalizi & Newman (2009) on power laws that are not.

    >>> k = np.arange(200.0)[:, None]
    >>> choose_decay(-1.5 * np.log(k + 1e-9) + np.array([0.0, 0.1, -0.1, 0.2]), window=(3, 150)).family
    'power'
    """
    curves = samples_of(log_norm)
    k_min, k_max = check_window(window, curves.shape[0])
    unknown = [name for name in families if name not in FAMILIES]
    if unknown or not families:
        raise ValueError(f"families: expected names of {', '.join(FAMILIES)}, got {list(families)}")
    names = [name for name in families if name != "power" or (k_min >= 1 and k_max >= 10 * k_min)]
    if not names:
        raise ValueError(f"window: a power law needs a decade of lag, k_max >= 10 k_min >= 10, got {(k_min, k_max)}")
    lag, inside = np.arange(k_min, k_max + 1, dtype=np.float64), curves[k_min : k_max + 1]
    if not np.isfinite(inside).all():
        raise ValueError(f"log_norm: expected finite values at lags {k_min}..{k_max}, got zeros, inf or NaN")
    if len(lag) <= max(len(FAMILIES[name].names) for name in names):
        raise ValueError(f"window: expected more lags than the laws have parameters, got {len(lag)}")
    found = {name: _fit(FAMILIES[name], lag, inside.mean(axis=1)) for name in names}
    errors = {name: _held_out_errors(FAMILIES[name], lag, inside, found[name]) for name in names}
    models = {name: _model(FAMILIES[name], lag, inside, found[name], errors[name]) for name in names}
    chosen, criterion = _choose(models, errors)
    error = _bootstrap(FAMILIES[chosen], lag, inside, found[chosen], resamples)
    curve = tuple(curves.mean(axis=1).tolist())
    return DecayChoice(chosen, error, criterion, models, (k_min, k_max), inside.shape[1], curve)


def _choose(models: dict[str, DecayModel], errors: dict[str, np.ndarray]) -> tuple[str, str]:
    """The family and the criterion it was chosen by."""
    simplest = sorted(models, key=lambda name: len(models[name].parameters))
    samples = errors[simplest[0]].size
    if samples < 4:
        return min(simplest, key=lambda name: models[name].bic), "BIC"
    best = min(simplest, key=lambda name: models[name].held_out)
    for name in simplest:
        excess = errors[name] - errors[best]
        if excess.mean() <= excess.std(ddof=1) / math.sqrt(samples):
            return name, "held-out samples"
    return best, "held-out samples"


def _fit(family: _Family, lag: np.ndarray, curve: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
    from scipy.optimize import least_squares  # here, so that importing the library does not load it

    start = family.guess(lag, curve) if start is None else start
    # A law of the wrong family may have no best parameters; a hundred evaluations then say enough.
    scale = np.abs(start) + 0.1
    found = least_squares(lambda p: family.law(lag, p) - curve, start, x_scale=scale, max_nfev=100).x
    if len(found) == 4 and found[1] > found[3]:  # the slow rate first
        found = np.array([found[0] + found[2], found[3], -found[2], found[1]])
    return found


def _held_out_errors(family: _Family, lag: np.ndarray, curves: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Mean squared error on each sample of the law fitted to the mean of the others, (samples,)."""
    samples = curves.shape[1]
    if samples == 1:
        return np.array([math.nan])
    total = curves.sum(axis=1)
    errors = []
    for left_out in curves.T:
        law = family.law(lag, _fit(family, lag, (total - left_out) / (samples - 1), start))
        errors.append(np.mean((left_out - law) ** 2))
    return np.array(errors)


def _model(family: _Family, lag: np.ndarray, curves: np.ndarray, found: np.ndarray, errors: np.ndarray) -> DecayModel:
    rss = float(np.sum((family.law(lag, found) - curves.mean(axis=1)) ** 2))
    # Under the square of float32's rounding a better fit means nothing.
    bic = len(lag) * math.log(max(rss / len(lag), 1e-14)) + len(found) * math.log(len(lag))
    return DecayModel(_named(family, found), bic, float(errors.mean()))


def _bootstrap(
    family: _Family, lag: np.ndarray, curves: np.ndarray, found: np.ndarray, resamples: int
) -> dict[str, float]:
    samples = curves.shape[1]
    if samples == 1:
        return _named(family, np.full(len(found), math.nan))
    draws = np.random.default_rng(0).integers(samples, size=(resamples, samples))
    fits = [_fit(family, lag, curves[:, draw].mean(axis=1), found) for draw in draws]
    return _named(family, np.std(fits, axis=0, ddof=1))


def _named(family: _Family, values: np.ndarray) -> dict[str, float]:
    return dict(zip(family.names, map(float, values), strict=True))
