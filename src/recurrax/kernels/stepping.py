"""One step of a loop over time, forward and backward, for rows that may be padding or reset."""

from typing import Any

import jax
import jax.numpy as jnp

from recurrax.kernels.jaxprs import Leaves
from recurrax.kernels.padding import Rows, entering_carry, leaving_carry, leaving_output, where_rows
from recurrax.kernels.residuals import Derivative
from recurrax.kernels.steps import Step
from recurrax.typing import Array


def forward_step(
    step: Step, derivative: Derivative, prepared: Leaves, start: Leaves, carry: Leaves, u_t: Leaves, rows_t: Rows
) -> tuple[Leaves, Leaves]:
    """The carry after a step, and [*saved_t, *entering_t, *z_t], what is kept of the step.

    Args:
        step: the cut step.
        derivative: its derivative.
        prepared: what `step.prepare` gives.
        start: the initial carry, from which rows that are reset start.
        carry: after the step before.
        u_t: this step's projection.
        rows_t: which rows are valid, which are reset.
    """
    n_s, n_z = len(step.carry), len(step.seen)
    entering = entering_carry(rows_t.reset, start, carry)
    results = derivative.forward(*prepared, *entering, *u_t)
    stepped, z, saved = results[:n_s], results[n_s : n_s + n_z], results[n_s + n_z :]
    kept = [*saved, *(entering[i] for i in derivative.alone), *masked(step, rows_t, z)]
    return leaving_carry(rows_t.valid, stepped, entering), kept


def adjoint_step(
    step: Step,
    derivative: Derivative,
    fixed: Leaves,
    read_t: Leaves,
    saved_t: Leaves,
    ct_s: Leaves,
    ct_z_t: Leaves,
    rows_t: Rows,
) -> tuple[Leaves, Leaves | None, Leaves, Leaves]:
    """δs_tm1, what goes to the initial carry instead where rows are reset, what is summed, and what is stacked.

    Args:
        step: the cut step.
        derivative: its derivative.
        fixed: what `derivative.fix` gives.
        read_t: what the derivative reads of this step.
        saved_t: what the forward loop saved for it.
        ct_s: δs_t, from the step after.
        ct_z_t: δz_t.
        rows_t: which rows are valid, which are reset.
    """
    n_flows, n_summed = sum(derivative.flows), len(derivative.summed)
    ct_s, passed = _through_padding(rows_t.valid, ct_s)
    results = derivative.backward(*fixed, *read_t, *saved_t, *ct_s, *masked(step, rows_t, ct_z_t))
    pulled = iter(results[:n_flows])
    ct_s = [
        _added(next(pulled) if flow else None, beside, leaf)
        for flow, beside, leaf in zip(derivative.flows, passed, ct_s, strict=True)
    ]
    summed, moved = results[n_flows : n_flows + n_summed], results[n_flows + n_summed :]
    if rows_t.reset is None:
        return ct_s, None, summed, moved
    none = zeros(ct_s)
    restarted = where_rows(rows_t.reset, ct_s, none)
    return where_rows(rows_t.reset, none, ct_s), restarted, summed, moved


def masked(step: Step, rows: Rows, z: Leaves) -> Leaves:
    """Outputs of a step, zero in rows that are padding; what outputs are still to be made from is left as it is."""
    return z if step.head is not None else [leaving_output(rows.valid, leaf) for leaf in z]


def _added(pulled: Array | None, passed: Array | None, like: Array) -> Array:
    if pulled is None:
        return jnp.zeros_like(like) if passed is None else passed
    return pulled if passed is None else pulled + passed


def _through_padding(valid: Array | None, ct_s: Leaves) -> tuple[Leaves, list[Array | None]]:
    """Cotangents of the stepped carry, and those that a padded row passes straight to the carry before the step."""
    if valid is None:
        return ct_s, [None] * len(ct_s)
    none = zeros(ct_s)
    return where_rows(valid, ct_s, none), where_rows(valid, none, ct_s)


def one_later(left: Array, first: Array, reverse: bool) -> Array:
    """The carry before each step, (T, ...), from those after each step and the one before the first."""
    first, steps = first[None], left.shape[0]
    return jnp.concatenate([left[1:], first] if reverse else [first, left[:-1]])[:steps]  # T may be 0


def shifted(left: Array, first: Array, reverse: bool) -> Array:
    """`one_later` as an array, not as part of what reads it: XLA makes one of this, and two of a concatenation."""
    low, high, at = (-1, 1, -1) if reverse else (1, -1, 0)
    moved = jax.lax.pad(left, jnp.zeros((), left.dtype), [(low, high, 0), *[(0, 0, 0)] * first.ndim])
    return moved.at[at].set(first)


def one_step(sequence: Any) -> Any:
    """Shapes of one step of leaves (T, ...)."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), sequence)


def zeros(tree: Any) -> Any:
    """Zeros of the shapes of a tree."""
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), tree)
