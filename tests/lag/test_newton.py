"""What the report on Newton's method says of networks whose answer is known."""

import jax
import jax.numpy as jnp
import pytest

import recurrax
from recurrax import Elman, lag
from recurrax.kernels.newton import LIMITS

pytestmark = pytest.mark.usefixtures("quick_compile")
CELL, STEPS = Elman(8), 80
XS = jax.random.normal(jax.random.key(1), (STEPS, 2))


def network(gain):
    params = CELL.init(jax.random.key(0), 2)
    return params._replace(recurrent_kernel=gain * params.recurrent_kernel)


def test_without_recurrence_the_first_iteration_is_the_answer():
    """The others find nothing left but rounding."""
    report = recurrax.newton_report(CELL, network(0.0), XS)
    for run, size in zip(report[:3], (8, 1, 1), strict=True):
        assert run.iterations <= 3
        assert run.residual < 1e-6
        assert run.converged
        assert run.jacobian_bytes == 4 * STEPS * 8 * size


def test_what_does_not_converge():
    report = recurrax.newton_report(CELL, network(6.0), XS)
    assert report.exponent == lag.lyapunov_spectrum(CELL, network(6.0), XS, exponents=1).exponents[0]
    for run, limit in zip(report[:3], LIMITS.values(), strict=True):
        assert run.iterations <= limit
        assert not run.converged
        assert not run.residual < 1e-4


def test_who_is_refused():
    cell = recurrax.Dropout(CELL, rate=0.5)
    with pytest.raises(ValueError, match=r"^xs: expected one sequence"):
        recurrax.newton_report(CELL, network(1.0), XS[:, None])
    with pytest.raises(ValueError, match=r"^cell: Dropout cannot be walked by Newton's method, since carry.* is "):
        recurrax.newton_report(cell, cell.init(jax.random.key(0), 2), jnp.asarray(XS))
