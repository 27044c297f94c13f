"""Splitting the batch over devices: accelerators, or the cores of a CPU counted as devices.

XLA walks a recurrence step by step, and on several CPU cores all of them meet at every step. With the batch split, each
core walks whole sequences of its own rows and they meet once, where weight gradients are summed.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from recurrax.typing import Array, Params

BATCH = "batch"
"""The name of the one mesh axis."""


def cpu_cores() -> int:
    """How many cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def use_cpu_devices(count: int) -> None:
    """Asks for `count` CPU devices; to be called before anything else asks JAX for a device or an array.

    Raises:
        ValueError: count is not a positive int.
        RuntimeError: JAX has already started with another number of them.
    """
    if not isinstance(count, int) or count < 1:
        raise ValueError(f"count: expected a positive int, got {count!r}")
    try:
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError as error:
        raise RuntimeError(
            f"use_cpu_devices({count}) came after JAX had started: call it first, before any array is made"
        ) from error


def batch_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh of one axis, "batch", over `devices`: all of this process's if None."""
    devices = jax.local_devices() if devices is None else devices
    # JAX's default of explicit axes makes gradients of split batches a type error from 0.12 on.
    return jax.make_mesh((len(devices),), (BATCH,), axis_types=(AxisType.Auto,), devices=devices)


def replicate(mesh: Mesh, tree: Any) -> Any:
    """A copy of every leaf on every device of the mesh."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def split_batch(mesh: Mesh, tree: Any) -> Any:
    """Every leaf (B, ...) cut into one piece of rows per device."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec(BATCH)))


def split_loss(
    loss: Callable[[Params, Any], Array], mesh: Mesh, *, axes: Any = 0, mean: bool
) -> Callable[[Params, Any], Array]:
    """A loss whose batch is cut over the mesh, differentiable in both arguments.

    Args:
        loss: (params, batch) to a scalar that is a sum or a mean over the rows of the batch.
        mesh: from `batch_mesh`; its size must divide B.
        axes: which axis of each leaf of the batch is B: one int, or a pytree of them like the batch or a prefix of it.
        mean: whether `loss` is a mean over rows rather than a sum.

    >>> import jax.numpy as jnp
    >>> mesh = batch_mesh(jax.local_devices()[:1])
    >>> float(split_loss(lambda w, x: jnp.mean(w * x), mesh, mean=True)(2.0, jnp.arange(4.0)))
    3.0
    """
    reduce = jax.lax.pmean if mean else jax.lax.psum
    cut = jax.tree.map(lambda axis: PartitionSpec(*[None] * axis, BATCH), axes)

    def local(params: Params, batch: Any) -> Array:
        return reduce(loss(params, batch), BATCH)

    # A loop whose carry starts from zeros does not type-check as varying over the mesh, though it is.
    return jax.shard_map(local, mesh=mesh, in_specs=(PartitionSpec(), cut), out_specs=PartitionSpec(), check_vma=False)
