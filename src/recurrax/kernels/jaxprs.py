"""Traced functions as data: what depends on what in them, and functions made of a part of one."""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend import core

from recurrax.typing import Array

Leaves = list[Any]
Traced = core.ClosedJaxpr
Var = Any
"""A variable of a trace, `jax.extend.core.Var`; by that name a type checker would not know its shape."""
Literal = core.Literal
Read = Callable[[Any], Any]
"""The value of a variable or literal of a trace."""
_ADDRESS = re.compile("0x[0-9a-f]+")

_HEAVY = {
    *("dot_general", "conv_general_dilated", "ragged_dot_general", "custom_linear_solve", "triangular_solve"),
    *("cholesky", "lu", "qr", "svd", "eig", "eigh", "schur", "householder_product", "fft", "sort"),
    *("scan", "while", "random_bits", "threefry2x32", "pure_callback"),
}


class Replacement(NamedTuple):
    """Another way to compute some results of a trace, from the values before the first of them."""

    results: list[Var]
    compute: Callable[[Read], Sequence[Any]]


def trace(f: Callable[..., Any], *args: Any) -> Traced:
    """f, of pytrees of arrays or shapes, as one flat list of equations.

    What `jax.jit` wraps inside it is unwrapped, and slices that share out an array along its last axis become one
    split: its adjoint is one concatenation of their adjoints, where that of slices is a sum of padded arrays. Gates on
    an axis of their own, (..., G, H), are merged into (..., G*H) and split there.
    """
    traced = jax.make_jaxpr(f)(*args)
    if any(_is_jit(eqn) for eqn in traced.jaxpr.eqns):
        traced = again(traced, [])
    if splits := [*_splits(traced), *_unstackings(traced)]:
        traced = again(traced, splits)
    return traced


def split_early(traced: Traced) -> Traced:
    """The same function with sums of splits in the place of splits of sums.

    Trick: gates cut apart as early as can be. A projection of all gates and a product for all gates are then cut before
    they are added, and each gate has its place in the buffer of the projection. However a cell cuts its gates, it
    becomes the same program: the textbook's MGU holds 7.1 T B H values in a training step instead of 9.1.
    """
    if wide := _products_of_gates(traced):
        traced = again(traced, wide)
    while splits := _splits_of_sums(traced):
        traced = again(traced, splits)
    return traced


def again(traced: Traced, instead: Sequence[Replacement]) -> Traced:
    """The same function with some of its results computed another way."""
    args = [jax.ShapeDtypeStruct(var.aval.shape, var.aval.dtype) for var in traced.jaxpr.invars]
    made = jax.make_jaxpr(lambda *leaves: evaluate(traced, leaves, instead))(*args)
    # Without what nothing reads any more: the sum that a sum of splits stands for reads its terms as wholes.
    needed = contributors(made, made.jaxpr.outvars)
    equations = [eqn for eqn in made.jaxpr.eqns if eqn.effects or not needed.isdisjoint(eqn.outvars)]
    return core.ClosedJaxpr(made.jaxpr.replace(eqns=equations), made.consts)


def _is_jit(eqn: Any) -> bool:
    return eqn.primitive.name in ("jit", "pjit")


def _splits(traced: Traced) -> list[Replacement]:
    slices: dict[Var, list[Any]] = {}
    for eqn in traced.jaxpr.eqns:
        if eqn.primitive.name == "slice" and not isinstance(eqn.invars[0], Literal):
            slices.setdefault(eqn.invars[0], []).append(eqn)
    found = []
    for whole, cuts in slices.items():
        cuts = sorted(cuts, key=lambda eqn: eqn.params["start_indices"][-1])
        starts, ends = ([eqn.params[name][-1] for eqn in cuts] for name in ("start_indices", "limit_indices"))
        others = [(*eqn.params["start_indices"][:-1], *eqn.outvars[0].aval.shape[:-1]) for eqn in cuts]
        entire = (*[0] * (whole.aval.ndim - 1), *whole.aval.shape[:-1])
        strides = {eqn.params["strides"] for eqn in cuts}
        is_dense = strides <= {None, (1,) * whole.aval.ndim}
        if is_dense and [*starts, whole.aval.shape[-1]] == [0, *ends] and set(others) == {entire}:
            sizes = [end - start for start, end in zip(starts, ends, strict=True)]
            found.append(Replacement([eqn.outvars[0] for eqn in cuts], partial(_split, whole, sizes)))
    return found


def _unstackings(traced: Traced) -> list[Replacement]:
    """For values (..., G, H) of which each of the G rows is read by itself, and nothing else."""
    readers, found = readers_of(traced), []
    for whole, cuts in readers.items():
        *outer, gates, size = whole.aval.shape if whole.aval.ndim > 2 else (0, 0)
        if not isinstance(gates, int) or gates == 1:  # a size that `jax.export` leaves open, or nothing to cut
            continue
        starts = [eqn.params["start_indices"] for eqn in cuts if eqn and eqn.primitive.name == "slice"]
        if sorted(starts) != [(*[0] * len(outer), gate, 0) for gate in range(gates)] or len(starts) != len(cuts):
            continue
        rows = [readers.get(eqn.outvars[0], []) for eqn in sorted(cuts, key=lambda eqn: eqn.params["start_indices"])]
        squeezed = [eqn.outvars[0] for row in rows for eqn in row if eqn and eqn.primitive.name == "squeeze"]
        if [var.aval.shape for var in squeezed] == [(*outer, size)] * gates == [(*outer, size) for _ in rows]:
            found.append(Replacement(squeezed, partial(_split, whole, [size] * gates)))
    return found


def readers_of(traced: Traced) -> dict[Var, list[Any]]:
    """The equations that read each variable; None among them for one that is a result."""
    found: dict[Var, list[Any]] = {}
    for eqn in traced.jaxpr.eqns:
        for var in variables(eqn.invars):
            found.setdefault(var, []).append(eqn)
    for var in variables(traced.jaxpr.outvars):
        found.setdefault(var, []).append(None)
    return found


def _products_of_gates(traced: Traced) -> list[Replacement]:
    """For products of rows with a kernel (K, G, H): those with (K, G*H), whose adjoints are plain products too."""
    found = []
    for eqn in traced.jaxpr.eqns:
        if eqn.primitive.name == "dot_general" and eqn.invars[1].aval.ndim == 3:
            (x_axes, kernel_axes), batch = eqn.params["dimension_numbers"]
            if x_axes == (eqn.invars[0].aval.ndim - 1,) and kernel_axes == (0,) and not batch[0]:
                found.append(Replacement(eqn.outvars, partial(_product_of_gates, eqn)))
    return found


def _product_of_gates(eqn: Any, read: Read) -> Sequence[Array]:
    rows, kernel = map(read, eqn.invars)
    merged = kernel.reshape(kernel.shape[0], -1)  # (K, G*H)
    return [jax.lax.dot_general(rows, merged, **eqn.params).reshape(eqn.outvars[0].aval.shape)]


def _splits_of_sums(traced: Traced) -> list[Replacement]:
    made, readers = {var: eqn for eqn in traced.jaxpr.eqns for var in eqn.outvars}, readers_of(traced)
    found = []
    for eqn in filter(is_split, traced.jaxpr.eqns):
        whole, reader = eqn.invars[0], eqn
        if is_merging(made.get(whole)) and readers[whole] == [eqn]:
            reader = made[whole]
            whole = reader.invars[0]
        added = made.get(whole)
        if added is None or added.primitive.name not in ("add", "sub") or readers[whole] != [reader]:
            continue
        if all(not isinstance(term, Literal) and term.aval.shape == whole.aval.shape for term in added.invars):
            found.append(Replacement(eqn.outvars, partial(_sum_of_splits, made, added, eqn.params["sizes"])))
    return found


def is_split(eqn: Any) -> bool:
    """Whether an equation cuts an array along its last axis."""
    return eqn.primitive.name == "split" and eqn.params["axis"] == eqn.invars[0].aval.ndim - 1


def is_merging(eqn: Any) -> bool:
    """Whether an equation merges the last two axes of an array, (..., G, H) to (..., G*H), of several gates."""
    if eqn is None or eqn.primitive.name != "reshape" or eqn.invars[0].aval.ndim < 2:
        return False
    *outer, gates, size = eqn.invars[0].aval.shape
    return gates != 1 and eqn.outvars[0].aval.shape == (*outer, gates * size)


def _sum_of_splits(made: dict[Var, Any], added: Any, sizes: Sequence[int], read: Read) -> Sequence[Array]:
    left, right = (_split(_unparted(made, var, sum(sizes)), sizes, read) for var in added.invars)
    combine = jax.lax.add if added.primitive.name == "add" else jax.lax.sub
    return [combine(a, b) for a, b in zip(left, right, strict=True)]


def _unparted(made: dict[Var, Any], var: Var, width: int) -> Var:
    """What (..., G, H) was reshaped from, if that is (..., G*H): merged again, it would be the same."""
    eqn = made.get(var)
    if eqn is None or eqn.primitive.name != "reshape" or eqn.invars[0].aval.shape != (*var.aval.shape[:-2], width):
        return var
    return eqn.invars[0]


def _split(whole: Var, sizes: Sequence[int], read: Read) -> Sequence[Array]:
    return split_last(read(whole), sizes)


def split_last(array: Array, sizes: Sequence[int]) -> list[Array]:
    """Pieces of those sizes along the last axis, or along the last two together, (..., G, H), if that is shorter."""
    if array.shape[-1] != sum(sizes):
        array = array.reshape(*array.shape[:-2], sum(sizes))
    return list(jax.lax.split(array, sizes, axis=array.ndim - 1))


def evaluate(traced: Traced, args: Sequence[Any], instead: Sequence[Replacement] = ()) -> Leaves:
    """Evaluates a traced function, what `jax.jit` wraps in its place, and some of its results another way."""
    values: dict[Var, Any] = dict(zip(traced.jaxpr.constvars, traced.consts, strict=True))
    values.update(zip(traced.jaxpr.invars, args, strict=True))
    replaced = {var: replacement for replacement in instead for var in replacement.results}

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else values[atom]

    for eqn in traced.jaxpr.eqns:
        results, reads = eqn.outvars, variables(eqn.invars)
        first = results[0] if results else None
        if first in replaced and first in values:
            continue
        if first in replaced:
            results, compute = replaced[first]
            found = compute(read)
        elif _is_jit(eqn):
            found = evaluate(eqn.params["jaxpr"], [read(atom) for atom in eqn.invars])
        else:
            alone = core.Jaxpr((), reads, results, [eqn], debug_info=traced.jaxpr.debug_info.with_unknown_names())
            found = core.jaxpr_as_fun(core.ClosedJaxpr(alone, ()))(*map(read, reads))
        values.update(zip(results, found, strict=True))
    return [read(atom) for atom in traced.jaxpr.outvars]


def variables(atoms: Iterable[Any]) -> list[Var]:
    """The atoms that are variables, each once and in order: literals, which are constants, are left out."""
    return list(dict.fromkeys(atom for atom in atoms if not isinstance(atom, Literal)))


def are_same(one: Traced, other: Traced) -> bool:
    """Whether two traces compute the same results by the same equations, in whatever order and however often."""
    known: dict[Any, int] = {}
    return _numbered(one, known) == _numbered(other, known)


def _numbered(traced: Traced, known: dict[Any, int]) -> list[int]:
    """A number for each result of a trace: equal ones are computed by equal equations from equal inputs.

    `known` has the numbers given so far, by what they stand for.
    """

    def number(what: Any) -> int:
        return known.setdefault(what, len(known))

    def constant(value: Any) -> Any:
        is_traced = isinstance(value, Tracer) or jnp.issubdtype(value.dtype, jax.dtypes.extended)
        return id(value) if is_traced else (value.dtype.name, value.shape, np.asarray(value).tobytes())

    numbers = {var: number(("input", i)) for i, var in enumerate(traced.jaxpr.invars)}
    for var, value in zip(traced.jaxpr.constvars, traced.consts, strict=True):
        numbers[var] = number(("constant", constant(value)))

    def read(atom: Any) -> int:
        return number(("literal", str(atom.aval), repr(atom.val))) if isinstance(atom, Literal) else numbers[atom]

    for eqn in traced.jaxpr.eqns:
        # Functions among an equation's parameters, such as the rule of a `custom_jvp`, are other objects in each trace.
        how = sorted((name, _ADDRESS.sub("", str(value))) for name, value in eqn.params.items())
        made = eqn.primitive.name, tuple(how), tuple(map(read, eqn.invars))
        numbers.update((var, number((*made, i))) for i, var in enumerate(eqn.outvars))
    return [read(atom) for atom in traced.jaxpr.outvars]


def dependents(traced: Traced, sources: Iterable[Var]) -> set[Var]:
    """The sources and every variable computed from one of them."""
    found = set(sources)
    for eqn in traced.jaxpr.eqns:
        if not found.isdisjoint(variables(eqn.invars)):
            found.update(eqn.outvars)
    return found


def contributors(traced: Traced, results: Iterable[Any]) -> set[Var]:
    """The results and every variable that one of them is computed from."""
    found = set(variables(results))
    for eqn in reversed(traced.jaxpr.eqns):
        if not found.isdisjoint(eqn.outvars):
            found.update(variables(eqn.invars))
    return found


def part(traced: Traced, given: Sequence[Var], wanted: Sequence[Any]) -> Callable[..., Leaves]:
    """The function from the values of `given` to those of `wanted`, by the equations of `traced` that lie between.

    A variable may be given twice, and is then read where it stands last.
    """
    jaxpr, reached, eqns = traced.jaxpr, set(given), []
    needed = set(variables(wanted)) - reached
    for eqn in reversed(jaxpr.eqns):
        if not needed.isdisjoint(eqn.outvars):
            eqns.insert(0, eqn)
            needed.update(var for var in variables(eqn.invars) if var not in reached)
    constants = [var for var in jaxpr.constvars if var not in reached]
    values = dict(zip(jaxpr.constvars, traced.consts, strict=True))
    cut = core.Jaxpr(constants, list(given), list(wanted), eqns, debug_info=jaxpr.debug_info.with_unknown_names())
    return core.jaxpr_as_fun(core.ClosedJaxpr(cut, [values[var] for var in constants]))


def followers(traced: Traced, stored: Iterable[Var], varying: set[Var]) -> set[Var]:
    """`stored`, and the varying values that follow from it and from constants without a heavy equation."""
    known = set(stored)
    for eqn in traced.jaxpr.eqns:
        reads = [var for var in variables(eqn.invars) if var in varying]
        if reads and not is_heavy(eqn) and known.issuperset(reads):
            known.update(eqn.outvars)
    return known


def reached(traced: Traced, wanted: Iterable[Any], stops: set[Var]) -> list[Var]:
    """The variables of `stops` met on the way back from `wanted`, which is not followed beyond them."""
    found = {var: None for var in variables(wanted) if var in stops}
    needed = set(variables(wanted)) - stops
    for eqn in reversed(traced.jaxpr.eqns):
        if not needed.isdisjoint(eqn.outvars):
            reads = variables(eqn.invars)
            found.update((var, None) for var in reads if var in stops)
            needed.update(var for var in reads if var not in stops)
    return list(found)


def constants(traced: Traced, varying: set[Var], sunk: set[str]) -> set[Var]:
    """The inputs and computed variables that are not `varying`, but for those that a primitive of `sunk` computes."""
    found = set(traced.jaxpr.invars)
    for eqn in traced.jaxpr.eqns:
        if eqn.primitive.name not in sunk:
            found.update(eqn.outvars)
    return found - varying


def is_heavy(eqn: Any) -> bool:
    """Whether an equation is never computed twice: it is, or holds, a matrix product, a loop, or what costs as much.

    Or it asks whether two floating numbers are equal, as the derivative of a maximum does: computed again, one of them
    may be rounded otherwise.
    """
    if eqn.primitive.name in ("eq", "ne") and jnp.issubdtype(eqn.invars[0].aval.dtype, jnp.inexact):
        return True
    return eqn.primitive.name in _HEAVY or any(is_heavy(inner) for inner in inner_equations(eqn))


def inner_equations(eqn: Any) -> Iterable[Any]:
    """The equations of the functions that an equation calls."""
    for value in eqn.params.values():
        for function in value if isinstance(value, tuple | list) else (value,):
            jaxpr = getattr(function, "jaxpr", function)
            if isinstance(jaxpr, core.Jaxpr):
                yield from jaxpr.eqns
