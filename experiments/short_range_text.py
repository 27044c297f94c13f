"""Does a simple recurrent network suffice for text, as long as only a short range counts?

Command: `python experiments/short_range_text.py`, about ten minutes on two CPU cores; `--steps 5000` takes longer, and
`--text textfiles:path=FOLDER` asks it of other text.

Measured: bits per character on the same held-out characters, each told from the 1, 2, 4 .. 128 characters before it
alone, beside interpolated n-grams. Networks are trained on windows of 128; the learning rate is the best of five on a
seed of its own. Every network also writes some text, sample-CELL.txt in the run's folder.

Supported if the gap of a simple network with as many parameters to an LSTM is below 0.05 bits at 4 characters and grows
by more than 0.05 up to 128; refuted if it is above 0.1 at 4 already. Expected: refuted.
"""

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from recurrax import files, study, train
from recurrax.report import Level, Table
from recurrax.study import claims, failing, named
from recurrax.tasks import bits

AS_LARGE = "elman:hidden_size=152"
SHORT, LONG = 4, 128


@dataclass(frozen=True)
class Settings(study.CellSettings):
    """Does a simple recurrent network suffice for text, as long as only a short range counts?"""

    cells: tuple[str, ...] = ("elman", AS_LARGE, "gru", "lstm")
    text: str = "characters"
    """What is read: a task of text, or file.py:NAME, with :field=value,... where wanted."""
    seeds: int = 7
    """Fewer could never decide either of two comparisons."""
    first_seed: int = 100
    """The seed of the first network; the others follow, and the learning rate is chosen with the one before."""
    rates: tuple[float, ...] = (4e-3, 8e-3, 1.6e-2, 3.2e-2, 6.4e-2)
    """Adam's learning rates, of which each cell gets the best."""
    steps: int = 800
    """Adam steps."""
    train_length: int = 128
    """Characters of a window trained on."""
    batch_size: int = 32
    """Windows per step."""
    max_norm: float = 1.0
    """Gradients are clipped to this global norm."""
    contexts: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)
    """From how many characters the next one is told."""
    targets: int = 4096
    """Held-out characters to be told."""
    order: int = 8
    """The largest n of the n-grams."""
    sample: int = 400
    """Characters that a network writes."""

    LEAST: ClassVar = {"first_seed": 1, "steps": 1, "train_length": 2, "batch_size": 1, "targets": 1, "order": 2}

    def __post_init__(self):
        super().__post_init__()
        if not {SHORT, LONG} <= set(self.contexts):
            raise ValueError(f"contexts: expected {SHORT} and {LONG} among them, got {self.contexts}")

    @property
    def task(self) -> Any:
        return named.tasks((self.text,))[0].build(length=self.train_length)


def measure(settings: Settings, cell: Any, _: None, run: study.Run) -> study.Arrays:
    """Bits per character by context (S, C), the learning rate chosen (S,), and bytes written (S, N)."""
    task, seeds = settings.task, range(settings.first_seed, settings.first_seed + settings.seeds)
    model = train.Readout(cell, task.input_size, task.output_size, every_step=False)
    alone = dataclasses.replace(failing.training(cell, task, settings, 0, 0.0), stop=None, metrics=None)  # pyright: ignore

    def fitted(name: str, rows: Sequence[tuple[int, float]]) -> train.Fitted:
        with_rates = [train.Row(seed, arguments={"learning_rate": rate}) for seed, rate in rows]
        return run._replace(name=name).fit(dataclasses.replace(alone, rows=with_rates))

    rate = settings.rates[0]
    if len(settings.rates) > 1:
        tried = fitted(f"{run.name}-rates", [(settings.first_seed - 1, rate) for rate in settings.rates])
        rate = settings.rates[int(np.argmin(tried.metrics.loss[-failing.WINDOW :].mean(axis=0)))]
    params = fitted(run.name, [(seed, rate) for seed in seeds]).state.params
    each = [jax.tree.map(lambda leaf, row=row: leaf[row], params) for row in range(settings.seeds)]
    told = np.zeros((settings.seeds, len(settings.contexts)))
    loss = jax.jit(lambda params, batch: task.loss(model.predict(params, batch.xs), batch))
    for place, context in enumerate(settings.contexts):
        run.check()
        batch = task.after_context(context, settings.targets, max(settings.contexts))
        told[:, place] = [bits(float(loss(params, batch))) for params in each]
    write = jax.jit(partial(written, model, settings.sample))
    ids = np.stack(
        [write(params, task.held_out_ids[0], train.probe_key(seed)) for params, seed in zip(each, seeds, strict=True)]
    )
    text = np.frombuffer(task.corpus.vocabulary, np.uint8)[ids]
    files.write_whole(run.folder.path / f"sample-{run.name}.txt", lambda file: file.write(text[0].tobytes()))
    return {"bits": told, "rate": np.full(settings.seeds, rate), "written": text, "seed": seeds}


def written(model: train.Readout, length: int, params: train.ReadoutParams, first: Any, key: Any) -> jax.Array:
    """Symbols (length,), each drawn from what the network foretells after those before."""

    def say(carried: Any, key: Any) -> Any:
        carry, symbol = carried
        carry, y = model.cell.step(params.cell, carry, jax.nn.one_hot(symbol, model.input_size))
        symbol = jax.random.categorical(key, y @ params.kernel + params.bias)
        return (carry, symbol), symbol

    start = model.cell.initial_carry(params.cell, (), jnp.float32), jnp.asarray(first, jnp.int32)
    return jax.lax.scan(say, start, jax.random.split(key, length))[1]


def at(context: int, less: int | None = None) -> study.Number:
    """Bits per character from a context, or how many fewer they are than from a shorter one."""

    def value(told: np.ndarray, settings: Settings, task: None) -> np.ndarray:
        of = dict(zip(settings.contexts, told.T, strict=True))
        return of[context] - (of[less] if less else 0)

    return study.Number("bits per character", "bits", value)


def suffices(found: Sequence[claims.Comparison]) -> str:
    """The claim's own rule, on the gap at a short range and on its growth."""
    short, growth = (one.theta for one in found)
    if short.high < 0.05 and growth.low > 0.05:
        return claims.SUPPORTED
    return claims.REFUTED if short.low > 0.1 else claims.UNDECIDED


def ngrams(settings: Settings, _: None) -> list[Level]:
    known = settings.task.held_out_landmarks(settings.targets, max(settings.contexts), settings.order)
    return [Level(bits(nats), name) for name, nats in known.items() if name in ("2-gram", "3-gram", "5-gram", "8-gram")]


def finding(results: Any) -> str:
    """Bits per character of every cell at both ends of the claim."""
    ends = [results.settings.contexts.index(context) for context in (SHORT, LONG)]
    of_cells = {cell.label: np.median(told[:, ends], axis=0) for (_, cell), told in results.measured("bits").items()}
    said = "; ".join(f"{label} {short:.2f} → {long:.2f}" for label, (short, long) in of_cells.items())
    return "" if results.settings.smoke else f"Bits per character from {SHORT} → {LONG} characters: {said}"


def samples(results: Any) -> Table:
    """The beginning of what the first network of every cell wrote."""
    written = results.measured("written").items()
    rows = [(cell.label, text[0].tobytes()[:240].decode("latin-1").replace("\n", "⏎ ")) for (_, cell), text in written]
    return Table(
        "What networks write", "Each symbol drawn from what the network foretells.", ("cell", "text"), tuple(rows)
    )


COLUMNS = (
    *(dataclasses.replace(at(context), name=f"bits at {context}") for context in (SHORT, LONG)),
    study.Number("learning rate", "rate", show="{:g}".format),
)
CURVE = study.Curve(
    "", "bits", lambda settings, size: np.log2(settings.contexts), "log2 of the characters seen", "bits per character",
    levels=ngrams, markers=True,
)  # fmt: skip
SUFFICES = study.Claim(
    "A simple recurrent network suffices for text as long as only a short range counts: the gap to an LSTM is below "
    "0.05 bits per character at 4 characters, and grows with the range.",
    at(SHORT),
    (
        study.Pair(AS_LARGE, "lstm", "the gap at 4 characters"),
        study.Pair(AS_LARGE, "lstm", "how much the gap grows up to 128", number=at(LONG, less=SHORT)),
    ),
    delta=0.05,
    rule=suffices,
)
EXPERIMENT = study.Experiment(
    "short_range_text",
    Settings,
    measure,
    numbers=(study.Numbers("Held-out text, {s.hidden_size} units where a name does not say", COLUMNS),),
    curves=(study.Curves("short_range_text", "How much text tells of its next character", (CURVE,), finding=finding),),
    claims=(SUFFICES,),
    texts=samples,
    protocol=(
        "Read: {s.task.describes}; {s.task.source}.",
        "{s.steps} Adam steps of {s.batch_size} windows of {s.train_length} characters, gradients clipped at a global "
        "norm of {s.max_norm:g}; the learning rate is chosen among {s.rates} with a seed of its own.",
        "Every context is evaluated on the same {s.targets} held-out characters, from the initial carry. The gap "
        "is supported where it is beyond 0.05 bits; the claim is refuted where it lies above 0.1 at 4 characters.",
    ),
    quick={"rates": (1.6e-2,), "steps": 200},
    smoke={
        "cells": ("elman",), "text": "characters:max_bytes=10000", "contexts": (4, 128), "seeds": 2, "hidden_size": 8,
        "rates": (2e-3,), "steps": 2, "train_length": 5, "batch_size": 2, "targets": 8, "order": 2, "sample": 5,
    },
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(study.main(EXPERIMENT))
