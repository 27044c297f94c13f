"""From the saved arrays of gradient_decay to what its report says and draws; nothing here measures anything.

Array names: `initial.<inputs>.<cell>` (S, T) and `during.<inputs>.<cell>` (P, S, T), ln A(k) - ln A(0), the median over
sequences; `loss.<inputs>.<cell>` (S, steps). Derived for the figures: `after`, `rate`, `loss_mean` and the x axes.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import _gradient_decay_words as words
import _profiles as profiles
import _seeds as seeds
import numpy as np

from recurrax import lag
from recurrax.report import Figure, KeyFigure, Level, Line, Panel, Report, Table

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
            arrays[f"rate.{name}"] = np.array(
                [[lag.fit_decay(curve, _window(config)).rate for curve in step] for step in values]
            ).T
        if kind == "loss":
            arrays[f"loss_mean.{name}"] = values[:, : blocks * block].reshape(len(values), blocks, block).mean(axis=2)
    return arrays


def summarise(config: "Config", arrays: Arrays) -> tuple[dict[str, Any], Report]:
    """Every number the report prints, by inputs, cell and phase, and the report itself."""
    numbers = {
        name: {arm.name: _numbers(config, arrays, name, arm.name) for arm in words.compared(config)}
        for name in config.inputs
    }
    tables = [_initial_table(config, numbers)]
    if config.steps:
        tables += [_training_table(config, numbers), _learning_table(config, numbers)]
    report = Report(
        question="How fast does the gradient of each recurrent cell fade with time lag?",
        answer=words.answer(config, numbers),
        findings=words.findings(config, numbers),
        tables=tuple(tables),
        figures=_figures(config),
        protocol=words.protocol(config),
        key_figures=tuple(
            KeyFigure(
                f"steps back at which the gradient is below a millionth, on {name}",
                "; ".join(f"{arm.label} {lag}" for arm, lag in _lags(config, numbers[name])),
            )
            for name in config.inputs
        ),
    )
    return seeds.saved(numbers), report


def _window(config: "Config") -> tuple[int, int]:
    """Lags the rate is fitted in: past the first few, within the length trained on."""
    last = min(config.train_length - 1, config.lags)
    return min(5, last // 2), last


def _reference_lag(config: "Config") -> int:
    return min(100, config.lags)


def _loss_window(config: "Config") -> int:
    return min(_LAST, config.steps)


def _threshold(config: "Config", name: str) -> tuple[str, float]:
    """What the best of the predictors whose loss is known exactly knows, and its loss."""
    landmarks = profiles.inputs(name, config.train_length, config.symbols).landmarks
    return min(landmarks.items(), key=lambda landmark: landmark[1])


def _numbers(config: "Config", arrays: Arrays, name: str, arm: str) -> dict[str, Any]:
    phases = {"initial": arrays[f"initial.{name}.{arm}"]}
    if config.steps:
        phases |= {"before": arrays[f"during.{name}.{arm}"][0], "after": arrays[f"during.{name}.{arm}"][-1]}
    window, reference = _window(config), _reference_lag(config)
    numbers: dict[str, Any] = {phase: seeds.decay(curves, window, reference) for phase, curves in phases.items()}
    if config.steps:
        threshold = _threshold(config, name)[1]
        numbers["learned"] = seeds.learned(arrays[f"loss.{name}.{arm}"], threshold, _loss_window(config))
        numbers["failed_at_step"] = [int(step) for step in arrays[f"failed.{name}.{arm}"]]
    return numbers


def _lags(config: "Config", of_inputs: dict[str, Any]) -> list[tuple[profiles.Arm, str]]:
    return [
        (arm, seeds.steps(of_inputs[arm.name]["initial"].vanish_lag, config.lags)) for arm in words.compared(config)
    ]


def _initial_table(config: "Config", numbers: words.Numbers) -> Table:
    reference = _reference_lag(config)
    rows = []
    for name in config.inputs:
        for arm in words.compared(config):
            decay = numbers[name][arm.name]["initial"]
            lags, level = seeds.steps(decay.vanish_lag, config.lags), seeds.power(decay.log_norm)
            rate, half_life = seeds.signed(decay.rate), seeds.half_life(decay.rate)
            rows.append((name, arm.family, arm.initialisation, lags, level, rate, half_life))
    return Table(
        title=f"Gradients at initialisation, {config.hidden_size} units",
        caption="K: first lag at which the norm is below 1e-6 of that at lag 0. "
        f"A({reference}): norm at lag {reference} relative to lag 0. "
        f"Both are medians over {config.seeds} networks, {seeds.IN_BRACKETS}. "
        f"{_RATE.format(*_window(config))} Half-life: ln 2 over that rate. b_f: forget bias.",
        columns=(
            "inputs",
            "cell",
            "initialisation",
            "K, steps",
            f"A({reference})",
            "rate, nats/step",
            "half-life, steps",
        ),
        rows=tuple(rows),
    )


_RATE = "Rate: slope of ln A(k) at lags {}–{}, the interquartile mean over networks with its interval."


def _training_table(config: "Config", numbers: words.Numbers) -> Table:
    rows = []
    for name in config.inputs:
        for arm in words.compared(config):
            phases = [numbers[name][arm.name][phase] for phase in ("before", "after")]
            lags = (seeds.steps(decay.vanish_lag, config.lags) for decay in phases)
            rates = (seeds.signed(decay.rate) for decay in phases)
            rows.append((name, arm.family, arm.initialisation, *lags, *rates))
    return Table(
        title=f"Gradients before and after {config.steps} Adam steps, {config.train_hidden_size} units",
        caption=f"K and rate as above, over the {len(config.training_seeds)} networks that were trained.",
        columns=(
            "inputs",
            "cell",
            "initialisation",
            "K before, steps",
            "K after",
            "rate before, nats/step",
            "rate after",
        ),
        rows=tuple(rows),
    )


def _learning_table(config: "Config", numbers: words.Numbers) -> Table:
    thresholds = [(name, *_threshold(config, name)) for name in config.inputs]
    return seeds.learning_table(
        title=f"What was learned in {config.steps} Adam steps",
        rows={
            (name, arm.family, arm.initialisation): numbers[name][arm.name]["learned"]
            for name in config.inputs
            for arm in words.compared(config)
        },
        window=_loss_window(config),
        thresholds=", ".join(f"{loss:.4f} on {name} ({knows})" for name, knows, loss in thresholds),
        steps_taken=config.steps,
    )


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
