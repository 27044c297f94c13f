"""Metrics for those who watch: TensorBoard event files beside metrics.jsonl, where they are asked for.

Files alone are written; nothing talks to a network, and no name of a machine is in them.
"""

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recurrax.extras import require


@contextlib.contextmanager
def tensorboard(folder: Path) -> Iterator[Callable[[Sequence[Mapping[str, Any]]], None]]:
    """Writes lines of metrics as scalars to event files below `<folder>/tensorboard/`, for `open_run(track=...)`.

    A line with a "step" gives a scalar for each number in it, one per seed where there are several: "loss/0", "loss/1".
    Its texts, such as the name of a training, say which of TensorBoard's runs they belong to. Lines of steps that are
    done again, after a run has been cut, replace the earlier ones.

    Yields:
        What is to be told of lines of metrics.

    Raises:
        ModuleNotFoundError: tensorboardX is not installed; the sentence says how to get it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, tensorboard(Path(folder)) as write:
    ...     write([{"training": "lstm", "step": 0, "loss": np.array([0.5, 0.25])}])
    ...     [path.parent.name for path in Path(folder).rglob("*tfevents*")]
    ['lstm']
    """
    require("tensorboardX", "track")
    records = require("tensorboardX.record_writer", "track")
    proto = require("tensorboardX.proto.event_pb2", "track")
    writers: dict[str, Any] = {}

    def opened(name: str, step: int) -> Any:
        if name not in writers:
            place = folder / "tensorboard" / name
            place.mkdir(parents=True, exist_ok=True)
            writers[name] = records.RecordWriter(str(place / f"events.out.tfevents.{time.time_ns():020d}.recurrax"))
            _write(writers[name], proto.Event(wall_time=time.time(), file_version="brain.Event:2"))
            # This makes TensorBoard forget what an earlier file says of this step and those after it.
            start = proto.SessionLog(status=proto.SessionLog.START)
            _write(writers[name], proto.Event(wall_time=time.time(), step=step, session_log=start))
        return writers[name]

    def write(lines: Sequence[Mapping[str, Any]]) -> None:
        told = set()
        for line in lines:
            if "step" in line:
                name, step = _run_name(line), int(line["step"])
                event = proto.Event(wall_time=time.time(), step=step)
                for tag, value in _scalars(line):
                    event.summary.value.add(tag=tag, simple_value=value)
                _write(opened(name, step), event)
                told.add(name)
        for name in told:
            writers[name].flush()

    try:
        yield write
    finally:
        for writer in writers.values():
            writer.close()


def _write(writer: Any, event: Any) -> None:
    writer.write(event.SerializeToString())


def _run_name(line: Mapping[str, Any]) -> str:
    """The texts of a line as the name of a folder."""
    texts = [re.sub(r"[^A-Za-z0-9_-]", "_", value) for value in line.values() if isinstance(value, str)]
    return "-".join(texts)[:100] or "metrics"


def _scalars(line: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Each number of a line by its name, and by its row where there are several."""
    for name, value in line.items():
        if name == "step" or isinstance(value, str) or value is None:
            continue
        numbers = np.asarray(value, float)
        for row, number in enumerate(numbers.ravel()):
            yield name if numbers.ndim == 0 else f"{name}/{row}", float(number)
