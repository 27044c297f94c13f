"""Every cell, of the library and of the zoo, by Pallas kernels: `python tests/long/pallas.py --out docs/pallas.json`,
and with `--gpu --out docs/pallas_on_gpu.json` those for NVIDIA's GPUs.

For each cell and option of the scan, in float64: value and every gradient of the interpreted kernels against the
reference (1e-12 of the largest entry), and NaN in the padding. Records also which cells are refused, and why: by the
scan, and by Pallas when it is asked to lower the kernels for a TPU or an H100. Prints one line for each cell, goes on
where an earlier record stopped, and exits with 1 if any differed. About ten seconds for each cell on two cores.
"""

import argparse
import dataclasses
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import jax
import jax.numpy as jnp

TESTS = Path(__file__).resolve().parents[1]
# In place of this folder, where a file is called like one of the tests' packages.
sys.path[:] = [str(TESTS), *(entry for entry in sys.path if entry != str(TESTS / "long"))]

import zoo  # noqa: E402  (beside the tests' other helpers)
from cells import variants  # noqa: E402
from long.compile_for_devices import as_if_on  # noqa: E402
from long.record import Record, as_users_run, sentence_of  # noqa: E402
from zoo.trials import OPTIONS, difference_to_reference, draw_trial  # noqa: E402

from recurrax.kernels import pallas  # noqa: E402
from recurrax.kernels.arguments import Arguments, check_step  # noqa: E402
from recurrax.kernels.padding import Rows  # noqa: E402

COMMANDS = {
    "TPU": "python tests/long/pallas.py --out docs/pallas.json",
    "GPU": "python tests/long/pallas.py --gpu --out docs/pallas_on_gpu.json",
}
TRIED = {"TPU": ("plain", "all rows", "two batch axes", "chunk"), "GPU": ("all rows",)}
"""For a GPU that which the kernels themselves do otherwise."""


def refusals(cell, device="TPU"):
    """Why the scan, and why the compiler for a device, cannot run a cell; each None if it can.

    For a GPU the cell has 4 units: arrays of 3 it takes none of.
    """
    cell = dataclasses.replace(cell, hidden_size=4) if device == "GPU" else cell
    trial = draw_trial(cell)
    given = Arguments(cell, *jax.tree.map(jnp.asarray, (trial.params, trial.xs, trial.carry, trial.carry)), *_ROWS)
    given = check_step(given)
    if reason := pallas.supports(given):
        return reason, None
    with jax.enable_x64(False):
        narrow = [jax.tree.map(_narrow, tree) for tree in given[1:5]]
        return None, pallas.refused_by_compiler(Arguments(cell, *narrow, *_ROWS))


_ROWS = (Rows(None, None), (5,), False, 1)


def _narrow(leaf):
    return leaf.astype(jnp.float32) if leaf.dtype == jnp.float64 else leaf


def differs(cell, option):
    """Where the kernels differ from the reference under one option, or None."""
    trial = draw_trial(cell, option.batch_shape)._replace(**option.rows)
    return difference_to_reference(cell, trial, compiled=True, implementation="pallas", **option.how)


def run(out=None, device="TPU"):
    """Runs all of it, and returns whether nothing differed."""
    record, lowered = Record(COMMANDS[device], out), f"for {device}"
    record.content |= {"refused": record.before.get("refused", {}), lowered: record.before.get(lowered, {})}
    for cell in (*variants.ALL, *zoo.ALL):
        if repr(cell) in record.done:
            continue
        begun = time.monotonic()
        try:
            reason, compiler = refusals(cell, device)
        except Exception as error:  # a failure of any kind is what is looked for
            reason, compiler = None, f"{type(error).__name__}: {error}".splitlines()[0]
        if reason or compiler:
            record.content["refused" if reason else lowered][repr(cell)] = reason or compiler
        said = {} if reason else {name: sentence_of(differs, cell, OPTIONS[name]) for name in TRIED[device]}
        record.add(repr(cell), len(said), {name: sentence for name, sentence in said.items() if sentence})
        jax.clear_caches()  # programs of a cell are of no use to the next
        told = reason or record.line()
        print(f"{cell!r:.50}: {time.monotonic() - begun:.0f} s; {told}; {lowered}: {compiler}", flush=True)
    return not record.failures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="file of the record")
    parser.add_argument("--gpu", action="store_true", help="the kernels for NVIDIA's GPUs")
    flags = parser.parse_args()
    as_users_run()
    with as_if_on("NVIDIA H100") if flags.gpu else nullcontext():
        sys.exit(0 if run(flags.out, "GPU" if flags.gpu else "TPU") else 1)
