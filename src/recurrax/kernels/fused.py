"""The fast path: `lax.scan` with a backward written for recurrences, for any cell.

Derivation. With s_t the carry, u = project(θ, x), v_t = recur(θ, s_tm1, u_t), s_t = pointwise(θ, s_tm1, u_t, v_t) and
y_t = output(s_t), the adjoints run backwards through

    δs_t   = (∂y_t/∂s_t)ᵀ δy_t + what step t+1 returns
    δv_t   = (∂s_t/∂v_t)ᵀ δs_t
    δs_tm1 = (∂s_t/∂s_tm1)ᵀ δs_t + (∂v_t/∂s_tm1)ᵀ δv_t        the one product with the carry, transposed

and nothing in that loop needs the gradient of a weight. Those come after it, from the stacked δu and δv:

    δθ = Σ_t (∂v_t/∂θ)ᵀ δv_t + Σ_t (∂u_t/∂θ)ᵀ δu_t + Σ_t (∂s_t/∂θ)ᵀ δs_t

where the first two are `jax.vjp` of `recur` and `project` on the whole sequence at once, single products over T*B rows,
and only the third, for the few elementwise parameters that `pointwise` uses, is summed as the loop goes.

Second derivatives are those of the reference: `_forward` and `_backward` carry rules of their own that say so.
"""

import math
from collections.abc import Callable
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.custom_derivatives import zero_from_primal

from recurrax.kernels import buffers, reference
from recurrax.kernels.forward_mode import reverse_mode_only
from recurrax.kernels.padding import Rows, entering_carry, leaving_carry, leaving_output, where_rows
from recurrax.kernels.residuals import Cotangents, CutStep, Known, Leaves
from recurrax.typing import Array, Carry, Cell, Params

Operands: TypeAlias = tuple[Params, Array, Carry, Carry]
"""params, xs, carry, initial: all that is differentiated."""


_FEW_ROWS = 8
"""Fewer rows than that, and a step's projection is bound by reading its kernel."""


class Walk(NamedTuple):
    """How time is walked; static under `jax.jit`."""

    cell: Cell
    reverse: bool
    unroll: int


class Kept(NamedTuple):
    """What the forward walk leaves for the backward one: flat leaves (T, *batch, ...), `saved` as they lie in memory.

    `entering` lacks the leaf that the outputs hold, if there is one.
    """

    saved: buffers.Groups
    entering: Leaves
    u: Leaves
    ys: Array


def scan(
    cell: Cell, params: Params, xs: Array, carry: Carry, initial: Carry, rows: Rows, reverse: bool, unroll: int
) -> tuple[Array, Carry]:
    """Outputs (T, *batch, H) and the last carry."""
    params, xs, carry, initial = jax.tree.map(reverse_mode_only, (params, xs, carry, initial))
    return _scan(Walk(cell, reverse, unroll), params, xs, carry, initial, rows)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _scan(walk: Walk, params: Params, xs: Array, carry: Carry, initial: Carry, rows: Rows) -> tuple[Array, Carry]:
    cell = walk.cell
    # Nothing is kept here. A projection made before the loop would be written and read once for that alone, which pays
    # where a step has few rows: it then reads the whole kernel for them.
    ahead = math.prod(xs.shape[1:-1]) < _FEW_ROWS

    def body(carry: Carry, at_t: tuple[Any, Rows]) -> tuple[Carry, Array]:
        x_or_u, rows_t = at_t
        u = x_or_u if ahead else cell.project(params, x_or_u)
        entering = entering_carry(rows_t.reset, initial, carry)
        stepped = cell.pointwise(params, entering, u, cell.recur(params, entering, u))
        stepped = leaving_carry(None, stepped, entering)
        y = leaving_output(rows_t.valid, cell.output(params, stepped, u))
        return leaving_carry(rows_t.valid, stepped, entering), y

    at = (cell.project(params, xs) if ahead else xs, rows)
    carry, ys = jax.lax.scan(body, carry, at, reverse=walk.reverse, unroll=walk.unroll)
    return ys, carry


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _forward(walk: Walk, operands: Operands, rows: Rows) -> tuple[Array, Carry, Kept]:
    """`_scan`, keeping what the backward walk needs."""
    params, xs, carry, initial = operands
    u = walk.cell.project(params, xs)
    step = CutStep(walk.cell, params, carry, _one_step(u), _alike(rows))
    theta, start, u = jax.tree.leaves(params), jax.tree.leaves(initial), jax.tree.leaves(u)

    def body(carry: Leaves, u_t: Leaves, at_t: tuple[Leaves, Rows]) -> tuple[Leaves, Leaves]:
        read_only_t, rows_t = at_t
        entering = entering_carry(rows_t.reset, start, carry)
        stepped = step.forward(theta, entering, u_t or read_only_t)
        y = leaving_output(rows_t.valid, stepped.y)
        to_keep = [leaf for i, leaf in enumerate(entering) if i != step.output_leaf]
        return leaving_carry(rows_t.valid, stepped.carry, entering), [*stepped.saved, *to_keep, y]

    # What is saved overwrites u, unless the derivative reads u itself.
    over, read_only = ([], u) if step.needs_u else (u, [])
    leaves, tree = jax.tree.flatten(carry)
    last, results, together = buffers.walk(
        body,
        leaves,
        buffers.side_by_side(over),
        (read_only, rows),
        steps=xs.shape[0],
        reverse=walk.reverse,
        unroll=walk.unroll,
    )
    *kept, ys = results
    cut = len(kept) - len(leaves) + (step.output_leaf is not None)
    buffer = {i: number for number, places in enumerate(together) for i in places}
    # Neighbours alone stay together: the backward walk hands the step what is saved in the order in which it was given.
    saved = [[kept[i] for i in run] for _, run in groupby(range(cut), lambda i: buffer.get(i, -1 - i))]
    return ys, jax.tree.unflatten(tree, last), Kept(saved=saved, entering=kept[cut:], u=read_only, ys=ys)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _backward(walk: Walk, operands: Operands, rows: Rows, kept: Kept, cotangents: tuple[Array, Carry]) -> Operands:
    """Cotangents of params, xs, carry and initial."""
    params, xs, carry, initial = operands
    ct_ys, ct_last = cotangents
    u, pull_project = jax.vjp(walk.cell.project, params, xs)
    step = CutStep(walk.cell, params, carry, _one_step(u), _alike(rows))
    theta, tree = jax.tree.flatten(params)
    fixed = step.forward(theta, *_zeros([jax.tree.leaves(carry), jax.tree.leaves(_one_step(u))])).fixed
    entering = list(kept.entering)
    if step.output_leaf is not None:
        first = jax.tree.leaves(carry)[step.output_leaf]
        entering.insert(step.output_leaf, _one_later(kept.ys, first, walk.reverse))
    places: list[Any] = []

    def body(carried: Any, saved_t: Leaves, at_t: tuple[Array, Array, Leaves, Leaves, Rows]) -> tuple[Any, Leaves]:
        ct_carry, ct_initial, ct_theta = carried
        ct_y, y, entering_t, u_t, rows_t = at_t
        ct_y, ct_carry, passed = _through_padding(rows_t.valid, ct_y, ct_carry)
        known = Known(theta, entering_t, u_t, [y], fixed, saved_t)
        pulled = step.backward(known, ct_carry, ct_y)
        ct_entering = [
            ct if through is None else ct + through for through, ct in zip(pulled.entering, passed, strict=True)
        ]
        if rows_t.reset is not None:
            zeros = _zeros(ct_entering)
            ct_initial = _sum(ct_initial, where_rows(rows_t.reset, ct_entering, zeros))
            ct_entering = where_rows(rows_t.reset, zeros, ct_entering)
        ct_theta = _sum(ct_theta, [ct for ct in pulled.params if ct is not None])
        # A leaf of u that recur only adds has the cotangent of v itself, and is stacked once.
        moved, *places[:] = _distinct(pulled.u, pulled.v)
        return (ct_entering, ct_initial, ct_theta), moved

    in_pointwise = step.pointwise_uses[0]
    trained = [leaf for leaf, used in zip(theta, in_pointwise, strict=True) if used]
    (ct_carry, ct_initial, ct_theta), moved, _ = buffers.walk(
        body,
        (jax.tree.leaves(ct_last), _zeros(jax.tree.leaves(initial)), _zeros(trained)),
        kept.saved,
        (ct_ys, kept.ys, entering, kept.u, rows),
        steps=xs.shape[0],
        reverse=not walk.reverse,
        unroll=walk.unroll,
    )
    ct_u = [_zeros(leaf) if i is None else moved[i] for leaf, i in zip(jax.tree.leaves(u), places[0], strict=True)]
    ct_project, ct_xs = pull_project(jax.tree.unflatten(jax.tree.structure(u), ct_u))
    if step.output_leaf is not None and step.output_leaf not in step.needs_entering:
        # The same values again, bound to what the loop gives: else the array is laid out before the loop and held
        # through it, for a product after it. Where the loop gives NaN, so does this: the gradient has it either way.
        first = jax.lax.clamp(first, ct_carry[step.output_leaf], first)
        entering[step.output_leaf] = _one_later(kept.ys, first, walk.reverse)
    entered = jax.tree.unflatten(jax.tree.structure(carry), entering)
    v, pull_recur = jax.vjp(lambda params: walk.cell.recur(params, entered, u), params)
    (ct_recur,) = pull_recur(jax.tree.unflatten(jax.tree.structure(v), [moved[i] for i in places[1]]))
    summed = iter(ct_theta)
    ct_pointwise = [next(summed) if used else None for used in in_pointwise]
    ct_params = [
        a + b if c is None else a + b + c
        for a, b, c in zip(jax.tree.leaves(ct_project), jax.tree.leaves(ct_recur), ct_pointwise, strict=True)
    ]
    like_carry = jax.tree.structure(carry)
    return (
        jax.tree.unflatten(tree, ct_params),
        ct_xs,
        jax.tree.unflatten(like_carry, ct_carry),
        jax.tree.unflatten(like_carry, ct_initial),
    )


def _through_padding(valid: Array | None, ct_y: Array, ct_carry: Leaves) -> tuple[Array, Leaves, Leaves]:
    """Cotangents of y and of the stepped carry, and those that a padded row passes straight to the entering carry."""
    zeros = _zeros(ct_carry)
    if valid is None:
        return ct_y, ct_carry, zeros
    return leaving_output(valid, ct_y), where_rows(valid, ct_carry, zeros), where_rows(valid, zeros, ct_carry)


def _reference(walk: Walk, rows: Rows) -> Callable[..., tuple[Array, Carry]]:
    """The same function of (params, xs, carry, initial) by the reference."""

    def scan(params: Params, xs: Array, carry: Carry, initial: Carry) -> tuple[Array, Carry]:
        return reference.scan(walk.cell, params, xs, carry, initial, rows, walk.reverse, walk.unroll)

    return scan


def _scan_fwd(walk, params, xs, carry, initial, rows):
    operands = (params, xs, carry, initial)
    ys, last, kept = _forward(walk, operands, rows)
    return (ys, last), (operands, rows, kept)


def _scan_bwd(walk, residuals, cotangents):
    return (*_backward(walk, *residuals, cotangents), None)


_scan.defvjp(_scan_fwd, _scan_bwd)


@_forward.defjvp
def _forward_jvp(walk, primals, tangents):
    operands, rows = primals
    out = _forward(walk, operands, rows)
    ct_ys, ct_last = jax.jvp(_reference(walk, rows), operands, tangents[0])[1]
    # What is kept is a function of the operands, and `_backward` is differentiated with respect to those: no tangent
    # travels through `kept`.
    return out, (ct_ys, ct_last, jax.tree.map(zero_from_primal, out[2]))


@_backward.defjvp
def _backward_jvp(walk, primals, tangents):
    operands, rows, kept, cotangents = primals

    def gradients(operands, cotangents):
        return jax.vjp(_reference(walk, rows), *operands)[1](cotangents)

    out = _backward(walk, operands, rows, kept, cotangents)
    return out, jax.jvp(gradients, (operands, cotangents), (tangents[0], tangents[3]))[1]


def _alike(rows: Rows) -> bool:
    """Whether all rows are walked alike."""
    return rows.valid is None and rows.reset is None


def _one_later(left: Array, first: Array, reverse: bool) -> Array:
    """What the steps enter with, (T, ...), from what they leave with and what the first of them enters with."""
    first = first[None]
    return jnp.concatenate([left[1:], first] if reverse else [first, left[:-1]])


def _one_step(sequence: Any) -> Any:
    """Shapes of one step of leaves (T, ...)."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), sequence)


def _zeros(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), tree)


def _sum(left: Leaves, right: Leaves) -> Leaves:
    return [a + b for a, b in zip(left, right, strict=True)]


def _distinct(*groups: Cotangents) -> tuple[Any, ...]:
    """The arrays of all groups, each once, and for every group the places of its own; None stays None."""
    arrays: Leaves = []
    places = []
    for group in groups:
        known = {id(array): i for i, array in enumerate(arrays)}
        for array in group:
            if array is not None and id(array) not in known:
                known[id(array)] = len(arrays)
                arrays.append(array)
        places.append([None if array is None else known[id(array)] for array in group])
    return arrays, *places
