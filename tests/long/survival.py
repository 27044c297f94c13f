"""Kills, doubles, damages and starves runs, many times: `python tests/long/survival.py --out docs/survival.json`.

| trial | times | expected |
|---|---|---|
| a flipped bit, a zeroed block, a truncation of the newest checkpoint | 100 each | all noticed |
| the disk full at a random moment (RLIMIT_FSIZE), then the same command with room again | 10 | every checkpoint whole |
| kill -9 at a random moment, then the same command again until it finishes | 40 | none unreadable |
| SIGTERM at a random moment, then the same command | 10 | exit 143 |
| two runs started on one folder at once | 20 | one finishes, one stops and names it, no mixed file |
| kill -9 of experiments/gradient_decay.py inside its trainings, then the same command | 3 | same arrays and states |
| kill -9 of a setting's program in a sweep | 4 | every setting finishes |

Every run that was cut has lost at most the steps between two checkpoints, and ends with the parameters and measurements
of the one that was not, by SHA-256. Prints one line per kind of trial, records them with `--out`, and exits with 1 if
any fell short. `--counts` takes other numbers, in this order. The suite tries each kind once or a few times.
"""

import argparse
import csv
import hashlib
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from signal import SIGKILL, SIGTERM

from recurrax.files import save_json
from recurrax.runs import checkpoint, config_hash
from recurrax.runs.environment import environment
from recurrax.train import loop

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

import survivor  # noqa: E402  (beside the tests' other helpers)

STEPS = 300
COUNTS = {
    "damages noticed (flips, zeroed blocks, truncations)": 100,
    "disk full": 10,
    "kill -9": 40,
    "SIGTERM": 10,
    "two at once": 20,
    "kill -9 inside gradient_decay": 3,
    "kill -9 of a sweep's worker": 4,
}
LIMIT = 1800
"""Seconds that one process may take on a busy machine."""
EXPERIMENT = [str(TESTS.parent / "experiments" / "gradient_decay.py"), "--tasks", "adding"]
EXPERIMENT += [f"--{name}=2" for name in ("seeds", "rows")] + ["--train-seeds=1", "--lags=16", "--steps=200"]
EXPERIMENT += ["--hidden-size=8", "--train-hidden-size=8", "--train-length=10", "--batch-size=4", "--probes=3"]


def start(root):
    """Starts the run and waits until it trains."""
    command = [sys.executable, str(TESTS / "survivor.py"), str(root), str(STEPS)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return process, process.stdout.readline()


def finish(root):
    """Runs the command to its end; what it prints last."""
    process, first = start(root)
    rest, errors = process.communicate(timeout=LIMIT)
    if process.returncode:
        raise RuntimeError(errors)
    return (first + rest).splitlines()[-1]


def folder(root):
    return next((root / "survival").iterdir())


def saved(path):
    """Checkpoints of one training, by step."""
    return {int(file.name.split("-")[1]): file for file in path.glob("checkpoints/step-*")}


def whole(file):
    return file.name.endswith(f"-{hashlib.sha256(file.read_bytes()).hexdigest()}.npz")


def wait_for_step(process, root, step):
    """Waits until the run has saved that step, so that random steps are random moments of saving."""
    while process.poll() is None:
        if step == 0 or any(number >= step for number in saved(folder(root))):
            return
        time.sleep(0.002)


def goes_on(root, expected):
    """Whether the cut run lost at most what one chunk did, and the same command ends as the uncut run did."""
    metrics, steps = folder(root) / "metrics.jsonl", saved(folder(root))
    done = metrics.read_bytes().count(b"\n") if metrics.exists() else 0
    lost = done - max(steps, default=0)
    again = finish(root)
    lines = [json.loads(line)["step"] for line in metrics.read_text().splitlines()]
    return 0 <= lost <= survivor.training(STEPS).chunk and lines == list(range(STEPS)) and again == expected


def killed(root, expected, generator, number):
    """One run stopped by a signal at a random moment and gone on with; whether all was as it should be."""
    process, _ = start(root)
    wait_for_step(process, root, generator.randrange(STEPS - 100))
    time.sleep(generator.uniform(0, 0.02))
    process.send_signal(number)
    _, errors = process.communicate(timeout=LIMIT)
    told = number == SIGKILL or "to go on: " in errors
    return process.returncode == {SIGKILL: -9, SIGTERM: 143}[number] and told and goes_on(root, expected)


def filled(root, expected, generator):
    """One run that from a random moment on can make no file as large as its newest checkpoint."""
    process, _ = start(root)
    wait_for_step(process, root, generator.randrange(1, STEPS - 100))
    newest = max(saved(folder(root)).items())[1]
    size = newest.stat().st_size if newest.exists() else 8000
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, size))
    _, errors = process.communicate(timeout=LIMIT)
    left = list((folder(root) / "checkpoints").iterdir())
    intact = len(left) > 0 and all(whole(file) for file in left)
    return process.returncode == 1 and "OSError" in errors and intact and goes_on(root, expected)


def doubled(root, expected):
    """Two runs at once: one finishes as if alone, the other names it or, coming late, prints its result."""
    both = [start(root)[0] for _ in range(2)]
    ended = [(process.communicate(timeout=LIMIT), process.returncode) for process in both]
    refused = [errors for (_, errors), status in ended if status]
    finished = [status for _, status in ended if status == 0]
    named = all("already under way in" in errors for errors in refused)
    steps = [json.loads(line)["step"] for line in (folder(root) / "metrics.jsonl").read_text().splitlines()]
    return len(finished) >= 1 and named and steps == list(range(STEPS)) and finish(root) == expected


def damaged(root, generator, times):
    """How many of `times` flips, zeroed blocks and truncations of the newest checkpoint were noticed."""
    path = max((folder(root) / "checkpoints").iterdir())
    content, noticed, config = path.read_bytes(), 0, config_hash({"steps": STEPS})
    training = survivor.training(STEPS)

    def restored():
        return checkpoint.restore(
            path.parent, config, lambda header: loop.fitted_like(training, header["step"], header["probed"])
        )

    for _ in range(times):
        place = generator.randrange(len(content) - 64)
        flipped = bytearray(content)
        flipped[place] ^= 1 << generator.randrange(8)
        zeroed = bytearray(content)
        while bytes(zeroed) == content:
            place = generator.randrange(len(content) - 64)
            zeroed[place : place + 64] = bytes(64)
        for wrong in (bytes(flipped), bytes(zeroed), content[: generator.randrange(len(content))]):
            path.write_bytes(wrong)
            found = restored()
            noticed += found is not None and found.damaged == (path.name,)
    path.write_bytes(content)
    return noticed


def measure(root):
    """Starts the small experiment in a folder of its own."""
    command = [sys.executable, *EXPERIMENT, f"--out={root}"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def measured(root):
    """Hashes of the experiment's arrays and of every training's last checkpoint."""
    if measure(root).wait(LIMIT):
        raise RuntimeError("the experiment failed")
    (run,) = (root / "gradient_decay").iterdir()
    names = [(path.parent.name, max(saved(path.parent).items())[1].name) for path in run.glob("*/checkpoints")]
    return hashlib.sha256((run / "arrays.npz").read_bytes()).hexdigest(), sorted(names)


def killed_inside(root, expected, generator):
    """The experiment killed at a random moment of its trainings and gone on with."""
    process, target = measure(root), generator.randrange(1, 6 * 200)
    end = time.monotonic() + LIMIT
    while process.poll() is None and time.monotonic() < end:
        trainings = [saved(path) for path in root.glob("gradient_decay/*/*/")]
        if sum(max(steps, default=0) for steps in trainings) >= target:
            break
        time.sleep(0.01)
    process.kill()
    return process.wait(LIMIT) == -SIGKILL and measured(root) == expected


def swept(root, kills):
    """How many settings finished of those whose program was killed once."""
    steps = ",".join(str(number) for number in range(1, kills + 1))
    command = [sys.executable, "-m", "recurrax", "sweep", str(TESTS / "swept.py"), f"--out={root}"]
    status = subprocess.run([*command, "--grid", "mode=kills", f"steps={steps}"], capture_output=True, timeout=LIMIT)
    (table,) = (root / "sweeps").glob("*/table.csv")
    with open(table, newline="") as file:
        ended = [table.parent / row["folder"] for row in csv.DictReader(file) if row["status"] == "finished"]
    return sum((run / "killed").exists() for run in ended) if status.returncode == 0 else 0


def trials(place, counts, generator):
    """For each kind of trial how many there are, and a function that counts those that went as expected."""
    roots = (place / str(number) for number in range(10**6))
    uncut = next(roots)
    expected = finish(uncut)

    def times(count, trial):
        return count, lambda: sum(trial(next(roots)) for _ in range(count))

    damages, full, kills, terminations, doubles, experiments, workers = counts
    yield 3 * damages, lambda: damaged(uncut, generator, damages)
    yield times(full, lambda root: filled(root, expected, generator))
    yield times(kills, lambda root: killed(root, expected, generator, SIGKILL))
    yield times(terminations, lambda root: killed(root, expected, generator, SIGTERM))
    yield times(doubles, lambda root: doubled(root, expected))
    alone = measured(next(roots)) if experiments else None
    yield times(experiments, lambda root: killed_inside(root, alone, generator))
    yield workers, lambda: swept(next(roots), workers) if workers else 0


def survive(counts, out=None, seed=0):
    """Runs all trials, saying for each kind how many went as expected, and records them; whether all did."""
    surroundings = environment()
    record = {
        "command": "python tests/long/survival.py --out docs/survival.json",
        "date": datetime.now(UTC).date().isoformat(),
        "environment": {name: surroundings[name] for name in ("python", "packages", "system", "devices")},
        "seed": seed,
        "trials": {},
    }
    generator, begun = random.Random(seed), time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        # Each process would otherwise compile the same programs: most of its time.
        os.environ |= {
            "JAX_COMPILATION_CACHE_DIR": str(Path(place) / "compiled"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        for kind, (tried, count) in zip(COUNTS, trials(Path(place), counts, generator), strict=True):
            good = count()
            print(f"{kind}: {good} of {tried} as expected", flush=True)
            record["trials"][kind] = {"tried": tried, "as expected": good}
            record["minutes"] = round((time.monotonic() - begun) / 60, 1)
            if out is not None:
                save_json(out, record)
    return all(of["tried"] == of["as expected"] for of in record["trials"].values())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", type=int, nargs=len(COUNTS), default=list(COUNTS.values()))
    parser.add_argument("--out", type=Path, help="file of the record")
    flags = parser.parse_args()
    sys.exit(0 if survive(flags.counts, flags.out) else 1)
