"""Flags of questions: those that every one has, and those of questions about cells and about lags.

A question's settings extend one of these; a field that only has another default needs no second docstring.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

USUAL = (
    "elman:init=uniform", "elman", "gru", "lstm:forget_bias=0", "lstm:forget_bias=1", "lstm:forget_bias=chrono",
)  # fmt: skip
"""Elman as PyTorch (but for its second bias) and as Flax starts it, GRU and LSTM as Flax, the LSTM as papers advise."""


@dataclass(frozen=True)
class Settings:
    """Flags that every question has; extend it by those that its results depend on."""

    out: Path = Path("results")
    """Folder of all results; the run gets its own in it, named after its settings."""
    smoke: bool = False
    """Smallest sizes: shows in seconds that everything runs; the numbers mean nothing."""
    quick: bool = False
    """Sizes between the smallest and the defaults: minutes, wider intervals, more verdicts undecided."""
    dry_run: bool = False
    """Say what would be done; compute and write nothing."""
    fresh: bool = False
    """Delete what an earlier run of these settings has left, and begin anew."""
    replot: Path | None = None
    """Draw figures and report of this finished run again, from its saved files alone."""
    jobs: int = 2
    """Measurements that run side by side; one at a time under `recurrax launch` and with row_devices."""
    row_devices: int = 1
    """Devices that share the networks that train together; of a CPU as many are made."""
    track: Literal["tensorboard"] | None = None
    """Write metrics as event files for TensorBoard too, into the run's folder."""

    LEAST: ClassVar[Mapping[str, float]] = {"jobs": 1, "row_devices": 1}
    """The smallest values that fields may have; an extension names its own."""

    def __post_init__(self):
        for kind in type(self).__mro__:
            check_least(self, **vars(kind).get("LEAST", {}))
        for entry in dataclasses.fields(self):
            if isinstance(value := getattr(self, entry.name), float) and math.isnan(value):
                raise ValueError(f"{entry.name}: expected a number, got nan")

    def results_depend_on(self) -> dict[str, Any]:
        """The settings that are not about where or how the run is done."""
        about_the_run = {entry.name for entry in dataclasses.fields(Settings)}
        names = (entry.name for entry in dataclasses.fields(self))
        return {name: getattr(self, name) for name in names if name not in about_the_run}


@dataclass(frozen=True)
class CellSettings(Settings):
    """Flags of a question about cells."""

    cells: tuple[str, ...] = USUAL
    """What is compared: names, or file.py:NAME, each with :field=value,... where wanted."""
    seeds: int = 5
    """Networks drawn per cell."""
    hidden_size: int = 64
    """Units of a network whose text does not say."""

    LEAST: ClassVar = {"seeds": 1, "hidden_size": 1}


@dataclass(frozen=True)
class TimingSettings(Settings):
    """Flags of a question about how long cells take."""

    cells: tuple[str, ...] = ("lstm",)
    """What is measured: names, or file.py:NAME, each with :field=value,... where wanted."""
    rounds: int = 5
    """Fewest rounds in which every call is made once."""
    jobs: int = 1

    LEAST: ClassVar = {"rounds": 1}

    def __post_init__(self):
        super().__post_init__()
        if self.jobs != 1:
            raise ValueError(f"jobs: expected 1, timings never run side by side, got {self.jobs}")
        if self.row_devices != 1:
            raise ValueError(f"row_devices: expected 1, timings choose their devices, got {self.row_devices}")


@dataclass(frozen=True)
class LagSettings(CellSettings):
    """Flags of a question about lags."""

    lags: int = 100
    """Longest time lag measured, in steps."""

    LEAST: ClassVar = {"lags": 4}

    @property
    def reference_lag(self) -> int:
        """The lag at which norms are told."""
        return min(100, self.lags)

    @property
    def window(self) -> tuple[int, int]:
        """Lags in which a rate is fitted, past the first few."""
        last = min(49, self.lags)
        return min(5, last // 2), last


@dataclass(frozen=True)
class TrainingSettings(CellSettings):
    """Flags of a question about cells that are trained on tasks."""

    tasks: tuple[str, ...] = ("adding",)
    """What the cells read and learn: names, or file.py:NAME, each with :field=value,... where wanted."""
    steps: int = 300
    """Adam steps."""
    train_length: int = 50
    """The `length`, in steps, of a task that has one and whose text does not say."""
    batch_size: int = 32
    """Training sequences per step."""
    learning_rate: float = 2e-3
    """Adam's, constant."""
    max_norm: float = 1.0
    """Gradients are clipped to this global norm."""

    LEAST: ClassVar = {"steps": 0, "train_length": 2, "batch_size": 1, "learning_rate": 0, "max_norm": 0}


@dataclass(frozen=True)
class ConfirmingSettings(CellSettings):
    """Flags of a question that judges claims, on networks whose seeds no pilot has used."""

    tasks: tuple[str, ...] = ("adding",)
    """What is learned: names, or file.py:NAME, each with :field=value,... where wanted."""
    hidden_size: int = 32
    first_seed: int = 100
    """The seed of the first network; the others follow, and settings are chosen with those before."""
    steps: int = 1000
    """Most Adam steps of a network."""
    batch_size: int = 32
    """Training sequences per step."""
    max_norm: float = 1.0
    """Gradients are clipped to this global norm."""

    LEAST: ClassVar = {"first_seed": 1, "steps": 1, "batch_size": 1, "max_norm": 0}

    @property
    def network_seeds(self) -> range:
        return range(self.first_seed, self.first_seed + self.seeds)


def check_least(settings: Any, **least: float) -> None:
    """Raises a ValueError unless each named field of the settings has at least the value given."""
    for name, value in least.items():
        if getattr(settings, name) < value:
            raise ValueError(f"{name}: expected at least {value:g}, got {getattr(settings, name)}")
