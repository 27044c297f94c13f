"""cuDNN's LSTM on an NVIDIA GPU, for a cell that says by `cudnn` that it is one.

`jax.experimental.rnn` wants batch-major inputs (B, T, D), a carry with one more axis in front, and all weights as one
vector: kernel and recurrent kernel, transposed so that each row belongs to a unit of a gate, and two biases, of which
the second is zero here. Rows may end early and do nothing else, so the valid steps of each row are brought to its front
in the order in which they are walked, and outputs back to their places: that serves lengths, masks and both directions
alike. A row without a valid step, which cuDNN refuses, runs for one and keeps its carry.

Second derivatives are those of `rnn.lstm_ref`, JAX's definition of it: `_forward` and `_backward` carry rules of their
own that say so.
"""

import importlib
import math
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import zero_from_primal
from jax.extend.backend import get_backend

from recurrax.kernels import reference
from recurrax.kernels.arguments import Arguments
from recurrax.kernels.forward_mode import reverse_mode_only
from recurrax.kernels.lasting import custom_jvp
from recurrax.kernels.padding import leaving_output
from recurrax.typing import Array, Carry

DTYPE = "float32"
"""The one that `jax.experimental.rnn` has."""
Sizes = tuple[int, int, int, float, bool, jax.lax.Precision]
"""D, H, layers, dropout, whether there are two directions, precision: static, and in the library's order."""
Operands = tuple[Array, Array, Array, Array]
"""x (B, T, D); h and c (1, B, H); weights (N,)."""
Results = tuple[Array, Array, Array]
"""y (B, T, H); h and c (1, B, H)."""


def supports(given: Arguments) -> str | None:
    """Why this implementation cannot run these arguments, or None."""
    return _unlike(given) or _open_or_reset(given) or _elsewhere()


def _unlike(given: Arguments) -> str | None:
    """Where the cell is not cuDNN's LSTM in float32."""
    cell, name = given.cell, type(given.cell).__name__
    if not hasattr(cell, "cudnn"):
        return f"{name} does not say by a method cudnn(params) that it is cuDNN's LSTM"
    weights = getattr(cell, "cudnn")(given.params)  # noqa: B009 (no method of the contract)
    if weights is None:
        return f"{cell!r} is a variant that cuDNN does not have"
    leaves = jax.tree.leaves((given.params, given.xs, given.carry))
    if other := {leaf.dtype.name for leaf in leaves} - {DTYPE}:
        return f"cuDNN's LSTM is in {DTYPE}, and parameters, xs or carry have {', '.join(sorted(other))}"
    size = jax.tree.leaves(given.carry)[-1].shape[-1]
    expected = (given.xs.shape[-1], 4, size), (size, 4, size), (4, size)
    shapes = tuple(jnp.shape(leaf) for leaf in weights)
    if shapes != expected or [leaf.shape for leaf in jax.tree.leaves(given.carry)] != 2 * [(*given.batch_shape, size)]:
        return f"cudnn gives shapes {shapes}; return kernels and a bias of shapes {expected} for a carry (h, c)"
    return None


def _open_or_reset(given: Arguments) -> str | None:
    if given.rows.reset is not None:
        return "resets are given, which cuDNN does not have"
    if given.effects:
        return "a step has effects, which cuDNN's would not have"
    if not all(isinstance(size, int) for size in given.xs.shape):
        return "jax.export leaves a size of xs open, and cuDNN asks for all of them"
    return None


def _elsewhere() -> str | None:
    """Even a trace asks the library for its workspace."""
    if jax.default_backend() != "gpu":
        return f"cuDNN needs an NVIDIA GPU, and JAX runs on {jax.default_backend()} here"
    return None if "cuda" in get_backend().platform_version.lower() else "cuDNN needs a GPU of NVIDIA's"


def scan(given: Arguments) -> tuple[Array, Carry]:
    """Outputs (T, *batch, H) and the last carry."""
    if 0 in given.xs.shape[:-1]:
        return reference.scan(given)
    params, xs, carry = jax.tree.map(reverse_mode_only, (given.params, given.xs, given.carry))
    kernel, recurrent_kernel, bias = given.cell.cudnn(params)  # pyright: ignore[reportAttributeAccessIssue]
    steps, inputs, size, batch = xs.shape[0], xs.shape[-1], bias.shape[-1], math.prod(given.batch_shape)
    by_unit = [matrix.reshape(-1, 4 * size).T for matrix in (kernel, recurrent_kernel)]  # (4H, D), (4H, H)
    weights = jnp.concatenate([leaf.ravel() for leaf in (*by_unit, bias, jnp.zeros_like(bias))])
    valid = None if given.rows.valid is None else given.rows.valid.reshape(steps, batch)
    to_front, back = _order(valid, given.reverse)
    lengths = jnp.full(batch, steps, jnp.int32) if valid is None else valid.sum(axis=0, dtype=jnp.int32)
    x = jnp.moveaxis(to_front(xs.reshape(steps, batch, inputs)), 0, 1)  # (B, T, D)
    h, c = before = [leaf.reshape(1, batch, size) for leaf in jax.tree.leaves(carry)]
    # None in place of HIGHEST would let products be rounded to 10 bits (TF32).
    sizes = inputs, size, 1, 0.0, False, jax.lax.Precision.HIGHEST
    y, *after = list(_lstm(sizes, (x, h, c, weights), jnp.maximum(lengths, 1)))
    if valid is not None:
        after = [jnp.where((lengths > 0)[None, :, None], *pair) for pair in zip(after, before, strict=True)]
    ys = back(jnp.moveaxis(y, 1, 0)).reshape(steps, *given.batch_shape, size)
    last = [leaf.reshape(*given.batch_shape, size) for leaf in after]
    return leaving_output(given.rows.valid, ys), jax.tree.unflatten(jax.tree.structure(carry), last)


def _order(valid: Array | None, reverse: bool) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """What brings the steps of (T, B, ...) into the order in which they are walked, the valid ones first, and back."""
    if valid is None:
        turn = partial(jnp.flip, axis=0) if reverse else lambda leaf: leaf
        return turn, turn
    count = valid.sum(axis=0, keepdims=True)
    nth, nth_invalid = (jnp.cumsum(these, axis=0) - 1 for these in (valid, ~valid))
    place = jnp.where(valid, count - 1 - nth if reverse else nth, count + nth_invalid)  # (T, B), of each step
    row = jnp.arange(valid.shape[1])[None]
    return lambda leaf: jnp.zeros_like(leaf).at[place, row].set(leaf, unique_indices=True), lambda leaf: leaf[
        place, row
    ]


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _lstm(sizes: Sizes, operands: Operands, lengths: Array) -> Results:
    return _forward(sizes, operands, lengths)[0]


def _lstm_fwd(sizes: Sizes, operands: Operands, lengths: Array) -> tuple[Results, Any]:
    results, stored = _forward(sizes, operands, lengths)
    return results, (operands, lengths, stored)


def _lstm_bwd(sizes: Sizes, residuals: Any, cotangents: Results) -> tuple[Operands, None]:
    return _backward(sizes, *residuals, cotangents), None


_lstm.defvjp(_lstm_fwd, _lstm_bwd)


@custom_jvp
def _forward(sizes: Sizes, operands: Operands, lengths: Array) -> tuple[Results, Any]:
    """The results, and what the library's derivative needs of them."""
    return _library().lstm_fwd(*operands, lengths, *sizes)


@_forward.defjvp
def _forward_jvp(sizes, primals, tangents):
    operands, lengths = primals
    results, stored = _forward(sizes, operands, lengths)
    _, moved = jax.jvp(partial(_plain, sizes, lengths), (operands,), tangents[:1])
    # What is stored is a function of the operands, and `_backward` is differentiated with respect to those.
    return (results, stored), (moved, jax.tree.map(zero_from_primal, stored))


@custom_jvp
def _backward(sizes: Sizes, operands: Operands, lengths: Array, stored: Any, cotangents: Results) -> Operands:
    """Cotangents of the operands."""
    return _library().lstm_bwd(*sizes, stored, cotangents)[:4]


@_backward.defjvp
def _backward_jvp(sizes, primals, tangents):
    operands, lengths, _, cotangents = primals

    def plain(operands: Operands, cotangents: Results) -> Operands:
        return jax.vjp(partial(_plain, sizes, lengths), operands)[1](cotangents)[0]

    _, moved = jax.jvp(plain, (operands, cotangents), (tangents[0], tangents[3]))
    return _backward(sizes, *primals), moved


def _plain(sizes: Sizes, lengths: Array, operands: Operands) -> Results:
    """The same as operations of JAX, which have derivatives of any order."""
    *states, weights = operands
    inputs, size, layers, dropout, both, _ = sizes
    matrices = _library().unpack_lstm_weights(weights, inputs, size, layers, both)
    with jax.default_matmul_precision("highest"):
        return _library().lstm_ref(*states, *matrices, lengths, inputs, size, layers, dropout, both)


def _library() -> ModuleType:
    # Loaded where it is used: it is experimental, and nothing else should depend on its being there.
    return importlib.import_module("jax.experimental.rnn")
