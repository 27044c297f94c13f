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
    split: its adjoint is one concatenation of their adjoints, where that of slices is a sum of padded arrays.
    """
    traced = jax.make_jaxpr(f)(*args)
    if any(_is_jit(eqn) for eqn in traced.jaxpr.eqns):
        traced = again(traced, [])
    if splits := _splits(traced):
        traced = again(traced, splits)
    return traced


def split_early(traced: Traced) -> Traced:
    """The same function with sums of splits in the place of splits of sums.

    Trick: gates cut apart as early as can be. A projection of all gates and a product for all gates are then cut before
    they are added, and each gate has its place in the buffer of the projection. However a cell cuts its gates, it
    becomes the same program: the textbook's MGU holds 7.1 T B H values in a training step instead of 9.1.
    """
    while splits := _splits_of_sums(traced):
        traced = again(traced, splits)
    return traced


def again(traced: Traced, instead: Sequence[Replacement]) -> Traced:
    """The same function traced once more, some of its results computed another way."""
    args = [jax.ShapeDtypeStruct(var.aval.shape, var.aval.dtype) for var in traced.jaxpr.invars]
    return jax.make_jaxpr(lambda *leaves: evaluate(traced, leaves, instead))(*args)


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


def _splits_of_sums(traced: Traced) -> list[Replacement]:
    eqns, outputs = traced.jaxpr.eqns, variables(traced.jaxpr.outvars)
    sums = {eqn.outvars[0]: eqn for eqn in eqns if eqn.primitive.name in ("add", "sub")}
    found = []
    for eqn in eqns:
        if not is_split(eqn):
            continue
        whole = eqn.invars[0]
        readers = [other for other in eqns if whole in variables(other.invars)]
        if whole in sums and readers == [eqn] and whole not in outputs:
            added = sums[whole]
            if all(not isinstance(atom, Literal) and atom.aval.shape == whole.aval.shape for atom in added.invars):
                found.append(Replacement(eqn.outvars, partial(_sum_of_splits, added, eqn.params["sizes"])))
    return found


def is_split(eqn: Any) -> bool:
    """Whether an equation cuts an array along its last axis."""
    return eqn.primitive.name == "split" and eqn.params["axis"] == eqn.invars[0].aval.ndim - 1


def _sum_of_splits(added: Any, sizes: Sequence[int], read: Read) -> Sequence[Array]:
    left, right = (_split(var, list(sizes), read) for var in added.invars)
    combine = jax.lax.add if added.primitive.name == "add" else jax.lax.sub
    return [combine(a, b) for a, b in zip(left, right, strict=True)]


def _split(whole: Var, sizes: list[int], read: Read) -> Sequence[Array]:
    return jax.lax.split(read(whole), sizes, axis=whole.aval.ndim - 1)


def evaluate(traced: Traced, args: Sequence[Any], instead: Sequence[Replacement] = ()) -> Leaves:
    """Evaluates a traced function, what `jax.jit` wraps in its place, and some of its results another way."""
    values: dict[Var, Any] = dict(zip(traced.jaxpr.constvars, traced.consts, strict=True))
    values.update(zip(traced.jaxpr.invars, args, strict=True))
    replaced = {var: replacement for replacement in instead for var in replacement.results}

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else values[atom]

    for eqn in traced.jaxpr.eqns:
        results, reads = eqn.outvars, variables(eqn.invars)
        if results[0] in replaced and results[0] in values:
            continue
        if results[0] in replaced:
            results, compute = replaced[results[0]]
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
