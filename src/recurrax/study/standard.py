"""Numbers and panels that many questions have in common: how gradients fade with lag, and what training learned.

Of gradients they read curves (S, T) of ln A(k) - ln A(0), and the settings' `lags`; of training, losses (S, steps), and
the settings' `steps`.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from recurrax import lag
from recurrax.report import Level
from recurrax.study import networks, statistics
from recurrax.study.quantities import Curve, Curves, Number, Numbers, Value, half_life, power, signed, steps

EPSILON = 1e-6
"""A gradient is said to have vanished below this fraction of its norm at lag 0."""
NORM = "gradient norm, relative to lag 0"
WINDOW = 20
"""Training steps whose mean counts as the loss: one lucky batch does not."""
_BLOCK = 5
"""Training steps averaged into one point of a figure, where there are enough of them."""
ADJOINT = (
    "A(k) is the Euclidean norm of ∂L/∂s at k steps before the last, s being all that is carried, and L = ⟨g, y_T⟩ "
    "with a random unit vector g for each sequence. It is carried as a direction and a logarithm, in float32, so that "
    "it does not underflow."
)
"""What A(k) is, for a protocol."""
TRAINING = (
    "Training: batches of {s.batch_size}, Adam at {s.learning_rate:g}, clipping at a global norm of {s.max_norm:g}, a "
    "fresh batch at every step, the same for every cell."
)
"""How networks are trained, for a protocol."""

EXPONENTS = ("rank of the exponent / size of the carry", "exponent (nats per step)")
"""Labels of the axes of a spectrum."""

Pick = Callable[[np.ndarray], np.ndarray]
"""The curves (S, T) in a measured array."""


def vanish_lag(
    of: str, name: str = "K", pick: Pick = np.asarray, epsilon: float = EPSILON, beyond: str = "lags"
) -> Number:
    """The first lag at which the gradient has vanished."""

    def value(array: np.ndarray, settings: Any, task: Any) -> list[float]:
        return [lag.vanish_lag(curve, epsilon) for curve in pick(array)]

    means = f"first lag at which the norm is below {epsilon:g} of that at lag 0"
    return Number(name, of, value, "steps", means, show=steps, beyond=beyond)


def forgotten(of: str, name: str, at: float, beyond: str) -> Number:
    """The first of `networks.memory_lags` at which R² is below a level, from curves (S, K) of R²."""

    def value(curves: np.ndarray, settings: Any, task: Any) -> list[float]:
        lags = networks.memory_lags(getattr(settings, beyond))
        return [float(lags[np.argmax(curve < at)]) if (curve < at).any() else math.inf for curve in curves]

    return Number(name, of, value, "steps", f"first lag with R² below {at:g}", show=steps, beyond=beyond)


def level(of: str, pick: Pick = np.asarray) -> Number:
    """The norm at `settings.reference_lag`."""

    def value(array: np.ndarray, settings: Any, task: Any) -> np.ndarray:
        return pick(array)[:, settings.reference_lag]

    return Number("A({s.reference_lag})", of, value, means="norm at that lag relative to lag 0", show=power)


def rate(of: str, name: str = "rate", pick: Pick = np.asarray) -> Number:
    """The slope of ln A(k) in `settings.window`."""

    def value(array: np.ndarray, settings: Any, task: Any) -> np.ndarray:
        return slopes(pick(array), settings.window)

    means = "slope of ln A(k) at lags {s.window[0]}–{s.window[1]}"
    return Number(name, of, value, "nats/step", means, "interquartile mean", signed)


def fading(of: str, pick: Pick = np.asarray) -> Number:
    """The rate with its sign turned: positive where gradients vanish."""

    def value(array: np.ndarray, settings: Any, task: Any) -> np.ndarray:
        return -slopes(pick(array), settings.window)

    return Number("rate of fading", of, value, "nats/step")


def halving(of: str, pick: Pick = np.asarray) -> Number:
    """The half-life that a rate comes to."""
    return Number(
        "half-life", of, rate(of, pick=pick).value, "steps", "ln 2 over the rate", "interquartile mean", half_life
    )


def decay(of: str, pick: Pick = np.asarray) -> tuple[Number, ...]:
    """All of these of one array of curves."""
    return vanish_lag(of, pick=pick), level(of, pick), rate(of, pick=pick), halving(of, pick)


def decay_before_and_after(of: str) -> tuple[Number, ...]:
    """Where the gradient vanishes and its rate, at the first and at the last probe of curves (S, P, T)."""
    ends: dict[str, Pick] = {"before": lambda array: array[:, 0], "after": lambda array: array[:, -1]}
    lags = [vanish_lag(of, f"K {when}", pick) for when, pick in ends.items()]
    return (*lags, *(rate(of, f"rate {when}", pick) for when, pick in ends.items()))


def slopes(curves: np.ndarray, window: tuple[int, int]) -> np.ndarray:
    """The slope of each curve of (..., T) in a window of lags, nats per step."""
    flat = curves.reshape(-1, curves.shape[-1])
    return np.array([lag.fit_decay(curve, window).rate for curve in flat]).reshape(curves.shape[:-1])


def norms(title: str, of: str, value: Value = lambda array, settings, task: array, **options: Any) -> Curve:
    """The gradient's norm against lag, from the curves (S, T) that `value` gives."""
    limits = (math.log(1e-12), math.log(1e2))
    axes = {"x": lambda settings, size: np.arange(size), "x_label": "time lag k (steps)", "y_label": NORM}
    return panel(title, of, value=value, y_limits=limits, **axes, **options)


def panel(title: str, of: str, **options: Any) -> Curve:
    """A panel of norms given by their natural logs, the level below which a gradient has vanished drawn across."""
    return Curve(title, of, levels=lambda settings, task: [Level(math.log(EPSILON), "10⁻⁶")], y_scale="exp", **options)


def ranks(settings: Any, size: int) -> np.ndarray:
    """Where the exponents of a spectrum stand: carries of different sizes share an axis."""
    return (np.arange(size) + 0.5) / size


def rates(of: str) -> Curve:
    """The slope of ln A(k) in `settings.window` against the training steps `settings.probe_steps`."""
    return Curve(
        title="{name}",
        of=of,
        x=lambda settings, size: np.array(settings.probe_steps),
        x_label="training step",
        y_label="slope of ln A(k) (nats per step)",
        value=lambda array, settings, task: slopes(array, settings.window),
        levels=lambda settings, task: [Level(0.0, "norm kept")],
        x_scale="log",
        markers=True,
    )


def learned(of: str = "loss") -> tuple[Number, ...]:
    """What was learned: the loss at the end, how many got below the task's smallest landmark, and when."""

    def last(losses: np.ndarray, settings: Any, task: Any) -> np.ndarray:
        ends = losses[:, -WINDOW:].mean(axis=1)
        return np.where(np.isfinite(ends), ends, np.inf)

    def reached(losses: np.ndarray, settings: Any, task: Any) -> np.ndarray:
        return last(losses, settings, task) <= threshold(task)

    def time(losses: np.ndarray, settings: Any, task: Any) -> np.ndarray:
        found = statistics.time_to_threshold(losses.T, threshold(task), min(WINDOW, losses.shape[1]))
        return np.where(found.reached, found.steps, np.inf)

    return (
        Number("loss", of, last, "", f"mean over the last {WINDOW} steps", "interquartile mean", "{:.3f}".format),
        Number(
            "reached", of, reached, "", "whether that is at most the smallest landmark", "fraction", "{:.2f}".format
        ),
        Number("steps to it", of, time, "", f"until a mean over {WINDOW} is that low", "time", steps, "steps"),
    )


def threshold(task: Any) -> float:
    """The loss of the best predictor that is known exactly; nothing is as low where none is."""
    return min(task.landmarks.values(), default=-math.inf)


def losses(of: str = "loss") -> Curve:
    """The loss against training step, beside the task's landmarks."""

    def block(count: int) -> int:
        return _BLOCK if count >= 10 * _BLOCK else 1

    def middles(settings: Any, size: int) -> np.ndarray:
        width = block(settings.steps)
        return width * np.arange(size) + width / 2

    def means(array: np.ndarray, settings: Any, task: Any) -> np.ndarray:
        width = block(array.shape[1])
        whole = array[:, : array.shape[1] // width * width]
        return whole.reshape(len(array), -1, width).mean(axis=2)

    def landmarks(settings: Any, task: Any) -> Sequence[Level]:
        return [Level(loss, f"{loss:.3g}: {known}") for known, loss in task.landmarks.items()]

    return Curve("{name}", of, middles, "training step", "loss ({task.unit})", means, landmarks)


LEARNED = Numbers("What was learned in {s.steps} Adam steps", learned())
"""A table of what was learned."""
LOSS = Curves(
    "loss",
    "Loss against training step",
    (losses(),),
    "Dashed: the exact loss of a predictor that knows no more than stated.",
)
"""A figure of losses."""
