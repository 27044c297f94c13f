"""The way back into a run: what is in its folder, without the program that made it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from recurrax import checkpoints
from recurrax.files import load_arrays, load_json, load_lines


@dataclass(frozen=True)
class SavedTraining:
    """One training of a run, from its checkpoints.

    Fields: `metrics`, name to (steps, S), and `probes`, name to (P, S, ...), a pytree's leaves by dotted names such as
    "scores.accuracy" and "lag.log_norm_joint"; `probe_steps` (P,); `seeds` (S,);
    `states`, step to the parameters' leaves (S, ...) by path, the newest step last.
    """

    metrics: Mapping[str, np.ndarray]
    probes: Mapping[str, np.ndarray]
    probe_steps: np.ndarray
    seeds: np.ndarray
    states: Mapping[int, Mapping[str, np.ndarray]]

    def params(self, like: Any, step: int | None = None, row: int | None = None) -> Any:
        """Parameters of a step, every leaf (S, ...), or those of one row.

        Args:
            like: a pytree of the structure and shapes of one row, such as `jax.eval_shape(model.init, key)`.
            step: one of `states`, the last if None.
            row: its place among `seeds`, all if None.

        Raises:
            ValueError: there is no such step, or the parameters are not like that.
        """
        step = max(self.states) if step is None else step
        if step not in self.states:
            raise ValueError(f"step: expected one of those saved, {sorted(self.states)}, got {step}")
        saved, leaves = self.states[step], []
        for path, leaf in jax.tree.leaves_with_path(like):
            found = saved.get(jax.tree_util.keystr(path))
            if found is None or found.shape[1:] != leaf.shape:
                got = "none" if found is None else f"shape {found.shape[1:]}"
                raise ValueError(f"like: expected parameters as saved, got {got} for {jax.tree_util.keystr(path)}")
            leaves.append((found if row is None else found[row]).view(leaf.dtype))
        if len(leaves) != len(saved):
            raise ValueError(f"like: expected all {len(saved)} saved parameters, {sorted(saved)}, got {len(leaves)}")
        return jax.tree.unflatten(jax.tree.structure(like), leaves)


class SavedRun(NamedTuple):
    """A run's folder, read: settings, its configuration; record, run.json; lines of metrics.jsonl; arrays; summary.

    trainings, by their names, "" for one without; arrays and summary are empty where the run has not got so far.
    """

    path: Path
    settings: dict[str, Any]
    record: dict[str, Any]
    lines: list[dict[str, Any]]
    arrays: dict[str, np.ndarray]
    summary: dict[str, Any]
    trainings: dict[str, SavedTraining]

    @property
    def cell(self) -> str | None:
        """The settings' "cell" as text, None where there is none."""
        cell = self.settings.get("cell")
        if isinstance(cell, dict) and "type" in cell:
            fields = ", ".join(f"{name}={value!r}" for name, value in cell.items() if name != "type")
            return f"{cell['type']}({fields})"
        return None if cell is None else str(cell)


def load(path: Path | str) -> SavedRun:
    """Reads a run's folder, finished or not, while nobody is writing to it.

    Raises:
        FileNotFoundError: it is no run's folder.
        ValueError: a file in it is damaged; damaged checkpoints are left out.

    >>> import tempfile
    >>> from recurrax.runs import open_run
    >>> with tempfile.TemporaryDirectory() as root:
    ...     with open_run(root, "demo", "small", {"cell": "lstm", "steps": 2}) as run:
    ...         run.save_summary({"loss": 0.5})
    ...     load(run.path).cell, load(run.path).record["status"], load(run.path).summary
    ('lstm', 'finished', {'loss': 0.5})
    """
    path = Path(path)
    if not (path / "config.json").exists():
        raise FileNotFoundError(f"{path}: expected a run's folder, got one without config.json")
    trainings = {name: _training(place) for name, place in checkpoints.places(path).items()}
    return SavedRun(
        path=path,
        settings=load_json(path / "config.json"),
        record=load_json(path / "run.json") if (path / "run.json").exists() else {},
        lines=load_lines(path / "metrics.jsonl"),
        arrays=load_arrays(path / "arrays.npz") if (path / "arrays.npz").exists() else {},
        summary=load_json(path / "summary.json") if (path / "summary.json").exists() else {},
        trainings={name: training for name, training in trainings.items() if training is not None},
    )


def _training(place: Path) -> SavedTraining | None:
    found = list(checkpoints.read_all(place))
    if not found:
        return None
    newest = found[0]
    return SavedTraining(
        metrics=newest.below(".metrics."),
        probes=newest.below(".probes"),
        probe_steps=newest.arrays[".probe_steps"],
        seeds=newest.arrays[".state.seeds"],
        states={one.step: _params(one) for one in reversed(found)},
    )


def _params(one: checkpoints.Checkpoint) -> dict[str, np.ndarray]:
    start = ".state.params"
    return {path.removeprefix(start): array for path, array in one.arrays.items() if path.startswith(start)}
