"""Leaves of one shape and dtype that lie side by side in one array, along their last axis.

A cell cuts its gates from one product. An array of its own for each of them would be a second copy of the projection:
a kernel reads and writes all of them as one, and cuts and joins what a step computes with.
"""

from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from recurrax.kernels import tiles
from recurrax.kernels.jaxprs import Leaves
from recurrax.kernels.residuals import Derivative, is_moving, moving
from recurrax.kernels.steps import Step
from recurrax.kernels.tiles import Tiles


class Layout(NamedTuple):
    """Of each array the places of its leaves."""

    groups: list[list[int]]

    def join(self, leaves: Leaves) -> Leaves:
        """The arrays that hold the leaves."""
        return [
            leaves[group[0]] if len(group) == 1 else jnp.concatenate([leaves[i] for i in group], axis=-1)
            for group in self.groups
        ]

    def cut(self, arrays: Leaves) -> Leaves:
        """The leaves that the arrays hold, by their places."""
        pieces = self.pieces(dict(enumerate(arrays)))
        return [pieces[i] for i in range(len(pieces))]

    def pieces(self, arrays: dict[int, Any]) -> dict[int, Any]:
        """The leaves that some of the arrays hold, by the places of both."""
        found = {}
        for number, array in arrays.items():
            group = self.groups[number]
            if len(group) > 1:
                cut = jax.lax.split(array, [array.shape[-1] // len(group)] * len(group), axis=array.ndim - 1)
                found.update(zip(group, cut, strict=True))
            else:
                found[group[0]] = array
        return found


def neighbours(leaves: Leaves) -> Layout:
    """Leaves of one step, (rows, ...): neighbours with an axis beside that of rows lie side by side."""

    def kind(i: int) -> Any:
        return (leaves[i].shape, leaves[i].dtype, i if leaves[i].ndim < 2 else None)

    return Layout([list(group) for _, group in groupby(range(len(leaves)), kind)])


def overwritten(old: dict[int, Any], new: Leaves) -> dict[int, int]:
    """For arrays that are not needed afterwards, by their places, the place of a new one of that shape and dtype."""
    free, found = list(range(len(new))), {}
    for place, array in old.items():
        fits = [i for i in free if are_alike(new[i], array)]
        if fits:
            found[place] = fits[0]
            free.remove(fits[0])
    return found


def are_alike(one: Any, other: Any) -> bool:
    """Whether two arrays have one shape and dtype."""
    return (one.shape, one.dtype) == (other.shape, other.dtype)


class Shapes(NamedTuple):
    """Of one step: what the forward kernel saves of it; what the backward one has, reads of s and z, and moves."""

    saved: Leaves
    fixed: Leaves
    before: Leaves
    moved: Leaves


def shapes_of(step: Step, d: Derivative) -> Shapes:
    """The shapes of a step and of its derivative."""
    carry, seen, u = step.carry, step.seen, step.u
    saved = jax.eval_shape(d.forward, *step.prepared, *carry, *u)[len(carry) + len(seen) :]
    fixed = jax.eval_shape(d.fix, *step.prepared)
    before = [*(carry[i] for i in d.read_s), *(seen[i] for i in d.read_z)]
    read_u = [u[i] for i in d.read_u]
    made = jax.eval_shape(d.backward, *fixed, *before, *read_u, *saved, *moving(carry), *moving(seen))
    return Shapes(saved, fixed, before, made[sum(d.flows) + len(d.summed) :])


class Arrays(NamedTuple):
    """What lies side by side in the arrays that the kernels read and write.

    of_u: the pieces of u. saved: of u's pieces and, numbered on from them, what is saved. moved: what is moved.
    unchanged: arrays of u that the backward kernel reads as they are.
    """

    of_u: Layout
    saved: Layout
    moved: Layout
    unchanged: list[int]

    def read(self, arrays: Leaves) -> tuple[Leaves, dict[int, Any]]:
        """What is saved, and pieces of u by their places, of the arrays left unchanged and those with what is saved."""
        n_u = sum(map(len, self.of_u.groups))
        pieces = self.saved.pieces(dict(enumerate(arrays[len(self.unchanged) :])))
        u = self.of_u.pieces(dict(zip(self.unchanged, arrays, strict=False))) | pieces
        return [pieces[i] for i in sorted(pieces) if i >= n_u], u


def arrays(step: Step, d: Derivative, shapes: Shapes, together: bool = True) -> Arrays:
    """Arrays of one shape, as far as can be, so that one replaces the other.

    What is saved takes the places of pieces of u that no derivative reads, adjoints those of u itself. Unless they lie
    together, each piece is an array of its own.
    """
    n_u = len(step.u)
    of_u = neighbours(step.u) if together else Layout([[i] for i in range(n_u)])
    unsaved, saved, unchanged = list(range(len(shapes.saved))), [], []
    for number, group in enumerate(of_u.groups):
        array = []
        for i in group:
            fits = [k for k in unsaved if i not in d.kept_u and are_alike(shapes.saved[k], step.u[i])][:1]
            unsaved = [k for k in unsaved if k not in fits]
            array.append(n_u + fits[0] if fits else i)
        if max(array) >= n_u:
            saved.append(array)
        elif not set(d.kept_u).isdisjoint(group):
            unchanged.append(number)
    adjoint = dict(zip([i for i, leaf in enumerate(step.u) if is_moving(leaf)], d.u_at, strict=True))
    unmoved, moved = list(range(len(shapes.moved))), []
    for group in of_u.groups:
        array = list(dict.fromkeys(k for i in group if (k := adjoint.get(i)) in unmoved))
        if len(array) == len(group):  # something flows back to each, and not the same to two
            unmoved = [k for k in unmoved if k not in array]
            moved.append(array)
    alone = [[n_u + k] for k in unsaved], [[k] for k in unmoved]
    return Arrays(of_u, Layout([*saved, *alone[0]]), Layout([*moved, *alone[1]]), unchanged)


def tiles_of(
    step: Step, d: Derivative, shapes: Shapes, arrays: Arrays, flags: Leaves, n_steps: int, resets: bool
) -> tuple[Tiles, Tiles]:
    """The tiles of the forward and of the backward kernel; flags, the shapes of what says which rows a step is for."""
    carry, (saved, fixed, before, moved) = step.carry, shapes
    choose = partial(tiles.choose, carry[0].shape[0], n_steps)
    u = jax.eval_shape(arrays.of_u.join, step.u)
    saved, moved = jax.eval_shape(arrays.saved.join, [*step.u, *saved]), jax.eval_shape(arrays.moved.join, moved)
    entering, unchanged = [carry[i] for i in d.alone], [u[i] for i in arrays.unchanged]
    forward = choose(step.prepared, carry * (3 if resets else 2), [*u, *flags, *step.seen, *saved, *entering])
    state, ct_z = moving(carry) * (4 if resets else 2), moving(step.seen)
    return forward, choose([*fixed, *d.summed], state, [*before, *unchanged, *saved, *ct_z, *flags, *moved])
