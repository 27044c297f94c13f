"""Whether Newton's method walks a cell's time in parallel, and what it costs: one run for each kind of Jacobian."""

from functools import partial
from typing import Any, NamedTuple

import jax

from recurrax import code
from recurrax.kernels import all_steps, newton
from recurrax.kernels.arguments import Arguments, carries, check_step
from recurrax.kernels.newton import Kind
from recurrax.kernels.padding import Rows
from recurrax.lag import arguments
from recurrax.lag.layers import takes_layers
from recurrax.lag.lyapunov import lyapunov_spectrum
from recurrax.typing import Array, Carry, Cell, Params


class NewtonRun(NamedTuple):
    """One run from the entering carry at every step on.

    iterations: how many, at most `recurrax.kernels.newton.LIMITS` of its kind.
    residual: max_t |s_t - F_t(s_tm1)| as a share of the largest entries of its leaf; NaN where the states overflowed.
    converged: whether the residual is rounding; `recurrax.scan` walks step by step where it is not.
    jacobian_bytes: memory of the Jacobians of all steps.
    """

    iterations: int
    residual: float
    converged: bool
    jacobian_bytes: int


class NewtonReport(NamedTuple):
    """A run for each kind of Jacobian, and the largest Lyapunov exponent, in nats per step, with its standard error."""

    full: NewtonRun
    block: NewtonRun
    diagonal: NewtonRun
    exponent: float
    standard_error: float


@takes_layers
def newton_report(cell: Cell, params: Params, xs: Any, carry: Carry | None = None) -> NewtonReport:
    """Tries `implementation="newton"` of `recurrax.scan` on one sequence, with whole Jacobians, blocks and diagonals.

    d_t = J_t d_tm1 + (F_t(s_tm1) - s_t),    s_t <- s_t + d_t,    J_t = ∂F_t/∂s_tm1

    J_t is whole, (N, N) for a carry of N numbers; its blocks, (P, P) for each unit of a carry of P equal parts, (h, c)
    of an LSTM; or its diagonal. Where the largest Lyapunov exponent is well below 0 every kind converges. Nearer to 0
    the exponent alone does not tell: transients grow before they decay.

    Args:
        cell: any cell of the contract with a floating or complex carry, or a layer of Flax, see `recurrax.lag`.
        params: its parameters, finite.
        xs: (T, D), one input sequence without padding and T >= 3, or any tree of arrays (T, ...) that the cell reads.
        carry: the carry before the first step; the cell's initial carry if None.

    Raises:
        ValueError: xs has batch axes, or the cell cannot be walked so; the sentence says why.

    References: Lim et al. (2024) for whole Jacobians; Gonzalez et al. (2024) for diagonals, (2025) for the exponent.

    >>> import recurrax
    >>> cell = recurrax.LSTM(4)
    >>> params = cell.init(jax.random.key(0), input_size=2)
    >>> report = recurrax.newton_report(cell, params, jax.random.normal(jax.random.key(1), (100, 2)))
    >>> report.full.converged, report.full.iterations < report.diagonal.iterations, report.exponent < 0
    (True, True, True)
    >>> report.full.jacobian_bytes, report.block.jacobian_bytes  # 100 steps of (8, 8) and of four (2, 2), in float32
    (25600, 6400)
    """
    spectrum = lyapunov_spectrum(cell, params, xs, carry, exponents=1)
    start, _ = arguments.check(cell, params, xs, carry)
    refused = newton.supports(check_step(_given(cell, params, xs, start)))
    if refused is not None:
        raise ValueError(f"cell: {type(cell).__name__} cannot be walked by Newton's method, since {refused}")
    runs: dict[Kind, NewtonRun] = {}
    for kind in newton.LIMITS:
        iterations, residual = _run(cell, params, xs, start, kind=kind)
        held = jax.eval_shape(partial(_jacobians, cell, kind=kind), params, xs, start)
        converged = bool(residual <= newton.accepted(start))
        runs[kind] = NewtonRun(int(iterations), float(residual), converged, held.size * held.dtype.itemsize)
    return NewtonReport(**runs, exponent=float(spectrum.exponents[0]), standard_error=float(spectrum.standard_error[0]))


def _given(cell: Cell, params: Params, xs: Any, carry: Carry) -> Arguments:
    _, initial = carries(cell, params, xs, (), carry)
    return Arguments(cell, params, xs, carry, initial, Rows(None, None), (), reverse=False, unroll=1)


@partial(code.jit, static_argnames="kind")
def _run(cell: Cell, params: Params, xs: Any, carry: Carry, *, kind: Kind) -> tuple[Array, Array]:
    found = newton.trajectory(*newton.of_arguments(_given(cell, params, xs, carry), kind))
    return found.iterations, found.error


def _jacobians(cell: Cell, params: Params, xs: Any, carry: Carry, *, kind: Kind) -> Array:
    problem, operands = newton.of_arguments(_given(cell, params, xs, carry), kind)
    return all_steps.jacobians(problem, operands, all_steps.start(operands))
