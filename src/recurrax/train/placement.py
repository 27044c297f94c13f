"""A training's state on the devices of its mesh, where each has rows of its own, and back.

So that all have equally many, the last row is there as often as need be; its copies take no time that others do not.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from recurrax.train.compiled import Shared
from recurrax.train.devices import place, row_parts
from recurrax.train.step import State, layout
from recurrax.train.training import Training


def place_state(training: Training, state: State) -> State:
    """The state of S rows, which every process has, as a Program of the training takes it."""
    mesh, missing = training.mesh, -len(training.all_rows) % row_parts(training.mesh)
    if mesh is None:
        return state
    if missing:
        state = _over_rows(lambda leaf: np.concatenate([leaf, *[leaf[-1:]] * missing]), jax.tree.map(np.asarray, state))
    return State(*(place(sharding, field) for sharding, field in zip(layout(mesh), state, strict=True)))


def to_whole(training: Training) -> Callable[[State], State]:
    """A function from a placed state to that of S rows, all of which every process can read.

    Where the devices are this process's own and share the rows equally, that is the placed state itself.
    """
    mesh, count = training.mesh, len(training.all_rows)
    if mesh is None or row_parts(mesh) == 1:
        return lambda state: state
    in_each = NamedSharding(mesh, PartitionSpec())
    if in_each.is_fully_addressable and count % row_parts(mesh) == 0:
        return lambda state: state
    return Shared(lambda state: _over_rows(lambda leaf: leaf[:count], state), in_each)


def _over_rows(change: Callable[[Any], Any], state: State) -> State:
    """The state with every leaf that has an axis S changed."""
    return jax.tree.map(change, state._replace(step=None))._replace(step=state.step)  # pyright: ignore
