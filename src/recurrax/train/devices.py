"""Splitting rows and batches over devices: accelerators, cores of a CPU counted as devices, those of many processes.

XLA walks a recurrence step by step, and on several CPU cores all of them meet at every step. With the batch split, each
core walks whole sequences of its own and they meet once, where weight gradients are summed. With the rows of a training
split, each core trains networks of its own and they meet once per chunk of steps, where metrics are gathered.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from recurrax.typing import Array, Params

ROWS, BATCH = "rows", "batch"
"""The names of the mesh axes: over one the rows of a training are split, over the other its batches."""


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


def mesh(rows: int = 1, batch: int = 1, devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh of two axes, "rows" by "batch", over the first rows · batch devices.

    The devices of a place along "rows" train rows of their own and share each of their batches; those of one process
    lie side by side along "batch".

    Args:
        rows: how many parts the rows of a training are split into.
        batch: how many parts each batch is split into.
        devices: all devices of all processes if None; then each process has to have one of those used.

    Raises:
        ValueError: a number is not a positive int, or there are fewer devices, or a process would have none.

    >>> dict(mesh(rows=1, batch=1).shape)
    {'rows': 1, 'batch': 1}
    """
    processes = jax.process_count() if devices is None else 1
    devices = list(jax.devices() if devices is None else devices)
    for name, count in ((ROWS, rows), (BATCH, batch)):
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"{name}: expected a positive int, got {count!r}")
    if rows * batch > len(devices):
        raise ValueError(f"rows, batch: expected a product of at most {len(devices)} devices, got {rows} x {batch}")
    used = devices[: rows * batch]
    if len({device.process_index for device in used}) < processes:
        raise ValueError(
            f"rows, batch: expected devices of all {processes} processes, got {rows} x {batch} of {len(devices)}"
        )
    # JAX's default of explicit axes makes gradients of split batches a type error from 0.12 on.
    return jax.make_mesh((rows, batch), (ROWS, BATCH), axis_types=(AxisType.Auto,) * 2, devices=used)


def batch_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """The mesh that splits batches alone, over `devices`: all devices of all processes if None."""
    devices = jax.devices() if devices is None else devices
    return mesh(batch=len(devices), devices=devices)


def place(sharding: NamedSharding, tree: Any) -> Any:
    """Every leaf, of which every process has the whole, laid out over devices."""
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)

    def put(leaf: Any) -> Array:
        if isinstance(leaf, jax.Array) and leaf.sharding == sharding:
            return leaf
        # device_put would gather every leaf from every process to compare them.
        whole = np.asarray(leaf)
        return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])

    return jax.tree.map(put, tree)


def replicate(mesh: Mesh, tree: Any) -> Any:
    """A copy of every leaf on every device of the mesh."""
    return place(NamedSharding(mesh, PartitionSpec()), tree)


def split_batch(mesh: Mesh, tree: Any) -> Any:
    """Every leaf (B, ...), of which every process has the whole, cut into one piece of rows per device."""
    return place(NamedSharding(mesh, PartitionSpec(BATCH)), tree)


def local_copy(tree: Any) -> Any:
    """This process's own copy of every replicated leaf, on one of its devices."""
    return jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)


def row_parts(mesh: Mesh | None) -> int:
    """How many parts the rows of a training are split into."""
    return 1 if mesh is None else mesh.shape[ROWS]


def split_rows(run: Callable[..., Any], mesh: Mesh | None, whole: int = 0) -> Callable[..., Any]:
    """`run` with every leaf (S, ...) of its arguments and results cut along S over the mesh, so that no row waits.

    What is in a loop of one device's rows, its number of steps too, is no other device's business. Of the last `whole`
    arguments each device has the whole. The number of parts must divide S.
    """
    if row_parts(mesh) == 1:
        return run

    def cut(*args: Any) -> Any:
        each = PartitionSpec(ROWS)
        specs = (each,) * (len(args) - whole) + (PartitionSpec(),) * whole
        # The axis "batch" stays free, for `split_loss` to cut.
        return jax.shard_map(run, mesh=mesh, axis_names={ROWS}, in_specs=specs, out_specs=each, check_vma=False)(*args)

    return cut


def split_loss(
    loss: Callable[[Params, Any], Array], mesh: Mesh, *, axes: Any = None, mean: bool
) -> Callable[[Params, Any], Array]:
    """A loss whose batch is cut over the mesh, differentiable in both arguments.

    Args:
        loss: (params, batch) to a scalar that is a sum or a mean over the rows of the batch.
        mesh: from `mesh` or `batch_mesh`; the size of its axis "batch" must divide B.
        axes: which axis of each leaf of the batch is B: one int, or a pytree of them like the batch or a prefix of it;
            None for a batch that says so itself, as those of `recurrax.tasks` do by `batch_axes`.
        mean: whether `loss` is a mean over rows rather than a sum.

    Raises:
        ValueError: when called with a batch of B rows that the devices cannot share equally, that has no axes of its
            own where `axes` is None, or whose leaves differ in B.

    >>> import jax.numpy as jnp
    >>> mesh = batch_mesh(jax.local_devices()[:1])
    >>> float(split_loss(lambda w, x: jnp.mean(w * x), mesh, axes=0, mean=True)(2.0, jnp.arange(4.0)))
    3.0
    """
    reduce = jax.lax.pmean if mean else jax.lax.psum

    def local(params: Params, batch: Any) -> Array:
        return reduce(loss(params, batch), BATCH)

    def whole(params: Params, batch: Any) -> Array:
        known = _known_axes(batch) if axes is None else axes
        _check_rows(mesh.shape[BATCH], known, batch)
        specs = PartitionSpec(), jax.tree.map(lambda axis: PartitionSpec(*[None] * axis, BATCH), known)
        # Where `split_rows` has cut the rows, the mesh is the one at hand, with the axis "batch" left.
        inside = ROWS in jax.sharding.get_abstract_mesh().manual_axes
        over: dict[str, Any] = {"axis_names": {BATCH}} if inside else {"mesh": mesh}
        # A loop whose carry starts from zeros does not type-check as varying over the mesh, though it is.
        split = jax.shard_map(local, in_specs=specs, out_specs=PartitionSpec(), check_vma=False, **over)
        return split(params, batch)

    return whole


def _known_axes(batch: Any) -> Any:
    if not hasattr(batch, "batch_axes"):
        raise ValueError(
            "batch_axes: expected with a mesh, which axis of each leaf of the batch is B, "
            f"since a batch of type {type(batch).__name__} does not say; got None"
        )
    return batch.batch_axes


def _check_rows(devices: int, axes: Any, batch: Any) -> None:
    parts: list[set[int]] = []
    jax.tree.map(lambda axis, part: parts.append({leaf.shape[axis] for leaf in jax.tree.leaves(part)}), axes, batch)
    rows = sorted(set().union(*parts))
    if len(rows) > 1:
        raise ValueError(f"batch_axes: expected axes of one length, that of the batch, got lengths {rows}")
    if rows and rows[0] % devices:
        raise ValueError(f"batch: expected rows that {devices} devices can share equally, got {rows[0]}")
