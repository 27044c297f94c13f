"""Every cell of the zoo under every option, first and second order: `python tests/long/zoo.py --out docs/zoo.json`.

For each cell and option, in float64: value and every gradient of the fused scan against the reference (1e-12 of the
largest entry), one Hessian-vector product (1e-10), and NaN in the padding. Prints one line for each cell, records the
count after each with `--out`, and exits with 1 if any differed. Goes on where an earlier record of the same cells
stopped. About an hour on two cores; the suite runs a fifth of it.
"""

import argparse
import sys
import time
from pathlib import Path

import jax

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

import zoo  # noqa: E402  (beside the tests' other helpers)
from long.record import Record, as_users_run, sentence_of  # noqa: E402
from zoo.trials import OPTIONS, found, found_twice  # noqa: E402

COMMAND = "python tests/long/zoo.py --out docs/zoo.json"


def differences(cell):
    """A sentence for each option under which a cell differs from the reference, by the name of the option."""
    said = {}
    for name, option in OPTIONS.items():
        for order, compare in (("first order", found), ("second order", found_twice)):
            if sentence := sentence_of(compare, cell, option):
                said[f"{name}, {order}"] = sentence
    return said


def run(out=None, cells=zoo.ALL):
    """Runs all of it, and returns whether nothing differed."""
    record = Record(COMMAND, out)
    for cell in cells:
        if repr(cell) in record.done:
            continue
        begun = time.monotonic()
        record.add(repr(cell), 2 * len(OPTIONS), differences(cell))
        jax.clear_caches()  # programs of a cell are of no use to the next
        print(f"{cell!r}: {time.monotonic() - begun:.0f} s; {record.line()}", flush=True)
    return not record.failures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="file of the record")
    flags = parser.parse_args()
    as_users_run()
    sys.exit(0 if run(flags.out) else 1)
