"""Two thousand cells drawn at random: `python tests/long/random_cells.py --out docs/random_cells.json`.

Expressions are one operation deeper than the suite's. Cells come in batches of twenty, each batch a function of its
number; the record is written after each, and the same command goes on with the next. Prints one line for each batch,
and exits with 1 if the fused scan of any cell differed from the reference. About an hour on two cores.
"""

import argparse
import sys
import time
from pathlib import Path

import jax
from hypothesis import HealthCheck, Phase, given, seed, settings

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

import random_cells  # noqa: E402  (beside the tests' other helpers)
from long.record import Record, as_users_run  # noqa: E402

COMMAND = "python tests/long/random_cells.py --out docs/random_cells.json"
COUNT, TOGETHER = 2000, 20


def differences(number):
    """How many cells of a batch were tried, and what was said about those that differed, by the example's text."""
    said, tried = {}, []

    @seed(number)
    @given(random_cells.examples(depth=3))
    @settings(
        max_examples=TOGETHER, phases=[Phase.generate], deadline=None, database=None, suppress_health_check=HealthCheck
    )
    def compare(example):
        tried.append(example)
        try:
            sentence = random_cells.found(example)
        except Exception as error:  # a failure of any kind is what is looked for
            sentence = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        if sentence:
            said[repr(example)] = sentence

    compare()
    return len(tried), said


def run(out=None, count=COUNT):
    """Tries `count` cells, and returns whether none differed."""
    record = Record(COMMAND, out)
    for number in range(-(-count // TOGETHER)):
        if f"batch {number}" in record.done:
            continue
        begun = time.monotonic()
        record.add(f"batch {number}", *differences(number))
        if number % 10 == 9:
            jax.clear_caches()  # or memory grows with the programs of every cell so far
        print(f"batch {number}: {time.monotonic() - begun:.0f} s; {record.line()}", flush=True)
    return not record.failures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=COUNT, help="cells to try in all")
    parser.add_argument("--out", type=Path, help="file of the record")
    flags = parser.parse_args()
    as_users_run()
    sys.exit(0 if run(flags.out, flags.count) else 1)
