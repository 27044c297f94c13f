"""How soon networks solve a task: what reproductions of published figures measure."""

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import optax

from recurrax import train
from recurrax.study import failing
from recurrax.study.quantities import Number, steps
from recurrax.study.settings import ConfirmingSettings
from recurrax.tasks import Task
from recurrax.typing import Cell

if TYPE_CHECKING:
    from recurrax.study.experiment import Run

Optimizer = Literal["adam", "rmsprop", "sgd"]
"""Optax's, at their defaults but for the learning rate."""


@dataclass(frozen=True)
class SolvingSettings(ConfirmingSettings):
    """Flags of a question about the steps until a task is solved."""

    seeds: int = 6
    """Fewer could never decide a comparison."""
    optimizer: Optimizer = "adam"
    rates: tuple[float, ...] = (1e-3,)
    """Learning rates, of which each cell gets the one at which the network before the first solves the task soonest."""

    LEAST: ClassVar = {"seeds": 1}

    def __post_init__(self):
        super().__post_init__()
        if not self.rates or not min(self.rates) > 0:
            raise ValueError(f"rates: expected positive numbers, at least one, got {self.rates}")


def steps_to_solve(
    settings: SolvingSettings, cell: Cell, task: Task, run: "Run", max_norm: float | None = None
) -> dict[str, Any]:
    """Steps (S,) until a task is solved, inf where it is not, the learning rate (S,) and the seeds; see `failing`.

    `max_norm` is in place of the settings' own.
    """
    alone = failing.training(cell, task, settings, 0, 0.0)
    last = min(failing.WINDOW, settings.steps)
    # Batches are fresh at every step, so the training loss is that of held-out sequences.
    alone = dataclasses.replace(
        alone,
        optimizer=getattr(optax, settings.optimizer),
        max_norm=settings.max_norm if max_norm is None else max_norm,
        metrics=None,
        stop=train.Target(failing.solved_loss(task), last),
        continue_others=True,
    )

    def taken(name: str, rows: list[tuple[int, float]]) -> np.ndarray:
        with_rates = [train.Row(seed, arguments={"learning_rate": rate}) for seed, rate in rows]
        fitted = run._replace(name=name).fit(dataclasses.replace(alone, rows=with_rates))
        stopped = np.asarray(fitted.state.stopped_at, float)
        return np.where(stopped >= 0, stopped, np.inf)

    rate = settings.rates[0]
    if len(settings.rates) > 1:
        tried = taken(f"{run.name}-rates", [(settings.first_seed - 1, each) for each in settings.rates])
        rate = settings.rates[int(np.argmin(tried))]
    needed = taken(run.name, [(seed, rate) for seed in settings.network_seeds])
    return {"needed": needed, "rate": np.full(settings.seeds, rate), "seed": settings.network_seeds}


NEEDED = Number("steps to solve it", "needed", unit="steps", show=steps, beyond="steps")
PROTOCOL = (
    "A network solves a task where its loss, a mean over 50 of at most {s.steps} steps, comes down to the task's floor "
    "and a fifth of what its smallest landmark lies above that; every batch is a fresh one.",
    "{s.hidden_size} units, {s.optimizer}, batches of {s.batch_size}; the learning rate is chosen among {s.rates} with "
    "a seed of its own.",
)
