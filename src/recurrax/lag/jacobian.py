"""The long Jacobian ∂s_T/∂s_{T-k}: how far any change of the state can reach, not one loss's share of it."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from recurrax import code, norms
from recurrax.kernels import columns
from recurrax.lag import arguments, linalg, scaled, walk
from recurrax.lag.layers import takes_layers
from recurrax.lag.notebook import html
from recurrax.lag.scaled import ScaledVector
from recurrax.lag.stack import at
from recurrax.lag.walk import Trajectory
from recurrax.typing import Array, Carry, Cell, Key, Params


class JacobianProfile(NamedTuple):
    """Natural logs of norms of P_k = ∂s_{T-1}/∂s_{T-1-k} over the joint state, at the lags asked for.

    The state is n real numbers: those of the floating leaves of the carry, and two for each number of a complex one.

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
    at = at
    _repr_html_ = html


@takes_layers
def jacobian_profile(
    cell: Cell,
    params: Params,
    xs: Any,
    carry: Carry | None = None,
    *,
    lags: Sequence[int],
    lengths: Array | None = None,
    probes: int | None = None,
    key: Key | None = None,
) -> JacobianProfile:
    """Measures P_k = J_{T-1} J_{T-2} … J_{T-k}, J_t = ∂s_t/∂s_tm1, exactly or by random probes.

    All n lines of P_k are pulled back together, as one matrix near 1 and a power of two, so no lag underflows and the
    largest singular values keep their digits; n² numbers per row of the batch and lag are held. With probes, S lines
    gᵀP_k with g ~ N(0, I) take their place: E ‖gᵀP_k‖² = ‖P_k‖_F², whose error is estimated from their spread. A
    single probe's log norm is biased by -0.6 nats once the stable rank nears 1, so at least 16 are asked for.

    Args:
        cell: any cell of the contract, or a layer of Flax, see `recurrax.lag`.
        params: its parameters, finite.
        xs: (T, *batch, D) inputs, or any tree of arrays (T, *batch, ...) that the cell reads.
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
    carry, valid = arguments.check(cell, params, xs, carry, lengths)
    _check_lags(lags, arguments.sequence_shape(cell, params, xs)[0])
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


@partial(code.jit, static_argnums=(0, 1))
def _profile(
    cell: Cell,
    probes: int | None,
    params: Params,
    xs: Any,
    carry: Carry,
    valid: Array | None,
    lengths: Array | None,
    lags: Array,
    key: Key | None,
) -> JacobianProfile:
    steps, batch_shape = arguments.sequence_shape(cell, params, xs)
    # One batch axis, because every row has slots of its own to be stored in.
    xs, valid = _one_batch_axis((xs, valid), 1, len(batch_shape))
    carry = _one_batch_axis(carry, 0, len(batch_shape))
    count = math.prod(batch_shape)  # B
    length = jnp.full(count, steps) if lengths is None else jnp.clip(lengths.reshape(count), 0, steps)
    with jax.default_matmul_precision("highest"):
        trajectory, _ = walk.record(cell, params, xs, carry, valid)
        product = _start(walk.differentiable(carry), count, probes, key)
        stored = jax.tree.map(lambda leaf: jnp.zeros((lags.size, *leaf.shape), leaf.dtype), product)  # (K, B, ...)

        def body(carried: tuple[ScaledVector, ScaledVector], at_t: tuple[Trajectory, Array]) -> tuple[Any, None]:
            (product, stored), (used, slot_t) = carried, at_t
            # Trick: only the K lags asked for are kept, n² numbers each; most steps store nothing.
            wanted = jnp.any(slot_t < lags.size)
            stored = jax.lax.cond(wanted, _store, lambda stored, *_: stored, stored, product, slot_t)
            before = jax.vmap(lambda line: walk.adjoint_before(cell, params, used, line), in_axes=1, out_axes=1)
            return (scaled.rescale(before(product.value), product.exponent), stored), None

        slots = _slots(lags, length, steps)
        (_, stored), _ = jax.lax.scan(body, (product, stored), (trajectory, slots), reverse=True)
        # One matrix after the other: batched products and reductions are far slower on CPU.
        one_by_one = jax.tree.map(lambda leaf: leaf.reshape(lags.size * count, *leaf.shape[2:]), stored)
        found = jax.lax.map(lambda product: _norms(product, probes), one_by_one)
    too_short = lags[:, None] >= length[None]  # (K, B)
    found = jax.tree.map(lambda norm: jnp.where(too_short, jnp.nan, norm.reshape(too_short.shape)), found)
    return JacobianProfile(lags, *jax.tree.map(lambda norm: norm.reshape(lags.size, *batch_shape), found))


def _one_batch_axis(tree: Any, leading: int, batch_ndim: int) -> Any:
    """All batch axes of leaves (*leading, *batch, ...) as one."""

    def flat(leaf: Array) -> Array:
        batch = leaf.shape[leading : leading + batch_ndim]
        return leaf.reshape(*leaf.shape[:leading], math.prod(batch), *leaf.shape[leading + batch_ndim :])

    return jax.tree.map(flat, tree)


def _slots(lags: Array, length: Array, steps: int) -> Array:
    """(T, B): which of the K lags step t is for a row, K where none."""
    slot_of_lag = jnp.full(steps, lags.size).at[lags].set(jnp.arange(lags.size))
    lag = length[None] - 1 - jnp.arange(steps)[:, None]  # (T, B)
    return jnp.where(lag >= 0, slot_of_lag[jnp.clip(lag, 0)], lags.size)


def _store(stored: ScaledVector, product: ScaledVector, slot: Array) -> ScaledVector:
    """Each row's product in its slot (B,); a slot K, which does not exist, is where nobody looks."""
    row = jnp.arange(slot.size)
    return jax.tree.map(lambda all_, one: all_.at[slot, row].set(one, mode="drop"), stored, product)


def _start(state: Carry, count: int, probes: int | None, key: Key | None) -> ScaledVector:
    """P_0 = I, or Gaussian probes: value with leaves (B, lines of P, ...), one exponent (B,) for all lines of a P.

    A line of P is the adjoint of one real number of s_{T-1}. That of the imaginary part of z is ±i in JAX's convention
    of signs, which changes no norm.
    """
    size = sum(columns.column_counts(state, leading=1))
    if probes is None:
        matrix = jnp.broadcast_to(jnp.eye(size)[None], (count, size, size))
    else:
        assert key is not None
        matrix = jax.random.normal(key, (count, probes, size))
    return ScaledVector(columns.from_columns(matrix, state, leading=1), jnp.zeros(count, jnp.int32))


def _norms(product: ScaledVector, probes: int | None) -> tuple:
    """The fields of a JacobianProfile after `lag`, of one matrix: value with leaves (lines, ...)."""
    matrix = columns.as_columns(product.value, leading=1)  # (lines, n)
    log_scale = product.exponent.astype(matrix.dtype) * jnp.asarray(np.log(2), matrix.dtype)
    squares = jnp.sum(jnp.square(matrix), axis=1)  # (lines,)
    if probes is not None:
        mean = squares.mean()
        # Of ½ ln of a mean of S squares, by the delta method.
        error = squares.std(ddof=1) / (2 * mean * np.sqrt(probes))
        return None, 0.5 * norms.log(mean) + log_scale, error, None, None
    operator, frobenius = linalg.log_largest_singular_value(matrix), 0.5 * norms.log(squares.sum())
    widths, structure = columns.column_counts(product.value, leading=1), jax.tree.structure(product.value)
    edges = np.cumsum(widths)[:-1]  # where one field ends and the next begins

    def blocks_of(lines: Array) -> Any:
        """Ln σ₁ of the blocks of one field's lines, in a tree like the carry."""
        of_blocks = (linalg.log_largest_singular_value(block) for block in jnp.split(lines, edges, axis=1))
        return jax.tree.unflatten(structure, [norm + log_scale for norm in (of_blocks if edges.size else [operator])])

    blocks = jax.tree.unflatten(structure, [blocks_of(lines) for lines in jnp.split(matrix, edges, axis=0)])
    rank = jnp.exp(2 * (frobenius - operator))
    return operator + log_scale, frobenius + log_scale, None, rank, blocks
