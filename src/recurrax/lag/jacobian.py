"""The long Jacobian ∂s_T/∂s_{T-k}: how far any change of the state can reach, not one loss's share of it."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from recurrax.lag import scaled, walk
from recurrax.lag.linalg import log_largest_singular_value
from recurrax.lag.scaled import Scaled
from recurrax.lag.walk import Trajectory
from recurrax.typing import Array, Carry, Cell, Key, Params


class JacobianProfile(NamedTuple):
    """Natural logs of norms of P_k = ∂s_{T-1}/∂s_{T-1-k} over the joint state, at the lags asked for.

    lag: (K,) ints.
    log_operator_norm: (K, *batch), ln σ₁(P_k); None with probes.
    log_frobenius_norm: (K, *batch), ln ‖P_k‖_F; less ½ ln n it is the root-mean-square gain of n state components.
    frobenius_error: (K, *batch), standard error of the above in nats; None where it is exact.
    stable_rank: (K, *batch), ‖P_k‖_F² / σ₁², between 1 and n; None with probes.
    log_block: a carry of carries, `log_block.h.c` being ln σ₁(∂h_{T-1}/∂c_{T-1-k}), (K, *batch); None with probes.

    -inf is a norm that is zero; NaN marks the lags a row is too short for.
    """

    lag: Array
    log_operator_norm: Array | None
    log_frobenius_norm: Array
    frobenius_error: Array | None
    stable_rank: Array | None
    log_block: Any


def jacobian_profile(
    cell: Cell,
    params: Params,
    xs: Array,
    carry: Carry | None = None,
    *,
    lags: Sequence[int],
    lengths: Array | None = None,
    probes: int | None = None,
    key: Key | None = None,
) -> JacobianProfile:
    """Measures P_k = J_{T-1} J_{T-2} … J_{T-k}, J_t = ∂s_t/∂s_tm1, exactly or by random probes.

    All n rows of P_k are pulled back together, as one matrix near 1 and a power of two, so no lag underflows and the
    largest singular values keep their digits; n² numbers per row of the batch and lag are held. With probes, S rows
    gᵀP_k with g ~ N(0, I) take their place: E ‖gᵀP_k‖² = ‖P_k‖_F², whose error is estimated from their spread. A
    single probe's log norm is biased by -0.6 nats once the stable rank nears 1, so at least 16 are asked for.

    Args:
        cell: any cell of the contract.
        params: its parameters, finite.
        xs: (T, *batch, D) inputs.
        carry: the carry before the first step; the cell's initial carry if None.
        lags: K different ints in 0..T-1.
        lengths: (*batch,) ints in 0..T; lag 0 is then each row's own last step.
        probes: S >= 16, or None for exact norms.
        key: draws the probes.

    Raises:
        ValueError: a lag outside the sequence or twice, fewer than 16 probes, probes without a key, or what `scan`
            refuses.

    References: Pascanu, Mikolov & Bengio (2013), eq. 5; Hutchinson (1990) for the probes.

    >>> import recurrax
    >>> cell = recurrax.LSTM(4)
    >>> params = cell.init(jax.random.key(0), input_size=2)
    >>> profile = recurrax.lag.jacobian_profile(cell, params, jnp.ones((30, 2)), lags=(0, 10, 20))
    >>> profile.stable_rank.shape, round(float(profile.stable_rank[0]), 3), profile.log_block.h.c.shape
    ((3,), 8.0, (3,))
    """
    carry, valid = walk.check(cell, params, xs, carry, lengths)
    _check_lags(lags, xs.shape[0])
    if probes is not None and (not isinstance(probes, int) or probes < 16):
        raise ValueError(f"probes: expected None or an int of at least 16, got {probes!r}")
    if probes is not None and key is None:
        raise ValueError("key: expected a key to draw the probes with, got None")
    return _profile(cell, probes, params, xs, carry, valid, lengths, jnp.asarray(lags), key)


def _check_lags(lags: Sequence[int], steps: int) -> None:
    values = np.asarray(lags)
    if values.ndim != 1 or values.size == 0 or values.dtype.kind not in "iu" or len(set(values.tolist())) < values.size:
        raise ValueError(f"lags: expected a sequence of different ints, got {lags!r}")
    if values.min() < 0 or values.max() >= steps:
        worst = values.max() if values.max() >= steps else values.min()
        raise ValueError(f"lags: expected values in 0..T-1 = 0..{steps - 1}, got {worst}")


@partial(jax.jit, static_argnums=(0, 1))
def _profile(
    cell: Cell,
    probes: int | None,
    params: Params,
    xs: Array,
    carry: Carry,
    valid: Array | None,
    lengths: Array | None,
    lags: Array,
    key: Key | None,
) -> JacobianProfile:
    steps, *batch_shape, _ = xs.shape
    xs, valid, carry = _flat_batch(xs, valid, carry)
    count = xs.shape[1]
    length = jnp.full(count, steps) if lengths is None else jnp.clip(lengths.reshape(count), 0, steps)
    with jax.default_matmul_precision("highest"):
        walked, _ = walk.record(cell, params, xs, carry, valid)
        product = _start(carry, probes, key)
        kept = jax.tree.map(lambda leaf: jnp.zeros((lags.size, *leaf.shape), leaf.dtype), product)

        def body(carried: tuple[Scaled, Scaled], at_t: tuple[Trajectory, Array]) -> tuple[tuple[Scaled, Scaled], None]:
            (product, kept), (walked_t, slot_t) = carried, at_t
            kept = jax.lax.cond(jnp.any(slot_t < lags.size), _store, lambda kept, *_: kept, kept, product, slot_t)
            pull = jax.vmap(lambda row: walk.pull_back(cell, params, walked_t, row), in_axes=1, out_axes=1)
            return (scaled.rescale(pull(product.value), product.exponent), kept), None

        slots = _slots(lags, length, steps)
        (_, kept), _ = jax.lax.scan(body, (product, kept), (walked, slots), reverse=True)
        # One matrix after the other: batched products and reductions are far slower on CPU.
        one_by_one = jax.tree.map(lambda leaf: leaf.reshape(lags.size * count, *leaf.shape[2:]), kept)
        norms = jax.lax.map(lambda product: _norms(product, probes), one_by_one)
    too_short = lags[:, None] >= length[None]
    norms = jax.tree.map(lambda norm: jnp.where(too_short, jnp.nan, norm.reshape(too_short.shape)), norms)
    return JacobianProfile(lags, *jax.tree.map(lambda norm: norm.reshape(lags.size, *batch_shape), norms))


def _flat_batch(xs: Array, valid: Array | None, carry: Carry) -> tuple[Array, Array | None, Carry]:
    """All batch axes as one, B."""
    steps, *batch_shape, features = xs.shape
    count = math.prod(batch_shape)
    carry = jax.tree.map(lambda leaf: leaf.reshape(count, *leaf.shape[len(batch_shape) :]), carry)
    return xs.reshape(steps, count, features), None if valid is None else valid.reshape(steps, count), carry


def _slots(lags: Array, length: Array, steps: int) -> Array:
    """(T, B): which of the K lags step t is for a row, K where none."""
    slot_of_lag = jnp.full(steps, lags.size).at[lags].set(jnp.arange(lags.size))
    lag = length[None] - 1 - jnp.arange(steps)[:, None]
    return jnp.where(lag >= 0, slot_of_lag[jnp.clip(lag, 0)], lags.size)


def _store(kept: Scaled, product: Scaled, slot: Array) -> Scaled:
    """Each row's product in its slot (B,); a slot K, which does not exist, is where nobody looks."""
    row = jnp.arange(slot.size)
    return jax.tree.map(lambda all_, one: all_.at[slot, row].set(one, mode="drop"), kept, product)


def _start(carry: Carry, probes: int | None, key: Key | None) -> Scaled:
    """P_0 = I, or Gaussian probes: value with leaves (B, rows of P, ...), one exponent (B,) for all rows of a P."""
    leaves, tree = jax.tree.flatten(carry)
    count = leaves[0].shape[0]
    sizes = [math.prod(leaf.shape[1:]) for leaf in leaves]
    size = sum(sizes)
    if probes is None:
        matrix = jnp.broadcast_to(jnp.eye(size)[None], (count, size, size))
    else:
        assert key is not None
        matrix = jax.random.normal(key, (count, probes, size))
    columns = jnp.split(matrix, np.cumsum(sizes)[:-1], axis=-1)
    parts = [
        part.reshape(*part.shape[:2], *leaf.shape[1:]).astype(leaf.dtype)
        for part, leaf in zip(columns, leaves, strict=True)
    ]
    return Scaled(jax.tree.unflatten(tree, parts), jnp.zeros(count, jnp.int32))


def _norms(product: Scaled, probes: int | None) -> tuple:
    """The fields of a JacobianProfile after `lag`, of one matrix: value with leaves (rows, ...)."""
    leaves, tree = jax.tree.flatten(product.value)
    fields = [leaf.reshape(leaf.shape[0], -1) for leaf in leaves]
    matrix = jnp.concatenate(fields, axis=1)
    log_scale = product.exponent.astype(matrix.dtype) * jnp.asarray(np.log(2), matrix.dtype)
    squares = jnp.sum(jnp.square(matrix), axis=1)
    if probes is not None:
        mean = squares.mean()
        error = squares.std(ddof=1) / (2 * mean * np.sqrt(probes))
        return None, 0.5 * jnp.log(mean) + log_scale, error, None, None
    operator, frobenius = log_largest_singular_value(matrix), 0.5 * jnp.log(squares.sum())
    edges = np.cumsum([field.shape[1] for field in fields])[:-1]
    blocks = [
        jax.tree.unflatten(
            tree,
            [
                (log_largest_singular_value(block) if len(fields) > 1 else operator) + log_scale
                for block in jnp.split(rows, edges, axis=1)
            ],
        )
        for rows in jnp.split(matrix, edges, axis=0)
    ]
    return (
        operator + log_scale,
        frobenius + log_scale,
        None,
        jnp.exp(2 * (frobenius - operator)),
        jax.tree.unflatten(tree, blocks),
    )
