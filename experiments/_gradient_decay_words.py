"""The sentences of gradient_decay's report, put together from its numbers."""

import math
from typing import TYPE_CHECKING, Any

import _profiles as profiles
import _seeds as seeds

from recurrax.study.statistics import Interval

if TYPE_CHECKING:
    from gradient_decay import Config

Numbers = dict[str, dict[str, dict[str, Any]]]
"""Inputs, cell and phase to what was measured: a `Decay`, or under "learned" a `Learned`."""


def compared(config: "Config") -> tuple[profiles.Arm, ...]:
    """The cells of the experiment, in the order of its tables."""
    return profiles.arms(config.hidden_size, config.t_max)


def answer(config: "Config", numbers: Numbers) -> str:
    """When gradients vanish at initialisation, then in a paragraph each what training on some inputs changes."""
    reached = [f"On {name} {_reached(config, numbers[name])}." for name in config.inputs]
    sentences = [
        "How many steps back is the gradient below a millionth of its norm at the last one, in freshly drawn networks "
        f"of {config.hidden_size} units? {' '.join(reached)}"
    ]
    for name in config.inputs if config.steps else ():
        changes = {arm.label: numbers[name][arm.name] for arm in compared(config)}
        gains = {label: of["after"].rate.estimate - of["before"].rate.estimate for label, of in changes.items()}
        slowed = {label: gains[label] for label, of in changes.items() if _below(of["before"].rate, of["after"].rate)}
        quickened = {
            label: -gains[label] for label, of in changes.items() if _below(of["after"].rate, of["before"].rate)
        }
        told = [_most(verb, of, changes) for verb, of in (("slow", slowed), ("quicken", quickened)) if of]
        if same := len(changes) - len(slowed) - len(quickened):
            told.append(f"change that of {same} so little that the intervals before and after overlap")
        sentences.append(f"{config.steps} Adam steps on {name} {profiles.listed(told)}.")
    return "\n".join(sentences)


def _most(verb: str, gains: dict[str, float], changes: dict[str, dict[str, Any]]) -> str:
    """How many cells change that way, and which does most: slow the decay of 5 of 6 cells (GRU most, from a to b)."""
    label = max(gains, key=lambda label: gains[label])
    before, after = (seeds.signed(changes[label][phase].rate) for phase in ("before", "after"))
    most = f"{label} most" if len(gains) > 1 else label
    change = f"{most}, from {before} to {after} nats per step"
    return f"{verb} the decay of {len(gains)} of {len(changes)} cells ({change})"


def findings(config: "Config", numbers: Numbers) -> tuple[str, ...]:
    """What stands out, what contradicts the common belief among it."""
    found = [_folklore(name, numbers[name]) for name in config.inputs]
    if {"adding", "characters"} <= set(config.inputs):
        middles = (numbers[name]["elman_orthogonal"]["initial"].vanish_lag for name in ("adding", "characters"))
        adding, text = (seeds.steps(middle, config.lags) for middle in middles)
        found.append(
            f"The scale of the inputs decides: the same initialisation, Elman orthogonal, vanishes at lag {adding} on "
            f"adding and at lag {text} on characters, since the drive sets how far tanh saturates."
        )
    if config.steps and "adding" in config.inputs:
        learned = {arm.label: numbers["adding"][arm.name]["learned"] for arm in compared(config)}
        told = [f"{of.successes} of {of.networks} networks of {label}" for label, of in learned.items() if of.successes]
        found.append(
            "A loss below 1/12 on adding takes the addend of the first half. After "
            f"{config.steps} steps it is reached by {profiles.listed(told) if told else 'no network'}."
        )
    failed = sum(step >= 0 for of in numbers.values() for arm in of.values() for step in arm.get("failed_at_step", []))
    if failed:
        found.append(f"{failed} trainings met a number that is not finite and stayed at the parameters before it.")
    return tuple(found)


def _folklore(name: str, of_inputs: dict[str, dict[str, Any]]) -> str:
    gated, simple = (of_inputs[arm]["initial"].rate for arm in ("lstm_0", "elman_orthogonal"))
    verdict = "leaves open, since the intervals overlap,"
    if _below(gated, simple):
        verdict = "contradicts"
    if _below(simple, gated):
        verdict = "agrees with"
    return (
        f"At initialisation on {name} the slope of ln A(k) of the LSTM with forget bias 0, as Flax and PyTorch start "
        f"it, is {seeds.signed(gated)} nats per step, that of the Elman network with an orthogonal kernel "
        f"{seeds.signed(simple)}. This {verdict} the belief that an LSTM as such lets gradients flow where a simple "
        "network does not."
    )


def _below(one: Interval, other: Interval) -> bool:
    """Whether all of one interval lies below the other."""
    return one.high < other.low


def protocol(config: "Config") -> tuple[str, ...]:
    """How it was measured."""
    lines = [
        "A(k) is the Euclidean norm of ∂L/∂s at k steps before the last, s being all that is carried: h, or (h, c) "
        "for an LSTM, and L = ⟨g, h_T⟩ with a random unit vector g for each sequence. It is carried as a direction and "
        "a logarithm, in float32, so that it does not underflow.",
        f"Each network is measured on {config.rows} sequences of {config.lags + 1} steps; its curve is the median of "
        "ln A(k) - ln A(0) over them. Bands and intervals are over networks, none left out.",
        "Initialisations: uniform is ±1/√H for every parameter, PyTorch's default up to its second bias. All others "
        "have lecun input kernels, recurrent kernels orthogonal gate by gate, and zero biases except the forget "
        "gate's, as in Flax; chrono draws forget biases as "
        f"ln U(1, {config.t_max - 1}) and sets input biases to minus these.",
    ]
    lines += [profiles.input_scale(name, config.lags + 1, config.symbols) for name in config.inputs]
    if config.steps:
        lines.append(
            f"Training: sequences of {config.train_length} steps, batches of {config.batch_size}, Adam at "
            f"{config.learning_rate:g}, clipping at a global norm of {config.max_norm:g}, a fresh batch at every step, "
            f"the same for every cell. Trained networks are measured at lags up to {config.lags}, whatever the length "
            "they were trained on."
        )
    return tuple(lines)


def _reached(config: "Config", of_inputs: dict[str, dict[str, Any]]) -> str:
    """Cell by cell, the soonest first: 26 (Elman uniform), 44 (LSTM b_f=0), more than 200 (LSTM chrono)."""
    middles = {arm.label: of_inputs[arm.name]["initial"].vanish_lag.estimate for arm in compared(config)}
    within = [f"{k:g} ({label})" for label, k in sorted(middles.items(), key=lambda item: item[1]) if k < math.inf]
    beyond = [label for label, k in middles.items() if k == math.inf]
    return ", ".join(within + ([f"more than {config.lags} ({profiles.listed(beyond)})"] if beyond else []))
