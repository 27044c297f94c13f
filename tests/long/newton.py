"""Every cell of the library walked by Newton's method: `python tests/long/newton.py`, or with names of cells.

In float64 against the reference: value, gradients and a Hessian-vector product under all options at once; prints a line
for each cell and exits with 1 if anything differed.
"""

import sys
from pathlib import Path

import jax
import numpy as np

TESTS = Path(__file__).resolve().parents[1]
# In place of this folder, where a file is called like one of the tests' packages.
sys.path[:] = [str(TESTS), *(entry for entry in sys.path if entry != str(TESTS / "long"))]

from tolerances import SECOND_RTOL  # noqa: E402  (beside the tests' other helpers)
from walks import draw  # noqa: E402
from zoo.trials import OPTIONS, difference_to_reference  # noqa: E402

from recurrax import cells  # noqa: E402
from recurrax.check.trial import difference, second_order  # noqa: E402


def found(cell):
    """Where the two differ, None where they do not."""
    option = OPTIONS["all at once"]
    trial = draw(cell, 4, option.batch_shape, 2, np.float64)._replace(**option.rows)
    if where := difference_to_reference(cell, trial, compiled=True, implementation="newton", **option.how):
        return where
    got, expected = (second_order(cell, trial, implementation=n, **option.how) for n in ("newton", "reference"))
    where = difference(got[1], expected[1], SECOND_RTOL["float64"])
    return where and f"second order: {where}"


def main(names):
    failures = 0
    with jax.enable_x64(True):
        for kind in cells.ALL:
            if not names or kind.__name__ in names:
                where = found(kind(3))
                failures += where is not None
                print(f"{kind.__name__}: {where or 'holds'}", flush=True)
                jax.clear_caches()
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
