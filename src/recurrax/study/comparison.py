"""What `recurrax compare` asks: any cells, any tasks, one instrument, before and after training."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import jax
import numpy as np

from recurrax import lag, train
from recurrax.study import networks, standard
from recurrax.study.experiment import Arrays, Experiment, Part, Run
from recurrax.study.networks import Probe
from recurrax.study.quantities import Curve, Curves, Number, Numbers, power, signed
from recurrax.study.settings import LagSettings, TrainingSettings

Instruments = Literal["adjoint", "parameter", "carousel", "jacobian", "lyapunov"]


@dataclass(frozen=True)
class ComparisonSettings(LagSettings, TrainingSettings):
    """How do these cells compare on these tasks?"""

    cells: tuple[str, ...] = ("elman", "gru", "lstm")
    instrument: Instruments = "adjoint"
    """What is measured of them."""
    seeds: int = 6
    rows: int = 16
    """Sequences per network and measurement."""

    LEAST: ClassVar = {"lags": 20, "rows": 1}


@dataclass(frozen=True)
class Instrument:
    """An instrument as a comparison uses it.

    Fields: `measure`, a network and its inputs to one curve (K,), the median over sequences; `numbers`, the columns
    made of an array of such curves; `labels` of the axes; `x`, (settings, K) to positions; `logs`, whether curves are
    natural logs of norms.
    """

    measure: Callable[[Any, Any, Probe, ComparisonSettings], np.ndarray]
    numbers: Callable[[str], tuple[Number, ...]]
    labels: tuple[str, str]
    x: Callable[[Any, int], np.ndarray] = lambda settings, size: np.arange(size)
    logs: bool = True


def _relative(log_norm: jax.Array, settings: ComparisonSettings) -> np.ndarray:
    return networks.median_curves(np.asarray(log_norm)[None], settings.lags)[0]


def _jacobian(cell: Any, params: Any, at: Probe, settings: ComparisonSettings) -> np.ndarray:
    lags = [int(k) for k in _jacobian_lags(settings, 21)]
    profile = lag.jacobian_profile(cell, params, at.xs, lags=lags)
    return np.median(np.asarray(profile.log_frobenius_norm), axis=1)


def _jacobian_lags(settings: ComparisonSettings, size: int) -> np.ndarray:
    return np.linspace(0, settings.lags, size).astype(int)


def _lyapunov(cell: Any, params: Any, at: Probe, settings: ComparisonSettings) -> np.ndarray:
    return np.asarray(lag.lyapunov_spectrum(cell, params, jax.tree.map(lambda leaf: leaf[:, 0], at.xs)).exponents)


def _share(cell: Any, params: Any, at: Probe, settings: ComparisonSettings) -> np.ndarray:
    return np.median(np.asarray(lag.carousel_share(cell, params, at.xs, at.unit).log_share), axis=1)


def _last(name: str, show: Callable[[float], str], place: int) -> Callable[[str], tuple[Number, ...]]:
    return lambda of: (Number(name, of, lambda curves, settings, task: curves[:, place], show=show),)


INSTRUMENTS: dict[str, Instrument] = {
    "adjoint": Instrument(
        lambda cell, params, at, settings: _relative(networks.log_norms(cell, params, at), settings),
        standard.decay,
        ("time lag k (steps)", standard.NORM),
    ),
    "parameter": Instrument(
        lambda cell, params, at, settings: _relative(
            lag.parameter_profile(cell, params, at.xs, at.unit).log_norm_joint, settings
        ),
        standard.decay,
        ("time lag k (steps)", "‖G(k)‖ / ‖G(0)‖"),
    ),
    "carousel": Instrument(
        _share,
        lambda of: (
            Number(
                "share at lag {s.reference_lag}", of, lambda curves, s, task: curves[:, s.reference_lag], show=power
            ),
        ),
        ("time lag k (steps)", "share of the direct path"),
    ),
    "jacobian": Instrument(
        _jacobian,
        _last("norm at the last lag", power, -1),
        ("time lag k (steps)", "‖∂s(T-1)/∂s(T-1-k)‖"),
        _jacobian_lags,
    ),
    "lyapunov": Instrument(
        _lyapunov,
        _last("λ₁", signed, 0),
        standard.EXPONENTS,
        standard.ranks,
        logs=False,
    ),
}
"""Every instrument by the name that the command gives it."""


def comparison(name: Instruments) -> Experiment:
    """The experiment that compares cells by an instrument.

    >>> [part.title for part in comparison("adjoint").parts]
    ['drawn', 'trained']
    """
    instrument = INSTRUMENTS[name]

    def curve(cell: Any, task: Any, params: Any, seed: int, settings: ComparisonSettings) -> np.ndarray:
        at = networks.probe(cell, task.with_lag(settings.lags), train.probe_key(seed), settings.rows)
        return instrument.measure(cell, params, at, settings)[: settings.lags + 1]

    def drawn(settings: ComparisonSettings, cell: Any, task: Any, run: Run) -> Arrays:
        curves = []
        for seed in range(settings.seeds):
            run.check()
            curves.append(curve(cell, task, networks.drawn(cell, task, seed), seed, settings))
        return {"drawn": np.stack(curves), "seed": range(settings.seeds)}

    def trained(settings: ComparisonSettings, cell: Any, task: Any, run: Run) -> Arrays:
        seeds = range(settings.seeds)
        fitted = run.fit(networks.training(cell, task, settings, seeds))
        each = [jax.tree.map(lambda leaf, seed=seed: leaf[seed], fitted.state.params.cell) for seed in seeds]
        curves = [curve(cell, task, params, seed, settings) for seed, params in zip(seeds, each, strict=True)]
        return {"trained": np.stack(curves), "loss": fitted.metrics.loss.T, "seed": seeds}

    def panel(of: str) -> Curve:
        scale: Any = "exp" if instrument.logs else "linear"
        return Curve(f"{{name}}, {of}", of, instrument.x, *instrument.labels, y_scale=scale)

    return Experiment(
        "compare",
        ComparisonSettings,
        (Part(drawn, "drawn"), Part(trained, "trained", when=lambda settings: settings.steps > 0)),
        numbers=(
            Numbers("At initialisation, {s.hidden_size} units", instrument.numbers("drawn")),
            Numbers("After {s.steps} Adam steps", instrument.numbers("trained")),
            standard.LEARNED,
        ),
        curves=(
            Curves(name, f"Cells compared: {name}", (panel("drawn"), panel("trained"))),
            standard.LOSS,
        ),
        protocol=(
            "Each network is measured on {s.rows} sequences of inputs, the same for every cell.",
            standard.TRAINING,
        ),
        smoke={"seeds": 2, "hidden_size": 8, "train_length": 8, "batch_size": 2, "lags": 20, "rows": 2, "steps": 2},
    )
