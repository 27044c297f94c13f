"""The truth: plain `jax.lax.scan` over `cell.step`, differentiated by JAX, in forward mode and reverse mode alike."""

from typing import Any

import jax

from recurrax.kernels.arguments import Arguments
from recurrax.kernels.padding import Rows, entering_carry, leaving_carry, leaving_output
from recurrax.typing import Array, Carry


def supports(given: Arguments) -> str | None:
    """None: it runs everything."""
    return None


def scan(given: Arguments) -> tuple[Array, Carry]:
    """Outputs (T, *batch, ...) and the last carry, by one `cell.step` per step of time."""

    def body(carry: Carry, at_t: tuple[Any, Rows]) -> tuple[Carry, Array]:
        x, rows_t = at_t
        entering = entering_carry(rows_t.reset, given.initial, carry)
        stepped, y = given.cell.step(given.params, entering, x)
        return leaving_carry(rows_t.valid, stepped, entering), leaving_output(rows_t.valid, y)

    over = (given.xs, given.rows)
    carry, ys = jax.lax.scan(body, given.carry, over, reverse=given.reverse, unroll=given.unroll)
    return ys, carry
