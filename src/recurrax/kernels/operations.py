"""Operations that Pallas does not lower for TPU, in terms of others that it does, with JAX's own parameters.

What sorts, reverses, sums up or looks up along an axis is a sum over it of what a mask lets through, n values for each
of n: a vector unit has no cheaper way to move single values.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from recurrax.kernels.jaxprs import Leaves
from recurrax.typing import Array

_SERIES = 16
"""Terms of exp: the next one is below 1e-17 of the first where |x| < 1/2."""
_ERFC = (
    *(-1.3026537197817094, 0.64196979235649026, 0.019476473204185836, -9.5615147868086316e-3, -9.4659534448203687e-4),
    *(3.6683949785276145e-4, 4.2523324806907077e-5, -2.0278578112534243e-5, -1.6242900046470255e-6),
    *(1.3036558355805232e-6, 1.5626441722066143e-8, -8.5238095914926543e-8, 6.5290544390988515e-9),
    *(5.0593434955514690e-9, -9.9136415649303309e-10, -2.2736512229321836e-10, 9.6467911020155268e-11),
    *(2.3940380830391147e-12, -6.8860275264975534e-12, 8.9448792730907257e-13, 3.1309214033929581e-13),
    *(-1.1270822361367252e-13, 3.8109052551892321e-16, 7.1060976136092370e-15, -1.5230282014571043e-15),
)
"""Of log(erfc(z) / t) + z² the coefficients in Chebyshev polynomials of 2 t - 1, t = 2 / (2 + z), z >= 0."""


def expm1(x: Array, **_: Any) -> Array:
    """exp(x) - 1, near 0 by its series."""
    series = 1.0
    for n in range(_SERIES, 1, -1):
        series = 1 + x / n * series
    return jnp.where(jnp.abs(x) < 0.5, x * series, jnp.exp(x) - 1)


def erfc(x: Array, **_: Any) -> Array:
    """1 - erf(x), beyond 0 by a fit of its logarithm: as right where it is small."""
    z = jnp.abs(x)
    t = 2 / (2 + z)
    last, total = 0.0, 0.0
    for coefficient in reversed(_ERFC[1:]):  # by Clenshaw's rule
        total, last = 2 * (2 * t - 1) * total - last + coefficient, total
    beyond = t * jnp.exp((2 * t - 1) * total - last + _ERFC[0] / 2 - z * z)
    return jnp.where(x < 0, 2 - beyond, beyond)


def sign(x: Array) -> Array:
    """-1, 0 or 1; NaN of NaN. Pallas asks the device how, which may be none."""
    return jnp.where(x > 0, 1, jnp.where(x < 0, -1, x))


def _total(mask: Array, x: Array) -> Array:
    """Sums over the last axis of what a mask lets through."""
    wide = x.astype(x.dtype if jnp.issubdtype(x.dtype, jnp.floating) else jnp.int32)
    return jnp.sum(jnp.where(mask, wide, jnp.zeros((), wide.dtype)), axis=-1).astype(x.dtype)


def _along(axis: int, mask: Array, x: Array) -> Array:
    """Σ_j x_j along an axis, of those j that mask (..., k, j) lets through, for each k."""
    return jnp.moveaxis(_total(mask, jnp.moveaxis(x, axis, -1)[..., None, :]), -1, axis)


def _places(x: Array, axis: int, k: int | None = None) -> list[Array]:
    """The places k, as many as j if it is None, and j along that axis of x, each (1, ..., 1, k, j)."""
    j, first = x.shape[axis], x.ndim - 1
    shape = (*(1,) * first, j if k is None else k, j)
    return [lax.broadcasted_iota(jnp.int32, shape, first + i) for i in (0, 1)]


def cumsum(x: Array, *, axis: int, reverse: bool) -> Array:
    """Sums of all before and of each itself; of all after where it is reversed."""
    k, j = _places(x, axis)
    return _along(axis, j >= k if reverse else j <= k, x)


def rev(x: Array, *, dimensions: Sequence[int]) -> Array:
    """Last first, along some axes."""
    for axis in dimensions:
        k, j = _places(x, axis)
        x = _along(axis, j + k == x.shape[axis] - 1, x)
    return x


def sort(*operands: Array, dimension: int, num_keys: int, **_: Any) -> Leaves:
    """Each value to the place that as many come before; NaN is last."""
    ranks = _ranks([jnp.moveaxis(leaf, dimension, -1) for leaf in operands[:num_keys]], _is_less)
    mask = ranks[..., None, :] == _places(ranks, -1)[0]
    return [_along(dimension, mask, leaf) for leaf in operands]


def top_k(x: Array, *, k: int, axis: int, **_: Any) -> Leaves:
    """The k largest and their places; NaN is first."""
    ranks = _ranks([jnp.moveaxis(x, axis, -1)], lambda a, b: _is_less(b, a))
    mask = ranks[..., None, :] == _places(x, axis, k)[0]
    return [_along(axis, mask, leaf) for leaf in (x, lax.broadcasted_iota(jnp.int32, x.shape, axis))]


def _ranks(keys: Leaves, comes_before: Callable[[Array, Array], Array]) -> Array:
    """How many values along the last axis come before each; of equal ones the first does."""
    i, j = _places(keys[0], -1)
    before = jnp.broadcast_to(j < i, (*keys[0].shape, keys[0].shape[-1]))
    for key in reversed(keys):
        one, other = key[..., None, :], key[..., :, None]
        before = comes_before(one, other) | (~comes_before(other, one) & before)
    return jnp.sum(before.astype(jnp.int32), axis=-1)


def _is_less(a: Array, b: Array) -> Array:
    return (a < b) | ((a == a) & (b != b))


def gather(x: Array, indices: Array, *, dimension_numbers: Any, mode: Any, fill_value: Any, **_: Any) -> Any:
    """What stands at places along one axis, other axes taken whole."""
    d, is_filled = dimension_numbers, mode == lax.GatherScatterMode.FILL_OR_DROP
    if len(d.start_index_map) != 1 or d.collapsed_slice_dims != d.start_index_map or (is_filled and fill_value is None):
        return None
    ndim, n = len(d.offset_dims) + indices.ndim - 1, x.shape[d.start_index_map[0]]
    of_indices = [i for i in range(ndim) if i not in d.offset_dims]
    place = {a: of_indices[b] for a, b in zip(d.operand_batching_dims, d.start_indices_batching_dims, strict=True)}
    place[d.start_index_map[0]] = ndim  # summed over
    window = iter(d.offset_dims)
    place = [place[a] if a in place else next(window) for a in range(x.ndim)]
    x = lax.expand_dims(x.transpose(sorted(range(x.ndim), key=place.__getitem__)), [*{*range(ndim + 1)} - {*place}])
    at = lax.expand_dims(indices[..., 0].astype(jnp.int32), d.offset_dims)[..., None]
    if mode == lax.GatherScatterMode.CLIP:
        at = jnp.clip(at, 0, n - 1)
    found = _total(at == lax.broadcasted_iota(jnp.int32, (*at.shape[:-1], n), ndim), x)
    at = jnp.broadcast_to(at[..., 0], found.shape)
    return jnp.where((at >= 0) & (at < n), found, fill_value) if is_filled else found


def scatter_add(x: Array, indices: Array, added: Array, *, dimension_numbers: Any, mode: Any, **_: Any) -> Any:
    """The adjoint of `gather`."""
    d = dimension_numbers
    numbers = lax.GatherDimensionNumbers(
        offset_dims=d.update_window_dims,
        collapsed_slice_dims=d.inserted_window_dims,
        start_index_map=d.scatter_dims_to_operand_dims,
        operand_batching_dims=d.operand_batching_dims,
        start_indices_batching_dims=d.scatter_indices_batching_dims,
    )
    how: Any = {"dimension_numbers": numbers, "mode": mode, "fill_value": 0}
    if jax.eval_shape(partial(gather, **how), x, indices) is None:
        return None
    return x + jax.vjp(lambda x: gather(x, indices, **how), x)[1](added)[0]


def dot_general(
    x: Array, y: Array, *, dimension_numbers: Any, preferred_element_type: Any, precision: Any, **_: Any
) -> Array | None:
    """Where it is not one of matrices: element by element if one of them is a vector, else with axes merged."""
    (c_x, c_y), (b_x, b_y) = dimension_numbers
    if x.ndim == y.ndim == 2 and len(c_x) == 1 and not b_x:
        return None
    f_x, f_y = ([a for a in range(leaf.ndim) if a not in (*c, *b)] for leaf, c, b in ((x, c_x, b_x), (y, c_y, b_y)))
    batch, rows, columns = [x.shape[a] for a in b_x], [x.shape[a] for a in f_x], [y.shape[a] for a in f_y]
    wide = preferred_element_type or jnp.result_type(x, y)
    x, y = x.transpose(*b_x, *f_x, *c_x), y.transpose(*b_y, *c_y, *f_y)
    if not (rows and columns and c_x):
        b, m, n, k = map(len, (batch, rows, columns, c_x))
        x = lax.expand_dims(x, range(b + m + k, b + m + k + n)).astype(wide)
        product = x * lax.expand_dims(y, range(b, b + m)).astype(wide)  # (*batch, *rows, *contracted, *columns)
        return jnp.sum(product, axis=range(b + m, b + m + k)) if k else product
    count, m, n = batch and [math.prod(batch)], math.prod(rows), math.prod(columns)
    b = len(count)
    numbers = (([b + 1], [b]), (range(b), range(b)))
    x, y = x.reshape(*count, m, -1), y.reshape(*count, -1, n)
    product = lax.dot_general(x, y, numbers, precision=precision, preferred_element_type=wide)
    return product.reshape(*batch, *rows, *columns)
