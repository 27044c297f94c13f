"""The derivative of one step of any cell, cut in three: forward loop, backward loop, after the loops.

A step and its derivative (JAX's own `jax.vjp`) are traced together, once. The equations are then dealt out:

- those that no cotangent reaches are the forward loop's;
- those that lead from cotangents to the adjoints of s_tm1 and u_t are the backward loop's;
- matrix products that only a parameter's gradient waits for are left until after the backward loop, where each is one
  product over all steps: Σ_t a_tᵀ b_t. The backward loop stacks those of their factors that do not follow from what is
  stored anyway. Other terms of a parameter's gradient, such as a peephole's, are summed as the loop goes.

What the backward loop needs of the forward one comes from, in this order of preference:

- what is stored anyway: the carry before the step, the output where every row of the batch is treated alike;
- what follows from that without a heavy equation, which is computed again: on CPU, the only device measured, a
  time-sized array costs at least as much to write and read as elementwise arithmetic, tanh included;
- `saved`, written once per step however often it is read. For an LSTM four arrays, the activated gates; for an Elman
  network none, because its state is its output.
"""

from collections.abc import Callable
from itertools import groupby
from typing import Any

import jax
import jax.numpy as jnp

from recurrax.kernels import jaxprs, sums
from recurrax.kernels.jaxprs import Leaves, Literal, Traced, Var
from recurrax.kernels.steps import MADE_AGAIN, Step
from recurrax.typing import Array


def is_moving(leaf: Any) -> bool:
    """Whether gradients flow through a leaf: floating and complex ones; integers, bools and keys have none."""
    return jnp.issubdtype(leaf.dtype, jnp.inexact)


def moving(leaves: Leaves) -> Leaves:
    """The leaves that gradients flow through."""
    return [leaf for leaf in leaves if is_moving(leaf)]


def vjp(f: Callable[..., Leaves], *groups: Leaves) -> tuple[Leaves, Callable[[Leaves], list[Leaves]]]:
    """`jax.vjp` of a function of lists of leaves to a list of leaves, with respect to and of the moving ones alone.

    Returns:
        All results, and the function from cotangents of the moving results to those of the moving leaves, group by
        group.
    """
    flows: list[bool] = []

    def of_moving(*parts: Leaves) -> tuple[Leaves, Leaves]:
        joined = []
        for group, part in zip(groups, parts, strict=True):
            values = iter(part)
            joined.append([next(values) if is_moving(leaf) else leaf for leaf in group])
        results = f(*joined)
        flows[:] = [is_moving(leaf) for leaf in results]
        return moving(results), [leaf for leaf in results if not is_moving(leaf)]

    flowing, pull, still = jax.vjp(of_moving, *map(moving, groups), has_aux=True)
    parts = iter(still), iter(flowing)
    return [next(parts[flow]) for flow in flows], lambda cotangents: list(pull(cotangents))


class Derivative:
    """The cut derivative of a step, as functions of flat leaves.

    "Moving" leaves are the floating and complex ones. Adjoints are written δ.

    Args:
        step: the cut step.
        u: arrays or shapes of one step's projection.
        alike: whether every row is treated alike, none padded and none reset, so that outputs are what the steps gave.

    Attributes:
        forward: (*P, *s_tm1, *u_t) to (*s_t, *z_t, *saved_t).
        fix: (*P,) to `fixed`, what backward loop and `after` need of the parameters alone.
        backward: (*fixed, *read, *saved_t, *δs_t, *δz_t) to (*δs_tm1, *summed_t, *moved_t), without the δs_tm1 through
            which nothing flows, see `flows`.
        read_s, read_z, read_u: which leaves of s_tm1, z_t and u_t the backward loop reads, in this order.
        kept_s, kept_z, kept_u: which of them that loop or `after` reads.
        same: for a leaf of s its place in z, where z holds that leaf after every step.
        alone: the leaves of `kept_s` that are not among `same`.
        flows: for every moving leaf of s whether anything flows back through it.
        u_at: for every moving leaf of u the place of its adjoint in `moved`; None where nothing flows.
        summed: shapes of what the backward loop sums.
    """

    def __init__(self, step: Step, u: Leaves, alike: bool):
        carry, seen = step.carry, step.seen

        def loop(prepared: Leaves, s: Leaves, u: Leaves) -> Leaves:
            return step.loop(*prepared, *s, *u)

        def both(prepared: Leaves, s: Leaves, u: Leaves, ct_s: Leaves, ct_z: Leaves) -> tuple[Leaves, list[Leaves]]:
            results, pull = vjp(loop, prepared, s, u)
            adjoints = iter(ct_s), iter(ct_z)
            cotangents = [next(adjoints[i >= len(carry)]) for i, leaf in enumerate(results) if is_moving(leaf)]
            return results, pull(cotangents)

        groups = (step.prepared, carry, u, moving(carry), moving(seen))
        traced = jaxprs.trace(both, *groups)
        prepared, s, us, ct_s, ct_z = _dealt(traced.jaxpr.invars, groups)
        groups = (carry, seen, moving(step.prepared), moving(carry), moving(u))
        s_next, z, ct_prepared, ct_before, ct_u = _dealt(traced.jaxpr.outvars, groups)
        adjoints = jaxprs.dependents(traced, [*ct_s, *ct_z])
        ct_prepared, ct_before, ct_u = (
            [None if isinstance(atom, Literal) or atom not in adjoints else atom for atom in group]
            for group in (ct_prepared, ct_before, ct_u)
        )
        varying = jaxprs.dependents(traced, [*s, *us, *ct_s, *ct_z])
        constant = jaxprs.constants(traced, varying, sunk=MADE_AGAIN)
        flowing = list(dict.fromkeys(var for var in (*ct_before, *ct_u) if var is not None))
        outputs = [atom for atom in z if not isinstance(atom, Literal) and atom not in {*s, *us}] if alike else []

        follow = jaxprs.followers(traced, {*s, *outputs}, varying) - adjoints
        of_u = {var: None for var in ct_u if var is not None}
        plan = sums.plan(traced, ct_prepared, flowing, set(of_u), varying, adjoints, follow)
        self._moved = list(dict.fromkeys([*of_u, *plan.stacked]))
        back = [*(var for var in ct_before if var is not None), *plan.summed, *self._moved]
        needed = set(jaxprs.reached(traced, back, varying - adjoints))
        read_u = [var for var in us if var in needed]
        saved = _saved(traced, needed, {*s, *outputs, *read_u}, varying)
        given = {*s, *outputs, *read_u, *saved, *ct_s, *ct_z}
        read = jaxprs.reached(traced, back, given | constant)
        self._factors = [
            [sums.factor(traced, product, side, set(of_u)) for side in (0, 1)] for product in plan.products
        ]
        later = [
            piece for pair in self._factors for factor in pair for piece in factor.pieces if piece not in self._moved
        ]
        kept = jaxprs.reached(traced, later, {*s, *outputs} | constant)
        late = [eqn.outvars[0] for eqn in (*plan.products, *plan.sums)]
        wanted = [var for var in ct_prepared if var is not None]
        last = jaxprs.reached(traced, wanted, {*late, *plan.summed} | constant)
        fixed = [var for var in dict.fromkeys([*read, *kept, *last]) if var in constant]

        self.read_s, self.read_z, self.read_u = (_places(group, read) for group in (s, z, us))
        self.kept_s, self.kept_z, self.kept_u = (_places(group, [*read, *kept]) for group in (s, z, us))
        self.same = {i: z.index(var) for i, var in enumerate(s_next) if var in outputs}
        self.alone = [i for i in self.kept_s if i not in self.same]
        self.flows = [var is not None for var in ct_before]
        self.u_at = [None if var is None else self._moved.index(var) for var in ct_u]
        self.summed = [jax.ShapeDtypeStruct(var.aval.shape, var.aval.dtype) for var in plan.summed]
        self.forward = jaxprs.part(traced, [*prepared, *s, *us], [*s_next, *z, *saved])
        self.fix = jaxprs.part(traced, prepared, fixed)
        read_values = [*_at(s, self.read_s), *_at(z, self.read_z), *_at(us, self.read_u)]
        self.backward = jaxprs.part(traced, [*fixed, *read_values, *saved, *ct_s, *ct_z], back)
        self._plan, self._later = plan, later
        self._kept = [*_at(s, self.kept_s), *_at(z, self.kept_z), *_at(us, self.kept_u)]
        self._follow = jaxprs.part(traced, [*fixed, *self._kept], later)
        self._finish = jaxprs.part(traced, [*fixed, *late, *plan.summed], wanted)
        self._gradients = ct_prepared

    def after(
        self, fixed: Leaves, kept: Leaves, moved: Leaves, summed: Leaves, together: list[list[int]]
    ) -> list[Array | None]:
        """The gradients of the moving leaves of P.

        Args:
            fixed: what `fix` gives.
            kept: `kept_s`, `kept_z` and `kept_u` of all steps, (T, *batch, ...).
            moved: what the backward loop stacks, (T, *batch, ...).
            summed: what it sums.
            together: places in `moved` of leaves that lie side by side in memory.
        """
        stacks = dict(zip(self._moved, moved, strict=True))
        if self._later:
            over_time = jax.vmap(self._follow, in_axes=(*[None] * len(fixed), *[0] * len(kept)))
            stacks.update(zip(self._later, over_time(*fixed, *kept), strict=True))
        late = [
            self._product(eqn, pair, stacks, together)
            for eqn, pair in zip(self._plan.products, self._factors, strict=True)
        ]
        late += [
            jnp.sum(stacks[eqn.invars[0]], axis=(0, *(a + 1 for a in eqn.params["axes"]))) for eqn in self._plan.sums
        ]
        found = iter(self._finish(*fixed, *late, *summed))
        return [None if var is None else next(found) for var in self._gradients]

    def _product(self, eqn: Any, pair: list[sums.Factor], stacks: dict[Var, Array], together: list[list[int]]) -> Array:
        """Σ_t of a product; pieces in different buffers have products of their own, since joining would copy them."""
        for side, factor in enumerate(pair):
            if factor.axis is None:
                continue
            runs = self._runs(factor, together)
            if len(runs) > 1:
                parts = [self._product(eqn, _replaced(pair, side, run), stacks, together) for run in runs]
                return jnp.concatenate(parts, axis=sums.result_axis(eqn, side, factor.axis))
        left, right = (
            stacks[factor.pieces[0]]
            if factor.axis is None or len(factor.pieces) == 1
            else jnp.concatenate([stacks[piece] for piece in factor.pieces], axis=factor.axis + 1)
            for factor in pair
        )
        return sums.sum_of_products(eqn, left, right)

    def _runs(self, factor: sums.Factor, together: list[list[int]]) -> list[sums.Factor]:
        """The pieces of a factor in runs of those that lie side by side."""
        buffer = {self._moved[i]: number for number, places in enumerate(together) for i in places}
        alone = {piece: -1 - i for i, piece in enumerate(factor.pieces)}
        runs = groupby(factor.pieces, lambda piece: buffer.get(piece, alone[piece]))
        return [sums.Factor(list(run), factor.axis) for _, run in runs]


def _replaced(pair: list[sums.Factor], side: int, factor: sums.Factor) -> list[sums.Factor]:
    return [factor, pair[1]] if side == 0 else [pair[0], factor]


def _dealt(atoms: Leaves, groups: Any) -> list[Leaves]:
    waiting = iter(atoms)
    return [[next(waiting) for _ in group] for group in groups]


def _at(group: Leaves, places: list[int]) -> Leaves:
    return [group[i] for i in places]


def _places(group: Leaves, read: Leaves) -> list[int]:
    found = {var: i for i, var in reversed(list(enumerate(group))) if not isinstance(var, Literal)}
    return sorted(found[var] for var in dict.fromkeys(read) if var in found)


def _saved(traced: Traced, needed: set[Var], stored: set[Var], varying: set[Var]) -> list[Var]:
    """The variables among `needed` that have to be stored, in the order in which they are computed.

    One that follows from `stored`, and from those chosen before, without a heavy equation is computed again.
    """
    known, chosen = set(stored), []
    for eqn in traced.jaxpr.eqns:
        follows = not jaxprs.is_heavy(eqn)
        follows = follows and all(var in known for var in jaxprs.variables(eqn.invars) if var in varying)
        for var in eqn.outvars:
            if follows:
                known.add(var)
            elif var in needed and var not in known:
                chosen.append(var)
                known.add(var)
    return chosen
