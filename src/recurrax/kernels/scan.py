"""`recurrax.scan`: one door to every way of walking time."""

from functools import partial
from typing import Generic, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from recurrax.kernels import arguments, chunks, forward_mode, fused, reference
from recurrax.kernels.padding import Rows
from recurrax.typing import Array, Carry, CarryT, Cell, Params, ParamsT

Implementation: TypeAlias = Literal["reference", "fused"]
IMPLEMENTATIONS = {"reference": reference.scan, "fused": fused.scan}


class ScanResult(NamedTuple, Generic[CarryT]):
    """outputs (T, *batch, H); carry, each field (*batch, ...), after the last valid step of each row."""

    outputs: Array
    carry: CarryT


def scan(
    cell: Cell[ParamsT, CarryT],
    params: ParamsT,
    xs: Array,
    carry: CarryT | None = None,
    *,
    lengths: Array | None = None,
    mask: Array | None = None,
    resets: Array | None = None,
    reverse: bool = False,
    unroll: int = 1,
    chunk: int | None = None,
    implementation: Implementation | None = None,
) -> ScanResult[CarryT]:
    """Runs a cell over a sequence: s_t, y_t = cell.step(θ, s_tm1, x_t) for t = 0 .. T-1.

    Padding never matters: inputs at invalid steps are replaced by zeros before anything is computed with them, so inf
    or NaN there changes no output and no gradient.

    Args:
        cell: any cell of the contract (`recurrax.typing.Cell`); static under `jax.jit`.
        params: its parameters.
        xs: (T, *batch, D) inputs, floating, time first, any number of batch axes. T and a batch axis may be 0.
        carry: the carry before the first step, each field (*batch, ...); the cell's initial carry if None, in the
            promoted dtype of xs and params and at least float32. Sums and gates are computed in its dtype, products
            with the parameters in theirs, so bfloat16 parameters run with a float32 carry.
        lengths: (*batch,) ints in 0..T, True steps being those before the length.
        mask: (T, *batch) bools, True = valid. An invalid step passes the carry through and outputs zeros.
        resets: (T, *batch) bools, True = the carry entering this step is the cell's initial carry (not `carry`, so that
            a sequence cut into chunks gives what the whole gives).
        reverse: walk from the last valid step to the first; outputs stay at their own positions.
        unroll: steps per iteration of the compiled loop. 1 is fastest in most shapes measured.
        chunk: bounds the memory of a training step: carries are kept every `chunk` steps and the rest is computed again
            in the backward pass, so that temporaries grow as T/chunk + chunk at the price of a second forward pass.
        implementation: "reference" is plain `lax.scan` differentiated by JAX, in forward mode too; "fused" has a
            backward pass of its own, for which it hoists the projection; None chooses.

    Returns:
        Outputs (T, *batch, H), zeros at invalid steps, and the carry after each row's last valid step; where a row has
        none, the carry it started with.

    Raises:
        ValueError: an argument has the wrong shape, dtype, structure or name; the sentence says which.
        TypeError: forward-mode differentiation of the fused implementation.

    >>> import jax, recurrax
    >>> cell = recurrax.LSTM(4)
    >>> params = cell.init(jax.random.key(0), input_size=3)
    >>> result = recurrax.scan(cell, params, jax.numpy.ones((5, 2, 3)), lengths=jax.numpy.array([5, 2]))
    >>> result.outputs.shape, result.carry.c.shape, float(abs(result.outputs[2:, 1]).max())
    ((5, 2, 4), (2, 4), 0.0)
    """
    if implementation is not None and implementation not in IMPLEMENTATIONS:
        known = ", ".join(IMPLEMENTATIONS)
        raise ValueError(f"implementation: unknown name {implementation!r}; expected None or one of {known}")
    arguments.check_sequence(cell, params, xs)
    batch_shape = xs.shape[1:-1]
    dtype = arguments.carry_dtype(params, xs)
    initial = cell.initial_carry(params, batch_shape, dtype)
    if carry is None:
        carry = initial
    else:
        arguments.check_carry(carry, initial)
        initial = jax.tree.map(lambda leaf, like: leaf.astype(like.dtype), initial, carry)
    rows = arguments.rows(xs, lengths, mask, resets)
    if not isinstance(reverse, bool):
        raise ValueError(f"reverse: expected True or False, got {reverse!r}")
    if not isinstance(unroll, int) or unroll < 1:
        raise ValueError(f"unroll: expected a positive int, got {unroll!r}")
    if chunk is not None and (not isinstance(chunk, int) or chunk < 1):
        raise ValueError(f"chunk: expected a positive int or None, got {chunk!r}")
    with forward_mode.explained():
        return _walk(cell, implementation or "fused", reverse, unroll, chunk, params, xs, carry, initial, rows)


@partial(jax.jit, static_argnums=(0, 1, 2, 3, 4))
def _walk(
    cell: Cell,
    implementation: str,
    reverse: bool,
    unroll: int,
    chunk: int | None,
    params: Params,
    xs: Array,
    carry: Carry,
    initial: Carry,
    rows: Rows,
) -> ScanResult:
    if rows.valid is not None:
        # The padding is zeroed here, not in the results: a `where` on a result lets NaN into the gradient.
        xs = jnp.where(rows.valid[..., None], xs, 0)

    def run(xs: Array, carry: Carry, rows: Rows) -> tuple[Array, Carry]:
        return IMPLEMENTATIONS[implementation](cell, params, xs, carry, initial, rows, reverse, unroll)

    if chunk is None or chunk >= xs.shape[0]:
        ys, last = run(xs, carry, rows)
    else:
        # prevent_cse guards against a merge that cannot happen across the iterations of a loop.
        ys, last = chunks.walk(jax.checkpoint(run, prevent_cse=False), xs, carry, rows, chunk, reverse)
    return ScanResult(outputs=ys, carry=last)
