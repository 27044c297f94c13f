"""What a training is: its loss, data and optimizer, and the rows that differ in seed, draw, rate or clip."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optax
from jax.sharding import Mesh

from recurrax.train.devices import BATCH, ROWS
from recurrax.typing import Array, Key, Params

Probe = Callable[[Params, Key], Any]
Init = Callable[[Key], Params]


@dataclass(frozen=True)
class Row:
    """One of the trainings that share a program: a seed, and what it has for itself.

    Fields:
        seed: batches, draws and probes follow from it, so rows of one seed see the same batches.
        init: key to params of the same shapes in all rows; the training's if None.
        arguments: for the training's `optimizer`, numbers by name, such as {"learning_rate": 1e-3}; the same names in
            all rows.
        max_norm: global-norm clipping, inf for none; the training's if None.
    """

    seed: int = 0
    init: Init | None = None
    arguments: Mapping[str, float] = field(default_factory=dict)
    max_norm: float | None = None


@dataclass(frozen=True)
class Target:
    """What ends a row early: a mean of at most `loss` over its last `window` steps.

    Fields: `loss`; `window` in steps; `metric`, the name of one of the training's `metrics` that is looked at in place
    of the training loss, such as the loss on held-out sequences.

    Raises:
        ValueError: a field has a value that cannot be meant.
    """

    loss: float
    window: int = 1
    metric: str | None = None

    def __post_init__(self):
        if not _is_number(self.loss):
            raise ValueError(f"loss: expected a number, got {self.loss!r}")
        if not _is_int(self.window, 1):
            raise ValueError(f"window: expected an int of at least 1, got {self.window!r}")


@dataclass(frozen=True)
class Training:
    """What to train, on what, for how long, and what to look at meanwhile.

    Fields:
        loss: (params, batch) to a scalar, pure.
        init: key to params, any pytree of floating arrays; None if every row has its own.
        optimizer: an Optax transformation; or, for rows with `arguments`, a function of these to one, such as
            `optax.adam`.
        batch: key to whatever `loss` takes, pure and traced once; the key is a function of (seed, step).
        batches: in place of batch, for data from the host: (seed, step) to a pytree of NumPy arrays, always the same
            for the same two numbers, such as `recurrax.tasks.Arrays`; called for each step, stacked for each chunk.
        seeds: S ints; every seed is a whole training of its own, a row, all in one program.
        rows: in place of seeds, where more than the seed differs: arms that differ in initialisation, rate or clip
            share one program.
        steps: number of updates.
        chunk: steps per call of the compiled program. Metrics reach Python, and a run can stop, once per chunk.
        max_norm: global-norm clipping before the optimizer; inf only measures.
        metrics: (params, batch) to a pytree of scalars, means over the batch like the loss; before each update, at the
            cost of one more forward pass.
        stop: ends a row when its loss has come so far; the steps that it does not take cost nothing.
        probes: name to a pure (params, key) -> pytree, with the same key at every step.
        probe_steps: after how many updates the probes are evaluated; 0 is before the first.
        continue_others: whether rows go on when another one has met an inf or a NaN.
        vmap: whether rows run side by side (`vmap`) or one after another, in one program either way; if None, side by
            side except on CPU, where one after another is no slower and takes less memory.
        mesh: from `mesh`: over its axis "rows" the rows are split, each device training its own; over its axis
            "batch", the one of `batch_mesh`, every batch is cut, and `loss` must be a mean over rows of the batch.
            Where devices belong to several processes, each of these runs the same training.
        batch_axes: with a batch that is cut, which axis of each of its leaves is B: one int, or a pytree like the
            batch; None for a batch that says so itself, as those of `recurrax.tasks` do.

    Raises:
        ValueError: a field has a value that cannot be meant.
    """

    loss: Callable[[Params, Any], Array]
    init: Init | None
    optimizer: optax.GradientTransformation | Callable[..., optax.GradientTransformation]
    batch: Callable[[Key], Any] | None = None
    seeds: Sequence[int] = (0,)
    steps: int = 1000
    chunk: int = 50
    max_norm: float = math.inf
    probes: Mapping[str, Probe] = field(default_factory=dict)
    probe_steps: Sequence[int] = ()
    continue_others: bool = False
    vmap: bool | None = None
    mesh: Mesh | None = None
    batch_axes: Any = None
    rows: Sequence[Row] = ()
    stop: Target | None = None
    metrics: Callable[[Params, Any], Any] | None = None
    batches: Callable[[int, int], Any] | None = None

    def __post_init__(self):
        if (self.batch is None) == (self.batches is None):
            raise ValueError("batch, batches: expected one of the two, got " + ("both", "none")[self.batch is None])
        if self.stop is not None and self.stop.metric is not None and self.metrics is None:
            raise ValueError(
                f"metrics: expected a function that gives {self.stop.metric!r}, as stop needs it, got None"
            )
        _check_seeds(self)
        _check_rows(self)
        if self.mesh is not None and self.mesh.axis_names != (ROWS, BATCH):
            raise ValueError(
                f"mesh: expected one of train.mesh, with axes {ROWS!r} and {BATCH!r}, got {self.mesh.axis_names}"
            )
        if not _is_int(self.steps, 0):
            raise ValueError(f"steps: expected an int of at least 0, got {self.steps!r}")
        if not _is_int(self.chunk, 1):
            raise ValueError(f"chunk: expected an int of at least 1, got {self.chunk!r}")
        probe_steps = list(self.probe_steps)
        if not all(_is_int(step, 0, self.steps) for step in probe_steps):
            raise ValueError(f"probe_steps: expected ints in 0..{self.steps}, got {probe_steps}")

    @property
    def all_rows(self) -> tuple[Row, ...]:
        """The rows, those of `seeds` where nothing else differs."""
        return tuple(self.rows) or tuple(Row(seed) for seed in self.seeds)

    @property
    def functions(self) -> tuple[Any, ...]:
        """All that JAX traces of it."""
        inits = (row.init for row in self.all_rows)
        return self.loss, self.init, self.optimizer, self.batch, self.metrics, *self.probes.values(), *inits

    def init_of(self, row: Row) -> Init:
        """What draws the parameters of a row."""
        init = row.init or self.init
        assert init is not None, "refused when the training was made"
        return init


def _check_seeds(training: Training) -> None:
    seeds = list(training.seeds)
    if training.rows and seeds != [0]:
        raise ValueError(f"seeds: expected none beside rows, which have their own, got {seeds}")
    if not seeds or len(set(seeds)) < len(seeds) or not all(_is_seed(seed) for seed in seeds):
        raise ValueError(f"seeds: expected distinct ints in 0..2^32-1, at least one, got {seeds}")


def _check_rows(training: Training) -> None:
    rows = training.all_rows
    names = [sorted(row.arguments) for row in rows]
    for number, row in enumerate(rows):
        if not _is_seed(row.seed):
            raise ValueError(f"rows: expected a seed in 0..2^32-1 in row {number}, got {row.seed!r}")
        if row.init is None and training.init is None:
            raise ValueError(f"init: expected in row {number}, since the training has none")
        if names[number] != names[0] or not all(_is_number(value) for value in row.arguments.values()):
            raise ValueError(
                f"rows: expected numbers for the arguments {names[0]} in row {number}, got {dict(row.arguments)}"
            )
        if row.max_norm is not None and not (_is_number(row.max_norm, infinite=True) and row.max_norm > 0):
            raise ValueError(f"rows: expected a positive max_norm in row {number}, got {row.max_norm!r}")
    if names[0] and isinstance(training.optimizer, optax.GradientTransformation):
        raise ValueError(f"optimizer: expected a function of {', '.join(names[0])}, such as optax.adam, got its result")


def _is_seed(value: Any) -> bool:
    return _is_int(value, 0, 2**32 - 1)


def _is_int(value: Any, least: int, most: float = math.inf) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and least <= int(value) <= most


def _is_number(value: Any, *, infinite: bool = False) -> bool:
    real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    return real and (math.isfinite(value) or (infinite and value == math.inf))
