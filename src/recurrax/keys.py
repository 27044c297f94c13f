"""Keys of random numbers as leaves of a carry: absent until one is given, and then one for every row of the batch."""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from recurrax.typing import Array, Key, Shape

Tree = TypeVar("Tree")

_ABSENT = np.uint32(0xFFFFFFFF)
"""Every word of a key that stands for none; that `jax.random.split` gives it has probability 2^-64."""


def with_key(tree: Tree, key: Key) -> Tree:
    """A carry with all keys in it drawn from one: another for every row of the batch and every leaf.

    A cell that needs chance, such as `recurrax.Dropout`, holds a key in its carry, which is absent from its initial
    carry: without one the cell is deterministic. A reset leaves keys alone, and a scan goes on with those it is given,
    so that a sequence cut in two draws what the whole draws.

    Args:
        tree: a carry, or any pytree; leaves that are no keys of `jax.random.key` stay, raw uint32 ones too.
        key: a single key, or one for each row, (*batch,), of which a row's draws are then a function, whatever the
            rows beside it.

    Raises:
        ValueError: there are neither one key nor as many as rows.

    >>> import recurrax
    >>> cell = recurrax.Dropout(recurrax.LSTM(4), rate=0.5)
    >>> params = cell.init(jax.random.key(0), input_size=3)
    >>> carry = with_key(cell.initial_carry(params, (2,), jnp.float32), jax.random.key(1))
    >>> xs = jnp.ones((5, 2, 3))  # two equal rows
    >>> outputs = recurrax.scan(cell, params, xs, carry).outputs
    >>> bool(jnp.any(outputs[:, 0] != outputs[:, 1]))
    True
    """
    leaves, structure = jax.tree.flatten(tree)
    for number, leaf in enumerate(leaves):
        if is_key(leaf) and key.ndim == 0:
            leaves[number] = jax.random.split(jax.random.fold_in(key, number), leaf.shape)
        elif is_key(leaf):
            if key.shape != leaf.shape:
                raise ValueError(f"key: expected a single key, or one for each row {leaf.shape}, got shape {key.shape}")
            leaves[number] = jax.vmap(jax.random.fold_in, (0, None))(key.reshape(-1), number).reshape(leaf.shape)
    return jax.tree.unflatten(structure, leaves)


def is_key(leaf: Any) -> bool:
    """Whether a leaf holds keys of `jax.random.key`; raw uint32 ones cannot be told from numbers."""
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def absent(batch_shape: Shape) -> Key:
    """Keys (*batch,) that stand for none."""
    words = jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0))).shape
    return jax.random.wrap_key_data(jnp.full((*batch_shape, *words), _ABSENT))


def is_given(key: Key) -> Array:
    """Bool (*batch,): the rows that have a key."""
    return jnp.any(jax.random.key_data(key) != _ABSENT, axis=-1)


def bernoulli(key: Key, rate: float, like: Array, number: int) -> Array:
    """Bools of the shape of `like` (*batch, ...), True with probability `rate`, from keys (*batch,).

    Leaves of one carry draw independently by their `number`.
    """
    shape = like.shape[key.ndim :]

    def of_row(key: Key) -> Array:
        return jax.random.uniform(jax.random.fold_in(key, number), shape, jnp.float32) < rate

    return jax.vmap(of_row)(key.reshape(-1)).reshape(like.shape)


def advanced(key: Key) -> tuple[Key, Key]:
    """Two keys from each of (*batch,): the row's next one, and one to draw from now. An absent key stays absent."""
    pairs = jax.vmap(jax.random.split)(key.reshape(-1))  # (B, 2)
    return jnp.where(is_given(key), pairs[:, 0].reshape(key.shape), key), pairs[:, 1].reshape(key.shape)
