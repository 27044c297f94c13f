"""Splitting the batch over devices: accelerators, or the cores of a CPU counted as devices.

XLA walks a recurrence step by step, and on several CPU cores all of them meet at every step. With the batch split, each
core walks whole sequences of its own rows and they meet once, where weight gradients are summed.
"""

import os
from collections.abc import Callable
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


def batch_mesh(devices: list[jax.Device] | None = None) -> Mesh:
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


def split_sum(loss: Callable[[Params, Array], Array], mesh: Mesh) -> Callable[[Params, Array], Array]:
    """A loss that is a sum over the rows of a batch, each device summing over its own.

    Args:
        loss: (params, batch with leaves (B, ...)) to a scalar.
        mesh: from `batch_mesh`; it must divide B.
    """

    def local(params: Params, batch: Any) -> Array:
        return jax.lax.psum(loss(params, batch), BATCH)

    # A loop whose carry starts from zeros does not type-check as varying over the mesh, though it is.
    specs = (PartitionSpec(), PartitionSpec(BATCH))
    return jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=PartitionSpec(), check_vma=False)
