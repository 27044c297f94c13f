"""The long Jacobian ∂s_T/∂s_{T-k}: how far any change of the state can reach, not one loss's share of it."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from recurrax.lag import scaled, trajectory
from recurrax.lag.scaled import Scaled
from recurrax.lag.trajectory import Trajectory
from recurrax.typing import Array, Carry, Cell, Key, Params


class JacobianProfile(NamedTuple):
    """Natural logs of norms of P_k = ∂s_{T-1}/∂s_{T-1-k} over the joint state, at the lags asked for.

    lag: (K,) ints.
    log_operator_norm: (K, *batch), ln σ₁(P_k); None with probes.
    log_frobenius_norm: (K, *batch), ln ‖P_k‖_F; less ½ ln n it is the root-mean-square gain of n state components.
    frobenius_error: (K, *batch), standard error of the above in nats; None where it is exact.
    stable_rank: (K, *batch), ‖P_k‖_F² / σ₁², between 1 and n; None with probes.
    log_block: a carry of carries, `log_block.h.c` being ln σ₁(∂h_{T-1}/∂c_{T-1-k}), (K, *batch); None with probes.
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
    carry, _ = trajectory.check(cell, params, xs, carry)
    _check_lags(lags, xs.shape[0])
    if probes is not None and (not isinstance(probes, int) or probes < 16):
        raise ValueError(f"probes: expected None or an int of at least 16, got {probes!r}")
    if probes is not None and key is None:
        raise ValueError("key: expected a key to draw the probes with, got None")
    return _profile(cell, probes, params, xs, carry, jnp.asarray(lags), key)


def _check_lags(lags: Sequence[int], steps: int) -> None:
    values = np.asarray(lags)
    if values.ndim != 1 or values.size == 0 or values.dtype.kind not in "iu" or len(set(values.tolist())) < values.size:
        raise ValueError(f"lags: expected a sequence of different ints, got {lags!r}")
    if values.min() < 0 or values.max() >= steps:
        worst = values.max() if values.max() >= steps else values.min()
        raise ValueError(f"lags: expected values in 0..T-1 = 0..{steps - 1}, got {worst}")


@partial(jax.jit, static_argnums=(0, 1))
def _profile(
    cell: Cell, probes: int | None, params: Params, xs: Array, carry: Carry, lags: Array, key: Key | None
) -> JacobianProfile:
    steps, batch_ndim = xs.shape[0], xs.ndim - 2
    with jax.default_matmul_precision("highest"):
        walked, _ = trajectory.record(cell, params, xs, carry, None)
        product = _start(carry, batch_ndim, probes, key)
        # One slot per lag asked for; the other steps write to a slot that does not exist.
        slot = jnp.full(steps, lags.size).at[steps - 1 - lags].set(jnp.arange(lags.size))
        kept = jax.tree.map(lambda leaf: jnp.zeros((lags.size, *leaf.shape), leaf.dtype), product)

        def body(carried: tuple[Scaled, Scaled], at_t: tuple[Trajectory, Array]) -> tuple[tuple[Scaled, Scaled], None]:
            (product, kept), (walked_t, slot_t) = carried, at_t
            kept = jax.tree.map(lambda all_, one: all_.at[slot_t].set(one, mode="drop"), kept, product)
            pull = jax.vmap(lambda row: trajectory.pull_back(cell, params, walked_t, row))
            return (_rescale(pull(product.value), product.exponent), kept), None

        (_, kept), _ = jax.lax.scan(body, (product, kept), (walked, slot), reverse=True)
        norms = jax.vmap(lambda product: _norms(product, carry, batch_ndim, probes))
        return JacobianProfile(lags, *norms(kept))


def _start(carry: Carry, batch_ndim: int, probes: int | None, key: Key | None) -> Scaled:
    """P_0 = I, or Gaussian probes: value with leaves (rows of P, *batch, ...), one exponent per row of the batch."""
    leaves, tree = jax.tree.flatten(carry)
    batch_shape = leaves[0].shape[:batch_ndim]
    sizes = [int(np.prod(leaf.shape[batch_ndim:])) for leaf in leaves]
    if probes is None:
        matrix = jnp.broadcast_to(
            jnp.eye(sum(sizes)).reshape(sum(sizes), *(1,) * batch_ndim, -1), (sum(sizes), *batch_shape, sum(sizes))
        )
    else:
        assert key is not None
        matrix = jax.random.normal(key, (probes, *batch_shape, sum(sizes)))
    columns = jnp.split(matrix, np.cumsum(sizes)[:-1], axis=-1)
    parts = [part.reshape(-1, *leaf.shape).astype(leaf.dtype) for part, leaf in zip(columns, leaves, strict=True)]
    return Scaled(jax.tree.unflatten(tree, parts), jnp.zeros(batch_shape, jnp.int32))


def _rescale(value: Carry, exponent: Array) -> Scaled:
    """All rows of a matrix by the same power of two."""
    inside = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, exponent.ndim), value)
    value, exponent = scaled.rescale(inside, exponent)
    return Scaled(jax.tree.map(lambda leaf: jnp.moveaxis(leaf, exponent.ndim, 0), value), exponent)


def _norms(product: Scaled, carry: Carry, batch_ndim: int, probes: int | None) -> tuple:
    """The fields of a JacobianProfile after `lag`, for one lag."""
    fields = [jnp.moveaxis(leaf, 0, batch_ndim) for leaf in jax.tree.leaves(product.value)]
    fields = [leaf.reshape(*leaf.shape[: batch_ndim + 1], -1) for leaf in fields]
    matrix = jnp.concatenate(fields, axis=-1)
    log_scale = product.exponent.astype(matrix.dtype) * jnp.asarray(np.log(2), matrix.dtype)
    squares = jnp.sum(jnp.square(matrix), axis=-1)
    if probes is not None:
        mean = squares.mean(axis=-1)
        error = squares.std(axis=-1, ddof=1) / (2 * mean * np.sqrt(probes))
        return None, 0.5 * jnp.log(mean) + log_scale, error, None, None
    operator = jnp.linalg.norm(matrix, ord=2, axis=(-2, -1))
    frobenius = squares.sum(axis=-1)
    tree = jax.tree.structure(carry)
    edges = np.cumsum([field.shape[-1] for field in fields])[:-1]
    blocks = [
        jax.tree.unflatten(
            tree,
            [jnp.log(jnp.linalg.norm(block, ord=2, axis=(-2, -1))) + log_scale for block in jnp.split(rows, edges, -1)],
        )
        for rows in jnp.split(matrix, edges, -2)
    ]
    return (
        jnp.log(operator) + log_scale,
        0.5 * jnp.log(frobenius) + log_scale,
        None,
        frobenius / jnp.square(operator),
        jax.tree.unflatten(tree, blocks),
    )
