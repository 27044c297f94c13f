"""One step of any cell, cut for a hand-written backward: what to keep, what stays the same, what moves.

The step is traced once. Its derivative is JAX's own (`jax.vjp` of the cell's methods); this module only reads the
traced step to find where each value which that derivative needs comes from:

- `entering`: a leaf of the carry entering the step, which is stored anyway;
- `u`: a leaf of the projection;
- `output`: the step's output, where all rows are walked alike and the outputs are therefore what the steps gave;
- `fixed`: a function of the parameters alone, laid out once, outside the loop;
- `again`: what follows from the others without a matrix product, computed again;
- `saved`: anything else, written once per step however often it is needed.

For an LSTM four arrays are saved, the activated gates; for an Elman network none, because its state is its output.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from jax.extend import core

from recurrax.kernels.padding import leaving_carry
from recurrax.kernels.recompute import function_of, without_following
from recurrax.typing import Array, Carry, Cell, Params

Leaves = list[Array]
Cotangents = Sequence[Array | None]
"""Leaf by leaf; None where nothing can flow."""


class Forward(NamedTuple):
    """What one step leaves: the carry's leaves, the output, and what its derivative needs beside its arguments."""

    carry: Leaves
    y: Array
    fixed: Leaves
    saved: Leaves


class Known(NamedTuple):
    """What is at hand when a step's derivative is wanted, by where it comes from."""

    params: Leaves
    entering: Leaves
    u: Leaves
    output: Leaves
    fixed: Leaves
    saved: Leaves


class Backward(NamedTuple):
    """Cotangents of the arguments of one step, and of v."""

    params: Cotangents
    entering: Cotangents
    u: Cotangents
    v: Cotangents


class CutStep:
    """One step of a cell and its derivative over flat leaves, traced for arguments of the given shapes.

    Args:
        cell: any cell of the contract.
        params: its parameters.
        carry: a carry (*batch, ...).
        u: the projection of one step, leaves (*batch, ...).
        alike: whether all rows are walked alike, none padded and none reset.

    Attributes:
        needs_u: whether the derivative reads the projection itself.
        needs_entering: which leaves of the entering carry the derivative reads.
        output_leaf: which leaf of the stepped carry is the output itself, so that the outputs hold what the next steps
            enter with; None if there is none or rows differ.
    """

    _pullbacks: Any

    def __init__(self, cell: Cell, params: Params, carry: Carry, u: Any, alike: bool):
        def pointwise(params: Params, carry: Carry, u: Any, v: Any) -> tuple[Carry, Array]:
            stepped = leaving_carry(None, cell.pointwise(params, carry, u, v), carry)
            return stepped, cell.output(params, stepped, u)

        v = jax.eval_shape(cell.recur, params, carry, u)
        params_uses, *pointwise_uses = _uses(pointwise, params, carry, u, v)
        _, *recur_uses = _uses(cell.recur, params, carry, u)
        pointwise_uses[-1] = [True] * len(pointwise_uses[-1])  # recur needs a cotangent for every leaf of v
        self.pointwise_uses = (params_uses, *pointwise_uses)
        self.recur_uses = ([False] * len(params_uses), *recur_uses)

        def step(params: Params, carry: Carry, u: Any) -> tuple[Leaves, Array, Leaves]:
            v, pull_recur = _vjp(cell.recur, self.recur_uses, params, carry, u)
            (stepped, y), pull_pointwise = _vjp(pointwise, self.pointwise_uses, params, carry, u, v)
            needed, self._pullbacks = jax.tree.flatten((pull_pointwise, pull_recur))
            return jax.tree.leaves(stepped), y, needed

        traced = jax.make_jaxpr(step)(params, carry, u)
        self._step = core.jaxpr_as_fun(traced)
        self._v_tree, self._carry_tree = jax.tree.structure(v), jax.tree.structure(carry)
        n_params, n_carry = len(params_uses), self._carry_tree.num_leaves
        *stepped, y = traced.jaxpr.outvars[: n_carry + 1]
        self.output_leaf = stepped.index(y) if alike and y in stepped else None
        given = _given(traced.jaxpr, n_params, n_carry, alike)
        self._sources, self._again = _sources(traced, given, n_carry + 1)
        self.needs_u = any(kind == "u" for kind, _ in self._sources)
        self.needs_entering = {index for kind, index in self._sources if kind == "entering"}

    def forward(self, params: Leaves, entering: Leaves, u: Leaves) -> Forward:
        """Runs the step."""
        results = self._step(*params, *entering, *u)
        y_at = len(entering)
        found = dict(zip(self._sources, results[y_at + 1 :], strict=True))
        kept = {kind: [found[place] for place in sorted(found) if place[0] == kind] for kind in ("fixed", "saved")}
        return Forward(carry=results[:y_at], y=results[y_at], **kept)

    def backward(self, known: Known, ct_carry: Leaves, ct_y: Array) -> Backward:
        """Pulls the cotangents of the stepped carry and of the output back through the step."""
        again = self._again(known)
        needed = [again[index] if kind == "again" else getattr(known, kind)[index] for kind, index in self._sources]
        pull_pointwise, pull_recur = jax.tree.unflatten(self._pullbacks, needed)
        ct_stepped = jax.tree.unflatten(self._carry_tree, ct_carry)
        ct_params, ct_entering, ct_u, ct_v = _spread(pull_pointwise((ct_stepped, ct_y)), self.pointwise_uses)
        _, also_entering, also_u = _spread(pull_recur(jax.tree.unflatten(self._v_tree, ct_v)), self.recur_uses)
        return Backward(ct_params, _add(ct_entering, also_entering), _add(ct_u, also_u), ct_v)


def _uses(f: Callable[..., Any], *args: Any) -> tuple[list[bool], ...]:
    """For every argument, which of its leaves f computes with."""
    jaxpr = jax.make_jaxpr(f)(*args).jaxpr
    read = {id(var) for eqn in jaxpr.eqns for var in eqn.invars} | {id(var) for var in jaxpr.outvars}
    invars = iter(jaxpr.invars)
    return tuple([id(next(invars)) in read for _ in jax.tree.leaves(arg)] for arg in args)


def _vjp(f: Callable[..., Any], uses: tuple[list[bool], ...], *args: Any) -> tuple[Any, Callable[[Any], tuple[Leaves]]]:
    """`jax.vjp` of f with respect to the leaves it uses, as one flat list."""
    leaves, tree = jax.tree.flatten(args)
    used = [use for argument in uses for use in argument]

    def of_used(moving: Leaves) -> Any:
        values = iter(moving)
        merged = [next(values) if use else leaf for leaf, use in zip(leaves, used, strict=True)]
        return f(*jax.tree.unflatten(tree, merged))

    return jax.vjp(of_used, [leaf for leaf, use in zip(leaves, used, strict=True) if use])


def _spread(pulled: tuple[Leaves], uses: tuple[list[bool], ...]) -> list[Cotangents]:
    """Puts the cotangents that `_vjp` returns back in their places, argument by argument."""
    (leaves,) = pulled
    cotangents = iter(leaves)
    return [[next(cotangents) if use else None for use in argument] for argument in uses]


def _add(left: Cotangents, right: Cotangents) -> Cotangents:
    return [b if a is None else a if b is None else a + b for a, b in zip(left, right, strict=True)]


def _given(jaxpr: Any, n_params: int, n_carry: int, alike: bool) -> dict[str, list[Any]]:
    """The variables of a traced step that need not be saved, by where their values come from."""
    params, carry = jaxpr.invars[:n_params], jaxpr.invars[n_params : n_params + n_carry]
    u, y = jaxpr.invars[n_params + n_carry :], jaxpr.outvars[n_carry]
    varying = {id(var) for var in (*carry, *u)}
    for eqn in jaxpr.eqns:
        if any(id(var) in varying for var in eqn.invars):
            varying.update(id(var) for var in eqn.outvars)
    needed = {id(var): var for var in jaxpr.outvars[n_carry + 1 :]}
    fixed = [var for place, var in needed.items() if place not in varying and var not in params]
    output = [y] if alike and y not in jaxpr.invars else []
    return {"params": params, "entering": carry, "u": u, "output": output, "fixed": fixed}


def _sources(
    traced: Any, given: dict[str, list[Any]], first: int
) -> tuple[list[tuple[str, int]], Callable[[Known], Leaves]]:
    """For every needed value its kind and its place in that kind, and the function that computes those of `again`."""
    needed = {id(var): var for var in traced.jaxpr.outvars[first:]}
    stored = [var for kind, group in given.items() if kind != "u" for var in group]
    beside = [var for var in needed.values() if var not in stored and var not in given["u"]]
    saved = without_following(traced.jaxpr, stored, beside)
    again = [var for var in beside if var not in saved]
    places = {
        id(var): (kind, i)
        for kind, group in {**given, "saved": saved, "again": again}.items()
        for i, var in enumerate(group)
    }
    compute = function_of(traced, [*stored, *saved], again)

    def compute_again(known: Known) -> Leaves:
        known = known._replace(output=known.output if given["output"] else [])
        return compute(*known.params, *known.entering, *known.output, *known.fixed, *known.saved)

    return [places[id(var)] for var in traced.jaxpr.outvars[first:]], compute_again
