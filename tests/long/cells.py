"""Every law on every cell of the library: `python tests/long/cells.py --out docs/cells_laws.json`.

For each cell of `tests/cells/variants.py` and some wrapped ones: `check_cell`; in float64 every option of the scan
against the reference, in first and second order, as `tests/long/zoo.py` does; and for cells that are not wrapped:
bfloat16 parameters; the lag instruments against autodiff; lowering for platforms that are not here; programs of open
sizes, called in another process; memory. Prints one line for each cell, records the count after each with `--out`, goes
on where an earlier record stopped, and exits with 1 if anything failed. About a minute for each cell on two cores; the
suite runs a tenth of it, on every cell, and the rest on `walks.KINDS`. Names on the command line choose cells.
"""

import argparse
import dataclasses
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

TESTS = Path(__file__).resolve().parents[1]
# In place of this folder, where a file is called like one of the tests' packages.
sys.path[:] = [str(TESTS), *(entry for entry in sys.path if entry != str(TESTS / "long"))]

from cells import variants  # noqa: E402  (beside the tests' other helpers)
from kernels import test_gradients, test_lowering, test_zoo  # noqa: E402
from lag import test_adjoint_laws, test_parameter  # noqa: E402
from long.record import Record, as_users_run, sentence_of  # noqa: E402
from long.zoo import differences  # noqa: E402
from train import test_readout  # noqa: E402
from wrappers import test_around_one_cell, test_stack  # noqa: E402
from zoo.trials import OPTIONS  # noqa: E402

import recurrax  # noqa: E402
from recurrax import check_cell  # noqa: E402

COMMAND = "python tests/long/cells.py --out docs/cells_laws.json"


ALL = [*variants.ALL, *test_around_one_cell.AROUND, test_around_one_cell.NESTED, test_stack.STACK]
ALL += [kind(recurrax.LSTM(4), 0.5) for kind in (recurrax.Dropout, recurrax.WeightDrop, recurrax.Zoneout)]


def wide(cell):
    """The same cell with 64 units, for laws about sizes."""
    return dataclasses.replace(cell, hidden_size=64)


def one_key_draws_one_set_of_parameters(cell):
    init = jax.jit(lambda seed: cell.init(jax.random.key(seed), 2, jnp.float32))
    params, same, other = (jax.tree.leaves(init(seed)) for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) and np.all(np.isfinite(a)) for a, b in zip(params, same, strict=True))
    widest = max(range(len(params)), key=lambda i: params[i].size)
    assert not np.array_equal(params[widest], other[widest])


IN_FLOAT32 = {
    "check_cell": lambda cell: check_cell(cell, input_size=2),
    "one key": one_key_draws_one_set_of_parameters,
    "bfloat16": lambda cell: test_gradients.test_bfloat16_parameters_run_with_a_float32_carry(cell, None),
    "lowers, fused": lambda cell: test_lowering.test_forward_and_gradient_lower_for_every_platform(cell, "fused"),
    "called elsewhere": lambda cell: test_lowering.assert_called_elsewhere([cell]),
    "few arrays": lambda cell: test_lowering.test_a_training_step_holds_few_time_sized_arrays(wide(cell)),
    "memory": lambda cell: test_zoo.test_a_training_step_holds_no_more_than_the_references(wide(cell)),
    "no gradient per lag": lambda cell: test_parameter.test_no_lag_has_a_gradient_of_its_own_in_memory(wide(cell)),
    "readout": test_readout.test_is_a_linear_map_of_the_scan,
}
IN_FLOAT64 = {
    "adjoint": lambda cell: test_adjoint_laws.test_equals_autodiff_of_perturbed_states(cell, None),
    "parameter profile": lambda cell: test_parameter.test_the_steps_add_up_to_the_gradient(cell, None),
}


def laws_of(cell):
    """Laws in float32 and in float64; of a wrapper, which has no width of its own, `check_cell` alone."""
    if cell in variants.ALL:
        return IN_FLOAT32, IN_FLOAT64
    return {"check_cell": IN_FLOAT32["check_cell"]}, {}


def broken(cell):
    """A sentence for each law that a cell breaks, by the name of the law."""
    said = differences(cell)
    for laws, wide in zip(laws_of(cell), (False, True), strict=True):
        with jax.enable_x64(wide):
            found = {name: sentence_of(law, cell) for name, law in laws.items()}
        said |= {name: sentence for name, sentence in found.items() if sentence}
    return said


def run(out=None, names=()):
    """Runs all of it, and returns whether every law held."""
    record = Record(COMMAND, out)
    for cell in ALL:
        if repr(cell) in record.done or (names and type(cell).__name__ not in names):
            continue
        begun = time.monotonic()
        record.add(repr(cell), 2 * len(OPTIONS) + sum(map(len, laws_of(cell))), broken(cell))
        jax.clear_caches()  # programs of a cell are of no use to the next
        name = variants.short(cell) if cell in variants.ALL else repr(cell)
        print(f"{name}: {time.monotonic() - begun:.0f} s; {record.line()}", flush=True)
    return not record.failures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="classes of cells; all of them if none is named")
    parser.add_argument("--out", type=Path, help="file of the record")
    flags = parser.parse_args()
    as_users_run()
    sys.exit(0 if run(flags.out, flags.names) else 1)
