"""How right and how fast is every implementation on this machine's accelerator, and do gradients decay there alike?

Command: `make accelerator`, nine minutes at most on one GPU. Needs JAX for that device, Flax, Optax, rich and jinja2;
PyTorch and matplotlib take part where they are installed. It installs nothing and asks nothing of a network.
`--toy` tries all of it in small on any machine.

Measured, each part in a process of its own and cut off where its seconds are over: the machine's own limits; every
implementation against the reference; training steps and forward passes of all implementations, Flax, PyTorch and
cuDNN in interleaved rounds; the projection ahead of the loop and inside it; gradients by lag, here and on the CPU; what
products in TF32 do to their rate. Results go to docs/accelerator.json, .md, .png and .svg while they are measured.

Expected: every law holds; cuDNN's LSTM is the contender to meet.
"""

import argparse
import contextlib
import itertools
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import accelerator_laws
import accelerator_page
import accelerator_rows
import accelerator_speed
import jax
from accelerator_rows import Row, Sizes, outcome

from recurrax import files

DOCS = Path(__file__).parents[1] / "docs"
GRACE = 14
"""Seconds beyond its own after which the process of a part is ended, for its start and for what it is at."""


class Budget(NamedTuple):
    """A part, and the seconds after which it begins nothing new."""

    part: accelerator_rows.Part
    seconds: int


PARTS = {
    "environment": Budget(accelerator_speed.environment, 20),
    "laws": Budget(accelerator_laws.laws, 75),
    "speed": Budget(accelerator_speed.speed, 240),
    "projection": Budget(accelerator_speed.projection, 45),
    "decay": Budget(accelerator_laws.decay, 35),
    "tf32": Budget(accelerator_laws.tf32, 25),
}
"""What settles most comes first. With `GRACE` for each it is less than nine minutes."""


def measure(parts: Sequence[str], sizes: Sizes, into: Path) -> None:
    """Appends a line to a file for every row measured; the process of its own that runs this may end at any moment."""
    for name in parts:
        end = time.monotonic() + PARTS[name].seconds
        places = PARTS[name].part(sizes)
        for _, group in itertools.groupby(places, lambda of: (of[0].get("shape"), of[0].get("cell"))):
            if sizes.limited and time.monotonic() > end:
                break
            for place, of in group:
                files.append_lines(into, [{"part": name} | outcome(place, of)])


def started(parts: Sequence[str], toy: bool, into: Path) -> subprocess.Popen[bytes]:
    """That process: it leaves memory of the device to others, and has the CPU beside it."""
    asked = os.environ.get("JAX_PLATFORMS")
    platforms = {"JAX_PLATFORMS": ",".join(dict.fromkeys([*asked.split(","), "cpu"]))} if asked else {}
    environment = os.environ | platforms | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    command = [sys.executable, str(Path(__file__)), "--into", str(into), "--parts", *parts, *["--toy"] * toy]
    return subprocess.Popen(command, env=environment)


@contextlib.contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Leaves no process behind, however this one ends."""
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def why(process: subprocess.Popen[bytes]) -> str:
    """Why places are without a row, once the process has ended; None stands for one that had to be ended."""
    if process.returncode is None:
        return "the part was ended, its seconds being over"
    return "the part's seconds were over" if process.returncode == 0 else f"the part ended with {process.returncode}"


def complete(parts: Sequence[str], sizes: Sizes, found: Sequence[Row], left_out: str) -> dict[str, list[Row]]:
    """The rows of every place that is planned, in that order."""

    def key(row: Mapping[str, Any]) -> tuple[Any, ...]:
        names = ("part", "limit", "shape", "cell", "dtype", "pass", "contender", "rows", "implementation")
        return tuple(str(row.get(name)) for name in (*names, "projection", "precision"))

    rows = {key(row): row for row in found}
    planned = {name: [place for place, _ in PARTS[name].part(sizes)] for name in parts}
    return {
        name: [
            {field: value for field, value in rows.get(key({"part": name} | place), {}).items() if field != "part"}
            or place | {"left_out": left_out}
            for place in places
        ]
        for name, places in planned.items()
    }


def save(folder: Path, record: dict[str, Any]) -> None:
    """The record and its page, each whole."""
    files.save_json(folder / "accelerator.json", record)
    text = accelerator_page.page(record)
    files.write_whole(folder / "accelerator.md", lambda file: file.write(text.encode()))


def run(parts: Sequence[str], toy: bool, folder: Path) -> int:
    """All parts, one after another; a toy's in one process. Gives the exit status."""
    sizes, record = accelerator_rows.TOY if toy else Sizes(), {}
    with tempfile.TemporaryDirectory() as scratch:
        for together in [parts] if toy else [[name] for name in parts]:
            lines, seen = Path(scratch) / f"{together[0]}.jsonl", -1
            limit = sum(PARTS[name].seconds for name in together) + GRACE if sizes.limited else math.inf
            end = time.monotonic() + limit
            with ended(started(together, toy, lines)) as process:
                while process.poll() is None and time.monotonic() < end:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(1)
                    size = lines.stat().st_size if lines.exists() else -1
                    if size > seen:
                        seen = size
                        found = complete(together, sizes, files.load_lines(lines), "not yet measured")
                        record = merged(record, found, toy)
                        save(folder, record)
                left_out = why(process)
            if process.returncode == 2:  # it has said why
                return 2
            found = complete(together, sizes, files.load_lines(lines), left_out)
            record = merged(record, found, toy)
            save(folder, record)
            print("\n".join(accelerator_page.tables(found)), flush=True)
    accelerator_page.draw(record, folder)
    return status(record)


def status(record: Mapping[str, Any]) -> int:
    """1 where something was raised or a law is broken, or where a toy, which has all the time, left something out."""
    rows = itertools.chain(*record["parts"].values())
    wrong = {"raised", "left_out"} if record["toy"] else {"raised"}
    return int(any(wrong & row.keys() or row.get("holds") is False for row in rows))


def merged(record: dict[str, Any], found: dict[str, list[Row]], toy: bool) -> dict[str, Any]:
    """The record with the rows of parts, each without what all rows of a part share: the machine."""
    about = [row.pop("environment") for row in found.get("environment", ()) if "environment" in row]
    return {
        "command": "make accelerator",
        "toy": toy,
        "date": datetime.now(UTC).date().isoformat(),
        "environment": about[0] if about else record.get("environment"),
        "parts": record.get("parts", {}) | found,
    }


def main(arguments: Sequence[str]) -> int:
    """The command; unknown flags end it with status 2."""
    parser = argparse.ArgumentParser("accelerator", description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--toy", action="store_true", help="tiny sizes, for any machine; its record stays out of docs/")
    parser.add_argument("--out", type=Path, help="folder of the record: docs, or build/accelerator of a toy")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="which to measure")
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.into is not None:
        if not asked.toy and jax.default_backend() == "cpu":
            print("accelerator: JAX sees no accelerator here; --toy tries the command on a CPU", file=sys.stderr)
            return 2
        measure(asked.parts, accelerator_rows.TOY if asked.toy else Sizes(), asked.into)
        return 0
    folder = asked.out or (DOCS.parent / "build" / "accelerator" if asked.toy else DOCS)
    if asked.toy and folder.resolve() == DOCS.resolve():
        parser.error("--out: a toy's record is none for docs/")
    folder.mkdir(parents=True, exist_ok=True)
    return run(asked.parts, asked.toy, folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
