"""Training that can be cut anywhere and gone on with by the same command."""

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from recurrax.files import append_lines
from recurrax.train import checkpoint
from recurrax.train.loop import Chunk, Fitted, Training, chunks, fitted_like, join
from recurrax.train.progress import bar
from recurrax.train.run_folder import RunFolder, check_name


def fit_saved(
    training: Training, run: RunFolder, name: str | None = None, *, save_every: int = 1, progress: bool = True
) -> Fitted:
    """Trains to the end as `fit` does, from wherever an earlier call in the same folder came to.

    After chunks a checkpoint holds the state and everything measured so far, and metrics.jsonl gets a line per step.
    Cut anywhere, the same call goes on from the newest whole checkpoint and returns what the uncut training returns,
    bit for bit on CPU; of a finished training it returns the result without computing. A damaged checkpoint is named
    on standard error and the one before it used.

    Args:
        training: what to do; has to follow from the run's configuration.
        run: an open run folder. A signal that asks it to stop is heeded at the end of a chunk.
        name: of a folder inside the run's for this training, where a run has several; None for the run's own.
        save_every: chunks between checkpoints; the last chunk is always saved.
        progress: whether to draw a bar.

    Raises:
        Stopped: a signal asked to stop; everything is saved.
        NonFiniteError: a seed met an inf or a NaN.
        ValueError: a checkpoint is not of this training.
        OSError: a checkpoint could not be written; the one before is intact.
    """
    folder = run.path if name is None else run.path / check_name("name", name)
    folder.mkdir(exist_ok=True)
    metrics, checkpoints = folder / "metrics.jsonl", folder / "checkpoints"
    like = partial(_like, training)
    restored = checkpoint.restore(checkpoints, run.config_hash, like) if checkpoints.exists() else None
    before: Fitted | None = None
    if restored is not None:
        before = restored.tree._replace(state=jax.tree.map(jax.numpy.asarray, restored.tree.state))
        for damaged in restored.damaged:
            print(f"{checkpoints / damaged}: damaged; going on from step {restored.header['step']}", file=sys.stderr)
    _cut(metrics, restored.header["metrics_bytes"] if restored is not None else 0)
    parts: list[Chunk] = []
    with bar(training.steps, show=progress) as advance:
        for number, part in enumerate(chunks(training, before and before.state), start=1):
            parts.append(part)
            step = int(part.state.step)
            _append(metrics, part, name)
            if number % save_every == 0 or step == training.steps or run.stop.requested:
                before, parts = join(parts, before), []
                header = {
                    "config": run.config_hash,
                    "step": step,
                    "probed": len(before.probe_steps),
                    "metrics_bytes": metrics.stat().st_size,
                }
                checkpoint.save(checkpoints, step, before, header)
                if step < training.steps:
                    run.stop.check()
            advance(step, np.asarray(part.metrics.loss))
    if before is None:
        raise ValueError("steps: nothing to do, neither a step nor a probe")
    return before


def _like(training: Training, header: dict[str, Any]) -> Fitted:
    return fitted_like(training, header["step"], header["probed"])


def _cut(path: Path, size: int) -> None:
    """Takes off the lines of steps that are about to be done again."""
    if path.exists():
        os.truncate(path, min(size, path.stat().st_size))


def _append(path: Path, part: Chunk, name: str | None) -> None:
    first = int(part.state.step) - len(part.metrics.loss)
    label = {} if name is None else {"training": name}
    columns = part.metrics._asdict()
    rows = range(len(part.metrics.loss))
    append_lines(
        path,
        [label | {"step": first + row} | {field: column[row] for field, column in columns.items()} for row in rows],
    )
