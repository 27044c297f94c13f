"""One step of a cell in three parts: before the loop over time, in it, and after it.

The step is traced once, and each of its equations goes where its inputs are:

- what depends on the parameters alone (a masked kernel, a matrix exponential) is prepared before the loop, and so is
  what a cell draws with a key that it leaves in its carry as it is (a mask for the whole sequence);
- a matrix product with parameters that only the output waits for (a projection of the state) is done after it, on all
  steps at once, with all that follows from it;
- the rest is the loop's.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from recurrax.kernels import jaxprs
from recurrax.kernels.jaxprs import Leaves
from recurrax.kernels.padding import leaving_carry
from recurrax.keys import is_key
from recurrax.typing import Array, Carry, Cell, Params

MADE_AGAIN = {"broadcast_in_dim", "iota"}
"""Primitives whose results are cheaper to make again in every step than to read from memory."""
REARRANGED_AGAIN = MADE_AGAIN | {"transpose", "reshape", "squeeze"}
"""And those that only rearrange: XLA reads a kernel transposed at no cost, but not a transposed copy."""


class Step(NamedTuple):
    """A cut step, as functions of flat leaves.

    prepare: (*θ, *k) to P, all that the other two need of the parameters and of k, see `keys`.
    keys: places in the carry of the leaves k, keys that are the same at every step.
    loop: (*P, *s_tm1, *u_t) to (*s_t, *z_t), with u_t as `split` gives it.
    order: the leaves of u as the loop takes them.
    sizes: for every one of these the sizes of the pieces that the step cuts it in first; None where it does not.
    head: (*P, *z_t) to y_t; None where z_t is y_t itself.
    prepared, carry, u, seen: shapes of P, s, u and z.
    """

    prepare: Callable[..., Leaves]
    keys: list[int]
    loop: Callable[..., Leaves]
    head: Callable[..., Leaves] | None
    order: list[int]
    sizes: list[Sequence[int] | None]
    prepared: Leaves
    carry: Leaves
    u: Leaves
    seen: Leaves

    def split(self, u: Leaves) -> Leaves:
        """The leaves of u, of one step or of a sequence, in pieces: neighbours in memory, read and written as one."""
        pieces = []
        for leaf, sizes in zip([u[i] for i in self.order], self.sizes, strict=True):
            pieces.extend([leaf] if sizes is None else jaxprs.split_last(leaf, sizes))
        return pieces

    def before_the_loop(self, params: Params, carry: Carry) -> Leaves:
        """P, from the parameters and the carry before the first step."""
        leaves = jax.tree.leaves(carry)
        return self.prepare(*jax.tree.leaves(params), *(leaves[i] for i in self.keys))


def one_step(cell: Cell, params: Params, carry: Carry, u: Any) -> tuple[Carry, Array]:
    """(s_t, y_t) from s_tm1 and u_t; s_t in the dtypes of s_tm1, y_t in those that the cell gives it."""
    stepped = cell.pointwise(params, carry, u, cell.recur(params, carry, u))
    return leaving_carry(None, stepped, carry), cell.output(params, stepped, u)


def cut(
    f: Callable[..., tuple[Carry, Any]],
    params: Params,
    carry: Carry,
    u: Any,
    *,
    order: list[int] | None = None,
    head: bool = True,
    sunk: set[str] = REARRANGED_AGAIN,
) -> Step:
    """Cuts f(params, carry, u) -> (carry, y); arguments are arrays or shapes.

    The loop takes the leaves of u in the `order` in which they lie in memory, as they lie in the pytree if it is None.
    Without a head y may be any list of arrays, all of which the loop gives. Primitives `sunk` are left to the loop even
    where they read parameters alone.
    """
    traced = jaxprs.split_early(jaxprs.trace(f, params, carry, u))
    theta, s, us = dealt(traced.jaxpr.invars, params, carry, u)
    stepped, seen = traced.jaxpr.outvars[: len(s)], traced.jaxpr.outvars[len(s) :]
    # A reset leaves keys alone, and any other leaf it may change.
    same = [i for i, (old, new) in enumerate(zip(s, stepped, strict=False)) if new is old and is_key(old.aval)]
    varying = jaxprs.dependents(traced, [*(var for i, var in enumerate(s) if i not in same), *us])
    order = list(range(len(us))) if order is None else order
    us = [us[i] for i in order]
    cuts = [_cut_first(traced, var) for var in us]
    us = [piece for var, cut in zip(us, cuts, strict=True) for piece in ([var] if cut is None else cut.outvars)]
    after = _after_the_loop(traced, stepped, varying) if head else set()
    outputs, is_late = seen, any(var in after for var in jaxprs.variables(seen))
    if is_late:
        seen = _read_from_outside(traced, after, stepped, varying)
    constant = jaxprs.constants(traced, varying, sunk=sunk)
    prepared = jaxprs.reached(traced, traced.jaxpr.outvars, constant)
    return Step(
        prepare=jaxprs.part(traced, [*theta, *(s[i] for i in same)], prepared),
        keys=same,
        loop=jaxprs.part(traced, [*prepared, *s, *us], [*stepped, *seen]),
        head=jaxprs.part(traced, [*prepared, *seen], outputs) if is_late else None,
        prepared=shapes(prepared),
        order=order,
        sizes=[None if cut is None else cut.params["sizes"] for cut in cuts],
        carry=shapes(s),
        u=shapes(us),
        seen=shapes(seen),
    )


def shapes(atoms: Leaves) -> Leaves:
    """Shapes and dtypes of traced values."""
    return [jax.ShapeDtypeStruct(atom.aval.shape, atom.aval.dtype) for atom in atoms]


def dealt(invars: Leaves, *args: Any) -> list[Leaves]:
    """Variables in groups, one for each leaf of each argument."""
    waiting = iter(invars)
    return [[next(waiting) for _ in jax.tree.leaves(arg)] for arg in args]


def _cut_first(traced: jaxprs.Traced, var: Any) -> Any:
    """The equation that cuts a value in pieces, where nothing else reads it; None otherwise."""
    readers = jaxprs.readers_of(traced)
    found = readers.get(var, [])
    if len(found) == 1 and jaxprs.is_merging(found[0]):
        found = readers[found[0].outvars[0]]
    return found[0] if len(found) == 1 and found[0] is not None and jaxprs.is_split(found[0]) else None


def _after_the_loop(traced: jaxprs.Traced, stepped: Leaves, varying: set[Any]) -> set[Any]:
    """What a heavy equation that no next state waits for computes, and all that follows from that.

    A product of two values of the step stays in the loop, and what would take one along with it: over all steps it is
    as many products as there are steps, and its operands, a matrix state perhaps, would be stored for every one.
    """
    awaited, found = jaxprs.contributors(traced, stepped), set()
    for eqn in traced.jaxpr.eqns:
        if awaited.isdisjoint(eqn.outvars) and not varying.isdisjoint(eqn.outvars):
            reads = jaxprs.variables(eqn.invars)
            follows = not found.isdisjoint(reads)
            if eqn.primitive.name == "dot_general" and varying.issuperset(reads):
                if follows:
                    return set()
            elif follows or jaxprs.is_heavy(eqn):
                found.update(eqn.outvars)
    return found


def _read_from_outside(traced: jaxprs.Traced, inside: set[Any], stepped: Leaves, varying: set[Any]) -> Leaves:
    """What the equations of `inside` read of the loop: the carry after the step, where the rest follows from it."""
    reads = [atom for eqn in traced.jaxpr.eqns if not inside.isdisjoint(eqn.outvars) for atom in eqn.invars]
    reads = [var for var in jaxprs.variables(reads) if var in varying and var not in inside]
    after_step = set(jaxprs.variables(stepped))
    follow = jaxprs.followers(traced, after_step, varying)
    return jaxprs.reached(traced, reads, after_step | (varying - follow))
