"""Kills, doubles and damages a saving run, many times: `python tests/long/survival.py`.

| trial | times | expected |
|---|---|---|
| kill -9 at a random moment, then the same command again until it finishes | 40 | equal by hash, none unreadable |
| SIGTERM at a random moment, then the same command | 10 | exit 143, equal by hash |
| two runs started on one folder at once | 20 | one finishes, one stops and names it, no mixed file |
| a flipped bit, a zeroed block, a truncation of the newest checkpoint | 100 each | all noticed |

Prints one line per kind of trial and exits with 1 if any fell short. Other numbers of kills, SIGTERMs, doubles and
damages can be given in this order. The suite tries each kind once or a few times.
"""

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from signal import SIGKILL, SIGTERM

from recurrax.train import checkpoint, config_hash, loop

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

import survivor  # noqa: E402  (beside the tests' other helpers)

STEPS = 300


def start(root):
    """Starts the run and waits until it trains."""
    command = [sys.executable, str(TESTS / "survivor.py"), str(root), str(STEPS)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return process, process.stdout.readline()


def finish(root):
    """Runs the command to its end; what it prints last."""
    process, first = start(root)
    rest, errors = process.communicate(timeout=300)
    if process.returncode:
        raise RuntimeError(errors)
    return (first + rest).splitlines()[-1]


def folder(root):
    return next((root / "survival").iterdir())


def wait_for_step(process, root, step):
    """Waits until the run has saved that step, so that random steps are random moments of saving."""
    while process.poll() is None:
        saved = folder(root).glob("checkpoints/step-*")
        if step == 0 or any(int(path.name.split("-")[1]) >= step for path in saved):
            return
        time.sleep(0.002)


def killed(root, expected, generator, number):
    """One run stopped by a signal at a random moment and gone on with; whether all was as it should be."""
    process, _ = start(root)
    wait_for_step(process, root, generator.randrange(STEPS - 100))
    time.sleep(generator.uniform(0, 0.02))
    process.send_signal(number)
    _, errors = process.communicate(timeout=300)
    status = {SIGKILL: -9, SIGTERM: 143}[number]
    told = number == SIGKILL or "to go on: " in errors
    metrics, saved = folder(root) / "metrics.jsonl", folder(root).glob("checkpoints/step-*")
    done = metrics.read_bytes().count(b"\n") if metrics.exists() else 0
    lost = done - max((int(path.name.split("-")[1]) for path in saved), default=0)
    again = finish(root)
    steps = [json.loads(line)["step"] for line in metrics.read_text().splitlines()]
    kept = 0 <= lost <= survivor.training(STEPS).chunk and steps == list(range(STEPS))
    return process.returncode == status and told and kept and again == expected


def doubled(root, expected):
    """Two runs at once: one finishes as if alone, the other names it or, coming late, prints its result."""
    both = [start(root)[0] for _ in range(2)]
    ended = [(process.communicate(timeout=300), process.returncode) for process in both]
    refused = [errors for (_, errors), status in ended if status]
    finished = [status for _, status in ended if status == 0]
    named = all("already under way in" in errors for errors in refused)
    return len(finished) >= 1 and named and finish(root) == expected


def damaged(root, generator, times):
    """How many of `times` flips, zeroed blocks and truncations of the newest checkpoint were noticed."""
    path = max((folder(root) / "checkpoints").iterdir())
    whole, noticed, config = path.read_bytes(), 0, config_hash({"steps": STEPS})
    training = survivor.training(STEPS)

    def restored():
        return checkpoint.restore(
            path.parent, config, lambda header: loop.fitted_like(training, header["step"], header["probed"])
        )

    for _ in range(times):
        place = generator.randrange(len(whole) - 64)
        flipped = bytearray(whole)
        flipped[place] ^= 1 << generator.randrange(8)
        zeroed = bytearray(whole)
        while bytes(zeroed) == whole:
            place = generator.randrange(len(whole) - 64)
            zeroed[place : place + 64] = bytes(64)
        for content in (bytes(flipped), bytes(zeroed), whole[: generator.randrange(len(whole))]):
            path.write_bytes(content)
            found = restored()
            noticed += found is not None and found.damaged == (path.name,)
    path.write_bytes(whole)
    return noticed


def survive(kills, terminations, doubles, damages, seed=0):
    """Runs all trials, saying for each kind how many went as expected; whether all did."""
    generator = random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        roots = (Path(place) / str(number) for number in range(10**6))
        whole = next(roots)
        expected = finish(whole)
        kinds = {
            "damages noticed": (3 * damages, lambda: damaged(whole, generator, damages)),
            "kill -9": (kills, lambda: sum(killed(next(roots), expected, generator, SIGKILL) for _ in range(kills))),
            "SIGTERM": (
                terminations,
                lambda: sum(killed(next(roots), expected, generator, SIGTERM) for _ in range(terminations)),
            ),
            "two at once": (doubles, lambda: sum(doubled(next(roots), expected) for _ in range(doubles))),
        }
        short = 0
        for kind, (tried, count) in kinds.items():
            good = count()
            print(f"{kind}: {good} of {tried} as expected", flush=True)
            short += tried - good
    return short == 0


if __name__ == "__main__":
    counts = [int(count) for count in sys.argv[1:]] or [40, 10, 20, 100]
    sys.exit(0 if survive(*counts) else 1)
