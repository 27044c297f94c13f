"""`recurrax.scan`: one door to every way of running a cell over time."""

from functools import partial
from typing import Any, Generic, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from recurrax import code
from recurrax.kernels import (
    arguments,
    associative,
    chunks,
    cudnn,
    forward_mode,
    fused,
    layered,
    meshes,
    newton,
    pallas,
    reference,
)
from recurrax.kernels.arguments import Arguments
from recurrax.kernels.padding import Rows, where_rows
from recurrax.typing import Array, Carry, CarryT, Cell, Params, ParamsT

Implementation: TypeAlias = Literal["reference", "fused", "layered", "associative", "newton", "pallas", "cudnn"]
IMPLEMENTATIONS = {
    "layered": layered,
    "fused": fused,
    "reference": reference,
    "associative": associative,
    "newton": newton,
    "pallas": pallas,
    "cudnn": cudnn,
}
"""In the order in which None tries them."""


class ScanResult(NamedTuple, Generic[CarryT]):
    """outputs (T, *batch, H); carry, each field (*batch, ...), after the last valid step of each row."""

    outputs: Array
    carry: CarryT


def scan(
    cell: Cell[ParamsT, CarryT],
    params: ParamsT,
    xs: Any,
    carry: CarryT | None = None,
    *,
    lengths: Array | None = None,
    mask: Array | None = None,
    resets: Array | None = None,
    reverse: bool = False,
    unroll: int = 1,
    chunk: int | None = None,
    truncate: int | None = None,
    implementation: Implementation | None = None,
) -> ScanResult[CarryT]:
    """Runs a cell over a sequence: s_t, y_t = cell.step(θ, s_tm1, x_t) for t = 0 .. T-1.

    Padding never matters: inputs at invalid steps are replaced by zeros before anything is computed with them, so inf
    or NaN there changes no output and no gradient.

    Args:
        cell: any cell of the contract (`recurrax.typing.Cell`); static under `jax.jit`.
            What its methods read beside it, constants, helpers and modules of yours, may be edited: the next call
            sees it (`recurrax.code`), but for one inside of a `jax.jit` of your own, which keeps what it traced.
        params: its parameters, with the structure and shapes that `cell.init` gives for such inputs.
        xs: (T, *batch, D) floating inputs, or what else the cell reads: any pytree of arrays (T, *batch, ...), integers
            and bools among them. Time comes first, then any number of batch axes. T and a batch axis may be 0.
        carry: the carry before the first step, leaves (*batch, ...); the cell's initial carry if None, in the promoted
            dtype of xs and params and at least float32. Sums and gates are computed in its dtype, products
            with the parameters in theirs, so bfloat16 parameters run with a float32 carry.
        lengths: (*batch,) ints in 0..T, True steps being those before the length.
        mask: (T, *batch) bools, True = valid. An invalid step passes the carry through and outputs zeros.
        resets: (T, *batch) bools, True = the carry entering this step is the cell's initial carry (not `carry`, so that
            a sequence cut into chunks gives what the whole gives); keys of `jax.random.key` in it stay.
        reverse: run from the last valid step to the first; outputs stay at their own positions.
        unroll: steps per iteration of the compiled loop, where there is one. 1 is fastest in most shapes measured.
        chunk: bounds the memory of a training step: carries are kept every `chunk` steps and the rest is computed again
            in the backward pass, so that temporaries grow as T/chunk + chunk at the price of a second forward pass.
        truncate: K of truncated backpropagation through time: xs is cut into windows of K steps from its start, and no
            gradient crosses from one into the carry before it. Values stay. A given carry has the gradient of the
            window that begins with it, the initial one also that of every reset.
        implementation: "reference" is plain `lax.scan` differentiated by JAX, in forward mode too; "fused" has a
            backward pass of its own, made from the traced step; "layered" does that layer by layer, for a cell with
            `layers`, such as `recurrax.Stack`; "associative" walks all steps in parallel, for a cell with
            `coefficients`; "newton" does for any cell with a floating carry, by Newton's method, and step by step where
            that does not converge (see `recurrax.newton_report`; with `chunk`, in stretches of as many steps); "pallas"
            runs the fused loops as kernels for TPU and for NVIDIA's GPUs (there for a power of two of units, of which
            227 KiB hold a gate's matrix), interpreted on CPU; "cudnn" is NVIDIA's LSTM, for a cell with `cudnn`. None
            takes "layered" for a stack and else "fused", but for a step that has effects, such as printing, and never
            one of the others.

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
    xs, steps, batch_shape = arguments.check_sequence(cell, params, xs, carry, (mask, resets))
    arguments.check_params(cell, params, xs)
    params = jax.tree.map(jnp.asarray, params)
    mesh = meshes.explicit_mesh(params, xs, carry)
    if mesh is not None:

        def again(xs: Any, *args: Any) -> ScanResult:
            params, carry, lengths, mask, resets = args
            rows = {"lengths": lengths, "mask": mask, "resets": resets}
            how = {"reverse": reverse, "unroll": unroll, "chunk": chunk}
            how |= {"truncate": truncate, "implementation": implementation}
            return scan(cell, params, xs, carry, **rows, **how)

        return meshes.with_automatic_axes(again, mesh, xs, batch_shape, params, carry, lengths, mask, resets)
    carry, initial = arguments.carries(cell, params, xs, batch_shape, carry)
    rows = arguments.rows(steps, batch_shape, lengths, mask, resets)
    if not isinstance(reverse, bool):
        raise ValueError(f"reverse: expected True or False, got {reverse!r}")
    if not isinstance(unroll, int) or unroll < 1:
        raise ValueError(f"unroll: expected a positive int, got {unroll!r}")
    for name, size in (("chunk", chunk), ("truncate", truncate)):
        if size is not None and (not isinstance(size, int) or size < 1):
            raise ValueError(f"{name}: expected a positive int or None, got {size!r}")
    how = Settings(implementation, batch_shape, reverse, unroll, chunk, truncate)
    with forward_mode.explained():
        return _scan(cell, params, xs, carry, initial, rows, how=how)


class Settings(NamedTuple):
    """What is static under `jax.jit` beside the cell."""

    implementation: Implementation | None
    batch_shape: tuple[int, ...]
    reverse: bool
    unroll: int
    chunk: int | None
    truncate: int | None


@partial(code.jit, static_argnames="how")
def _scan(
    cell: Cell, params: Params, xs: Any, carry: Carry, initial: Carry, rows: Rows, *, how: Settings
) -> ScanResult:
    if rows.valid is not None:
        # The padding is zeroed here, not in the results: a `where` on a result lets NaN into the gradient.
        xs = where_rows(rows.valid, xs, jax.tree.map(jnp.zeros_like, xs))
    given = Arguments(cell, params, xs, carry, initial, rows, how.batch_shape, how.reverse, how.unroll)
    given = arguments.check_step(given)
    implementation = _chosen(how.implementation, given)

    def whole(xs: Any, carry: Carry, rows: Rows) -> tuple[Array, Carry]:
        return implementation.scan(given._replace(xs=xs, carry=carry, rows=rows))

    run: chunks.Run = whole
    steps = jax.tree.leaves(xs)[0].shape[0]
    if how.chunk is not None and how.chunk < steps:
        run = chunks.bounded(run, how.chunk, how.reverse)
    if how.truncate is not None and how.truncate < steps:
        run = chunks.truncated(run, how.truncate, how.reverse)
    ys, last = run(xs, carry, rows)
    return ScanResult(outputs=ys, carry=last)


def _chosen(name: str | None, given: Arguments) -> Any:
    """The module of the implementation of that name, or for None of the first that supports the arguments."""
    if name is None:
        return next(module for module in IMPLEMENTATIONS.values() if module.supports(given) is None)
    reason = IMPLEMENTATIONS[name].supports(given)
    if reason is not None:
        raise ValueError(f"implementation: {name!r} cannot run this, since {reason}")
    return IMPLEMENTATIONS[name]
