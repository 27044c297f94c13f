"""Training that can be cut anywhere and gone on with by the same command."""

import os
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from recurrax.files import append_lines
from recurrax.runs import checkpoint
from recurrax.runs.folder import RunFolder, check_name
from recurrax.runs.processes import is_first_process, on_first
from recurrax.runs.program import check_fingerprint
from recurrax.runs.signals import Stopped
from recurrax.train.fingerprint import fingerprint
from recurrax.train.loop import Chunk, Fitted, chunks, fitted_like, join
from recurrax.train.progress import bar
from recurrax.train.training import Training


def fit_saved(
    training: Training,
    run: RunFolder,
    name: str | None = None,
    *,
    save_every: int = 1,
    progress: bool = True,
    fresh: bool = False,
) -> Fitted:
    """Trains to the end as `fit` does, from wherever an earlier call in the same folder came to.

    After chunks a checkpoint holds the state and everything measured so far, and metrics.jsonl gets a line per step.
    Cut anywhere, the same call goes on from the newest whole checkpoint and returns what the uncut training returns,
    bit for bit on CPU; of a finished training it returns the result without computing. A damaged checkpoint is named
    on standard error and the one before it used. Each holds the training's `fingerprint`: the numbers of another cell,
    task, rate or probe are never taken for those of this one.

    Where several processes have joined, all call this; process 0 alone reads and writes, and a signal to one stops all.

    Args:
        training: what to do; has to follow from the run's configuration.
        run: an open run folder. A signal that asks it to stop is heeded at the end of a chunk.
        name: of a folder inside the run's for this training, where a run has several; None for the run's own.
        save_every: chunks between checkpoints; the last chunk is always saved.
        progress: whether to draw a bar.
        fresh: whether to delete what an earlier call has left of this training, and begin anew.

    Raises:
        Stopped: a signal asked to stop; everything is saved.
        NonFiniteError: a seed met an inf or a NaN.
        OtherProgramError: a checkpoint is of another program, the sentence says in which parts.
        ValueError: a checkpoint is not of this training.
        OSError: a checkpoint could not be written; the one before is intact.
    """
    folder = run.path if name is None else run.path / check_name("name", name)
    metrics, checkpoints = folder / "metrics.jsonl", folder / "checkpoints"
    on_first(lambda: _make_folders(folder, checkpoints))
    if fresh:
        on_first(lambda: _clear(metrics, checkpoints))
    program = fingerprint(training)
    restored = checkpoint.restore(checkpoints, run.config_hash, partial(_like, training, folder, program))
    before: Fitted | None = None
    if restored is not None:
        before = restored.tree._replace(state=jax.tree.map(jax.numpy.asarray, restored.tree.state))
        for damaged in restored.damaged if is_first_process() else ():
            print(f"{checkpoints / damaged}: damaged; going on from step {restored.header['step']}", file=sys.stderr)
    on_first(lambda: _cut(metrics, restored.header["metrics_bytes"] if restored is not None else 0))
    parts: list[Chunk] = []
    with bar(training.steps, show=progress and is_first_process()) as advance:
        for number, part in enumerate(chunks(training, before and before.state), start=1):
            parts.append(part)
            step = int(part.state.step)
            asked = run.stop.asked()
            saving = number % save_every == 0 or step == training.steps or asked is not None
            if saving:
                before, parts = join(parts, before), []
            write = partial(_write, run, name, metrics, part, checkpoints, program, before if saving else None)
            on_first(write)
            if asked is not None and step < training.steps:
                raise Stopped(asked)
            advance(step, np.asarray(part.metrics.loss))
    if before is None:
        raise ValueError("steps: nothing to do, neither a step nor a probe")
    return before


def _make_folders(*folders: Path) -> None:
    for folder in folders:
        if folder.is_symlink():
            raise ValueError(f"{folder}: expected a folder of its own, got a symbolic link")
        folder.mkdir(exist_ok=True)


def _clear(metrics: Path, checkpoints: Path) -> None:
    for path in (metrics, *checkpoints.iterdir()):
        path.unlink(missing_ok=True)


def _like(training: Training, folder: Path, program: Mapping[str, str], header: dict[str, Any]) -> Fitted:
    check_fingerprint(folder, header.get("program"), program)
    limits = {"step": training.steps, "probed": len(training.probe_steps), "metrics_bytes": 2**62}
    for name, most in limits.items():
        if not isinstance(header.get(name), int) or not 0 <= header[name] <= most:
            raise ValueError(f"{name}: expected 0 to {most} in a checkpoint of this training, got {header.get(name)!r}")
    return fitted_like(training, header["step"], header["probed"])


def _cut(path: Path, size: int) -> None:
    """Takes off the lines of steps that are about to be done again."""
    if path.exists():
        os.truncate(path, min(size, path.stat().st_size))


def _lines(label: dict[str, Any], part: Chunk) -> Iterator[dict[str, Any]]:
    """An object per step: its number, and of each metric the values (S,)."""
    columns = part.metrics._asdict() | {"scores": None}
    paths = jax.tree.leaves_with_path(part.metrics.scores)
    columns |= {jax.tree_util.keystr(path, simple=True, separator="."): column for path, column in paths}
    first = int(part.state.step) - len(part.metrics.loss)
    for number, norms in enumerate(part.metrics.log_gradient_norm):
        if not np.isnan(norms).all():  # otherwise no row has taken the step: all have met the training's `stop`
            yield (
                label
                | {"step": first + number}
                | {name: column[number] for name, column in columns.items() if column is not None}
            )


def _write(
    run: RunFolder,
    name: str | None,
    metrics: Path,
    part: Chunk,
    checkpoints: Path,
    program: Mapping[str, str],
    fitted: Fitted | None,
) -> None:
    """Appends the lines of a chunk, and saves a checkpoint of all there is where that is given."""
    lines = list(_lines({} if name is None else {"training": name}, part))
    append_lines(metrics, lines)
    run.track(lines)
    if fitted is not None:
        step = int(fitted.state.step)
        header = {
            "config": run.config_hash,
            "program": program,
            "step": step,
            "probed": len(fitted.probe_steps),
            "metrics_bytes": metrics.stat().st_size,
        }
        checkpoint.save(checkpoints, step, fitted, header)
