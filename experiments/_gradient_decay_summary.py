"""From the saved arrays of gradient_decay to what its report says and draws; nothing here measures anything.

Array names: `initial.<inputs>.<cell>` (S, T) and `during.<inputs>.<cell>` (P, S, T), ln A(k) - ln A(0), the median over
sequences; `loss.<inputs>.<cell>` (S, steps). Derived for the figures: `after`, `rate`, `loss_mean` and the x axes.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import _gradient_decay_words as words
import _profiles as profiles
import numpy as np

from recurrax import lag
from recurrax.report import Figure, Level, Line, Panel, Report, Table

if TYPE_CHECKING:
    from gradient_decay import Config

Arrays = Mapping[str, np.ndarray]

_LOSS_BLOCK = 5
"""Training steps averaged into one point of the loss figure, where there are enough of them."""
_LAST = 20
"""Training steps whose mean is called the loss at the end."""


def with_derived(config: "Config", measured: Arrays) -> dict[str, np.ndarray]:
    """The arrays measured and those that figures draw."""
    arrays = {**measured, "lag": np.arange(config.lags + 1)}
    if not config.steps:
        return arrays
    block = _LOSS_BLOCK if config.steps >= 10 * _LOSS_BLOCK else 1
    blocks = config.steps // block
    arrays["probe_step"] = np.array(config.probe_steps)
    arrays["loss_step"] = block * np.arange(blocks) + block / 2
    for key, values in measured.items():
        kind, _, name = key.partition(".")
        if kind == "during":
            arrays[f"after.{name}"] = values[-1]
            arrays[f"rate.{name}"] = np.array([[_fit(config, curve).rate for curve in step] for step in values]).T
        if kind == "loss":
            arrays[f"loss_mean.{name}"] = values[:, : blocks * block].reshape(len(values), blocks, block).mean(axis=2)
    return arrays


def summarise(config: "Config", arrays: Arrays) -> tuple[dict[str, Any], Report]:
    """Every number the report prints, by inputs, cell and phase, and the report itself."""
    numbers = {
        name: {arm.name: _numbers(config, arrays, f"{name}.{arm.name}") for arm in words.compared(config)}
        for name in config.inputs
    }
    report = Report(
        question="How fast does the gradient of each recurrent cell fade with time lag?",
        answer=words.answer(config, numbers),
        findings=words.findings(config, numbers),
        tables=(_initial_table(config, numbers), *((_training_table(config, numbers),) if config.steps else ())),
        figures=_figures(config),
        protocol=words.protocol(config),
    )
    return numbers, report


def _window(config: "Config") -> tuple[int, int]:
    """Lags the rate is fitted in: past the first few, within the length trained on."""
    last = min(config.train_length - 1, config.lags)
    return min(5, last // 2), last


def _fit(config: "Config", curve: np.ndarray) -> lag.DecayFit:
    return lag.fit_decay(curve, _window(config))


def _reference_lag(config: "Config") -> int:
    return min(100, config.lags)


def _numbers(config: "Config", arrays: Arrays, name: str) -> dict[str, Any]:
    phases = {"initial": arrays[f"initial.{name}"]}
    if config.steps:
        phases |= {"before": arrays[f"during.{name}"][0], "after": arrays[f"during.{name}"][-1]}
    numbers: dict[str, Any] = {phase: _decay(config, curves) for phase, curves in phases.items()}
    if config.steps:
        numbers["loss"] = [float(x) for x in arrays[f"loss.{name}"][:, -_LAST:].mean(axis=1)]
        numbers["failed_at_step"] = [int(step) for step in arrays[f"failed.{name}"]]
    return numbers


def _decay(config: "Config", curves: np.ndarray) -> dict[str, Any]:
    """What curves (S, T) of one cell come to; a lag that is never reached is None."""
    fit = _fit(config, curves.T)
    lags = [lag.vanish_lag(curve, profiles.EPSILON) for curve in curves]
    return {
        "vanish_lag": [None if math.isinf(k) else int(k) for k in lags],
        "log_norm_at_reference_lag": [float(x) for x in curves[:, _reference_lag(config)]],
        "rate": fit.rate,
        "rate_standard_error": None if math.isnan(fit.standard_error) else fit.standard_error,
    }


def _initial_table(config: "Config", numbers: dict[str, Any]) -> Table:
    reference = _reference_lag(config)
    heads = [f"{head} {name}" for name in config.inputs for head in ("K", f"A({reference})", "half-life")]
    rows = []
    for arm in words.compared(config):
        row = [arm.family, arm.initialisation]
        for name in config.inputs:
            decay = numbers[name][arm.name]["initial"]
            levels = np.array(decay["log_norm_at_reference_lag"])
            row += [words.lags(decay, config), profiles.power(profiles.middle(levels)), _half_life(decay)]
        rows.append(tuple(row))
    return Table(
        title=f"At initialisation, {config.hidden_size} units",
        caption=f"K: first lag at which the norm is below 1e-6 of that at lag 0, in steps, median (min–max) over "
        f"{config.seeds} networks. A({reference}): median norm at lag {reference} relative to lag 0. "
        + _HALF_LIFE.format(*_window(config)),
        columns=("cell", "initialisation", *heads),
        rows=tuple(rows),
    )


_HALF_LIFE = "Half-life: ln 2 over the rate of decay fitted at lags {}–{}, in steps."


def _training_table(config: "Config", numbers: dict[str, Any]) -> Table:
    rows = []
    for name in config.inputs:
        for arm in words.compared(config):
            of_arm = numbers[name][arm.name]
            before, after = of_arm["before"], of_arm["after"]
            rows.append(
                (
                    name,
                    arm.family,
                    arm.initialisation,
                    words.lags(before, config),
                    words.lags(after, config),
                    _rate(after),
                    _half_life(before),
                    _half_life(after),
                    f"{profiles.middle(np.array(of_arm['loss'])):.3f}",
                )
            )
    return Table(
        title=f"Before and after {config.steps} Adam steps, {config.train_hidden_size} units",
        caption=f"K: median (min–max) over {len(config.training_seeds)} networks. Rate: nats per step ± standard error "
        f"over networks. {_HALF_LIFE.format(*_window(config))} Loss: median of the mean over the last {_LAST} steps; "
        "squared error (adding), nats per character (characters).",
        columns=(
            "inputs",
            "cell",
            "initialisation",
            "K before",
            "K after",
            "rate after",
            "half-life before",
            "half-life after",
            "loss",
        ),
        rows=tuple(rows),
    )


def _rate(decay: dict[str, Any]) -> str:
    error = decay["rate_standard_error"]
    return f"{decay['rate']:+.3f}" + ("" if error is None else f" ± {error:.3f}")


def _half_life(decay: dict[str, Any]) -> str:
    return f"{math.log(2) / -decay['rate']:.1f}" if decay["rate"] < 0 else "grows"


def _figures(config: "Config") -> tuple[Figure, ...]:
    norm_panels = []
    for name in config.inputs:
        norm_panels.append(
            _norm_panel(config, "initial", name, f"{name}, at initialisation (H = {config.hidden_size})")
        )
        if config.steps:
            title = f"{name}, after {config.steps} Adam steps (H = {config.train_hidden_size})"
            norm_panels.append(_norm_panel(config, "after", name, title))
    norms = Figure(
        name="gradient_decay",
        title="Gradient norm against time lag",
        caption="Median over networks and band from the 10th to the 90th percentile; relative to the norm at lag 0.",
        panels=tuple(norm_panels),
    )
    if not config.steps:
        return (norms,)
    first, last = _window(config)
    rates = Figure(
        name="decay_rate",
        title="Rate of decay against training step",
        caption=f"Slope of ln A(k) fitted at lags {first}–{last}: negative where gradients vanish. Bands as above.",
        panels=tuple(
            Panel(
                title=name,
                x_label="training step",
                y_label="slope of ln A(k) (nats per step)",
                lines=_lines(config, f"rate.{name}", "probe_step"),
                levels=(Level(0.0, "norm kept"),),
                x_scale="log",
                markers=True,
            )
            for name in config.inputs
        ),
    )
    losses = Figure(
        name="loss",
        title="Loss against training step",
        caption="Dashed: the exact loss of a predictor that knows no more than stated. Bands as above.",
        panels=tuple(_loss_panel(config, name) for name in config.inputs),
    )
    return norms, rates, losses


def _norm_panel(config: "Config", phase: str, name: str, title: str) -> Panel:
    trained_on = Level(config.train_length - 1, "trained on lags up to here")
    return Panel(
        title=title,
        x_label="time lag k (steps)",
        y_label="A(k) / A(0)",
        lines=_lines(config, f"{phase}.{name}", "lag"),
        levels=(Level(math.log(profiles.EPSILON), "10⁻⁶"),),
        marks=(trained_on,) if phase == "after" and config.train_length - 1 < config.lags else (),
        y_scale="exp",
        y_limits=(math.log(1e-20), math.log(1e2)),
    )


def _loss_panel(config: "Config", name: str) -> Panel:
    landmarks = profiles.inputs(name, config.train_length, config.symbols).landmarks
    exact = {1 / 6: "1/6", 1 / 12: "1/12"}
    return Panel(
        title=name,
        x_label="training step",
        y_label="squared error" if name == "adding" else "cross-entropy (nats per character)",
        lines=_lines(config, f"loss_mean.{name}", "loss_step"),
        levels=tuple(
            Level(loss, f"{exact.get(loss, f'{loss:.2f}')}\n" + known.replace(" ", "\n"))
            for known, loss in landmarks.items()
        ),
        y_limits=(0.0, 0.3) if name == "adding" else None,
    )


def _lines(config: "Config", prefix: str, x: str) -> tuple[Line, ...]:
    return tuple(Line(arm.label, x, f"{prefix}.{arm.name}", slot) for slot, arm in enumerate(words.compared(config)))
