"""Meshes with explicit axes, the default of `jax.make_mesh`: inside a scan they are automatic ones."""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

Mesh = Any


def explicit_mesh(*trees: Any) -> Mesh | None:
    """The mesh of the first leaf that lies on one with an explicit axis, or None."""
    for leaf in jax.tree.leaves(trees):
        mesh = getattr(getattr(jax.typeof(leaf), "sharding", None), "mesh", None)
        if mesh is not None and AxisType.Explicit in getattr(mesh, "axis_types", ()):
            return mesh
    return None


def with_automatic_axes(run: Callable[..., Any], mesh: Mesh, xs: Any, batch_shape: tuple[int, ...], *args: Any) -> Any:
    """run(xs, *args) under automatic axes of `mesh`, to (outputs (T, *batch, ...), carry (*batch, ...)).

    Products merge time and batch into rows, which JAX refuses where an explicit axis cuts the batch. Results are cut
    as xs is over the batch and whole on their other axes; gradients are cut as what they belong to.
    """
    shapes = jax.eval_shape(run, *jax.tree.map(_shape, (xs, *args)))
    cuts = jax.typeof(jax.tree.leaves(xs)[0]).sharding.spec
    cuts = tuple(cuts[1 : 1 + len(batch_shape)])
    outputs = NamedSharding(mesh, PartitionSpec(None, *cuts))
    carry = jax.tree.map(lambda _: NamedSharding(mesh, PartitionSpec(*cuts)), shapes[1])
    return jax.sharding.auto_axes(run, out_sharding=type(shapes)(outputs, carry))(xs, *args)


def _shape(leaf: Any) -> Any:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
