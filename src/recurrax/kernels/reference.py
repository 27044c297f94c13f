"""The truth: plain `jax.lax.scan` over `cell.step`, differentiated by JAX, in forward mode and reverse mode alike."""

import jax

from recurrax.kernels.padding import Rows, entering_carry, leaving_carry, leaving_output
from recurrax.typing import Array, Carry, Cell, Params


def scan(
    cell: Cell, params: Params, xs: Array, carry: Carry, initial: Carry, rows: Rows, reverse: bool, unroll: int
) -> tuple[Array, Carry]:
    """Outputs (T, *batch, H) and the last carry, by one `cell.step` per step of time."""

    def body(carry: Carry, at_t: tuple[Array, Rows]) -> tuple[Carry, Array]:
        x, rows_t = at_t
        entering = entering_carry(rows_t.reset, initial, carry)
        stepped, y = cell.step(params, entering, x)
        return leaving_carry(rows_t.valid, stepped, entering), leaving_output(rows_t.valid, y)

    carry, ys = jax.lax.scan(body, carry, (xs, rows), reverse=reverse, unroll=unroll)
    return ys, carry
