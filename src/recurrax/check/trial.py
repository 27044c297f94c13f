"""What a cell is tried on, and what comes of it: the helpers that `check_cell` and the suite share."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from recurrax import code
from recurrax.kernels.scan import ScanResult, scan
from recurrax.keys import is_key, with_key
from recurrax.typing import Array, Carry, Cell, DTypeLike, Params, Shape


class Trial(NamedTuple):
    """Arguments of a scan and cotangents of its result; NumPy arrays, but for keys."""

    params: Params
    xs: Any  # leaves (T, *batch, ...)
    carry: Carry  # leaves (*batch, ...)
    cotangents: ScanResult  # float0 where the result has no gradient
    lengths: Any = None  # (*batch,)
    mask: Any = None  # (T, *batch)
    resets: Any = None  # (T, *batch)


class ValueAndGrad(NamedTuple):
    """The result of a scan, and the gradients of <cotangents, result>."""

    result: ScanResult
    params: Params
    xs: Any
    carry: Carry


def draw(
    cell: Cell,
    params: Params,
    xs: Any,
    batch_shape: Shape,
    dtype: DTypeLike = np.float32,
    scale: float = 0.5,
    seed: int = 0,
) -> Trial:
    """A trial in which nothing that has a gradient is zero; drawn by NumPy, so that nothing is compiled for it.

    Args:
        cell: any cell.
        params: its parameters, or their shapes. Those of the trial are `scale` N(0, 1) away from them.
        xs: inputs, leaves (T, *batch, ...).
        batch_shape: *batch.
        dtype: of the carry.
        scale: see `params`.
        seed: of all that is drawn.
    """
    noise = np.random.default_rng(seed)
    params = jax.tree.map(lambda leaf: _near(noise, leaf, scale), params)
    initial = jax.jit(lambda params: cell.initial_carry(params, tuple(batch_shape), dtype))
    shapes = jax.eval_shape(initial, params)
    drawable = all(has_gradient(leaf) for leaf in jax.tree.leaves(shapes))
    carry = jax.tree.map(lambda leaf: _near(noise, leaf, 1.0), shapes if drawable else initial(params))
    carry = with_key(carry, jax.random.key(seed))
    result = jax.eval_shape(lambda xs: scan(cell, params, xs, carry, implementation="reference"), xs)
    return Trial(params, xs, carry, jax.tree.map(lambda leaf: _cotangent(noise, leaf), result))


def has_gradient(leaf: Any) -> bool:
    """Whether a leaf is floating or complex."""
    return jnp.issubdtype(leaf.dtype, jnp.inexact)


def _near(noise: np.random.Generator, leaf: Any, scale: float) -> Any:
    if not has_gradient(leaf):
        return leaf
    start = 0 if isinstance(leaf, jax.ShapeDtypeStruct) else np.asarray(leaf)
    return np.asarray(start + scale * _normal(noise, leaf), leaf.dtype)


def _cotangent(noise: np.random.Generator, leaf: Any) -> np.ndarray:
    if not has_gradient(leaf):
        return np.zeros(leaf.shape, jax.dtypes.float0)
    return _normal(noise, leaf).astype(leaf.dtype)


def _normal(noise: np.random.Generator, leaf: Any) -> np.ndarray:
    drawn = noise.standard_normal(leaf.shape)
    return drawn + 1j * noise.standard_normal(leaf.shape) if jnp.issubdtype(leaf.dtype, jnp.complexfloating) else drawn


STATIC = ("implementation", "reverse", "unroll", "chunk")


@partial(code.jit, static_argnames=STATIC)
def value(cell: Cell, trial: Trial, **options: Any) -> ScanResult:
    """The scan of a trial; `options` are `implementation`, `reverse`, `unroll` and `chunk` of `recurrax.scan`."""
    rows = {"lengths": trial.lengths, "mask": trial.mask, "resets": trial.resets}
    return scan(cell, trial.params, trial.xs, trial.carry, **rows, **options)


@partial(code.jit, static_argnames=STATIC)
def value_and_grad(cell: Cell, trial: Trial, **options: Any) -> ValueAndGrad:
    """The scan of a trial, and its gradients with respect to params, xs and carry."""

    def run(params: Params, xs: Any, carry: Carry) -> ScanResult:
        return value(cell, trial._replace(params=params, xs=xs, carry=carry), **options)

    result, pull = jax.vjp(run, trial.params, trial.xs, trial.carry)
    return ValueAndGrad(result, *pull(trial.cotangents))


@partial(code.jit, static_argnames=STATIC)
def second_order(cell: Cell, trial: Trial, **options: Any) -> tuple[ValueAndGrad, list[Array]]:
    """`value_and_grad`, and a Hessian-vector product, the vector being (params, xs, carry) themselves.

    Returns:
        value and gradients, and the gradient of <(params, xs, carry) held constant, gradients> as a list of leaves.
    """
    arguments, tree = jax.tree.flatten((trial.params, trial.xs, trial.carry))
    moves = [has_gradient(leaf) for leaf in arguments]
    moving = [jnp.asarray(leaf) for leaf, move in zip(arguments, moves, strict=True) if move]

    def gradients(moving: list[Array]) -> tuple[list[Array], ValueAndGrad]:
        leaves = iter(moving)
        merged = [next(leaves) if move else leaf for leaf, move in zip(arguments, moves, strict=True)]
        params, xs, carry = jax.tree.unflatten(tree, merged)
        both = value_and_grad(cell, trial._replace(params=params, xs=xs, carry=carry), **options)
        return [leaf for leaf, move in zip(jax.tree.leaves(both[1:]), moves, strict=True) if move], both

    _, pull, both = jax.vjp(gradients, moving, has_aux=True)
    return both, pull(moving)[0]


_step = code.jit(lambda cell, params, carry, x: cell.step(params, carry, x))
_donating_step = code.jit(lambda cell, params, carry, x: cell.step(params, carry, x), donate_argnames="carry")


def loop(cell: Cell, trial: Trial, reverse: bool = False) -> tuple[list[Any], Carry]:
    """The meaning of `recurrax.scan`: one call of `step` per step of time, with rows chosen in NumPy.

    Returns:
        outputs, one (*batch, H) for each step, and the last carry.
    """
    valid, carry = valid_steps(trial), trial.carry
    initial = initial_carry(cell, trial, valid.shape[1:])
    outputs: list[Any] = [None] * len(valid)
    for t in sorted(range(len(outputs)), reverse=reverse):
        afresh = jax.tree.map(lambda new, old: old if is_key(old) else new, initial, carry)
        entering = carry if trial.resets is None else _rows(np.asarray(trial.resets)[t], afresh, carry)
        stepped, y = _step(cell, trial.params, entering, _at(t, trial.xs))
        carry = _rows(valid[t], stepped, entering)
        outputs[t] = _rows(valid[t], y, np.zeros_like(y))
    return outputs, carry


def stream(cell: Cell, trial: Trial) -> ScanResult:
    """The same for rows that are all alike, every step donating the carry it is given: that of the trial too."""
    carry, outputs = trial.carry, []
    for t in range(jax.tree.leaves(trial.xs)[0].shape[0]):
        carry, y = _donating_step(cell, trial.params, carry, _at(t, trial.xs))
        outputs.append(y)
    return ScanResult(jnp.stack(outputs), carry)


def initial_carry(cell: Cell, trial: Trial, batch_shape: Shape) -> Carry:
    """The carry that a scan without one starts from."""
    dtypes = [leaf.dtype for leaf in jax.tree.leaves((trial.params, trial.xs)) if has_gradient(leaf)]
    dtype = jnp.finfo(jnp.result_type(jnp.float32, *dtypes)).dtype  # of complex64: float32
    return cell.initial_carry(jax.tree.map(jnp.asarray, trial.params), tuple(batch_shape), dtype)


def shares_buffers(carry: Carry) -> bool:
    """Whether two leaves of a carry are one array."""
    leaves = [leaf for leaf in jax.tree.leaves(carry) if not jnp.issubdtype(leaf.dtype, jax.dtypes.extended)]
    places = [leaf.unsafe_buffer_pointer() for leaf in leaves if leaf.size]
    return len(set(places)) < len(places)


def _at(t: int, xs: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf[t], xs)


def _rows(chosen: np.ndarray, new: Any, old: Any) -> Any:
    """Leaf by leaf, `new` in the chosen rows and `old` elsewhere."""

    def select(new: Any, old: Any) -> Any:
        where = chosen.reshape(chosen.shape + (1,) * (old.ndim - chosen.ndim))
        return (jnp if jnp.issubdtype(old.dtype, jax.dtypes.extended) else np).where(where, new, old)

    return jax.tree.map(select, new, old)


def valid_steps(trial: Trial) -> np.ndarray:
    """Bool (T, *batch): what lengths and mask leave."""
    steps = jax.tree.leaves(trial.xs)[0].shape[0]
    valid = np.ones((steps, *_batch_shape(trial)), bool) if trial.mask is None else np.asarray(trial.mask)
    if trial.lengths is None:
        return valid
    return valid & (np.arange(steps).reshape(-1, *(1,) * (valid.ndim - 1)) < np.asarray(trial.lengths))


def _batch_shape(trial: Trial) -> tuple[int, ...]:
    if trial.lengths is not None:
        return np.shape(trial.lengths)
    if trial.resets is not None:
        return np.shape(trial.resets)[1:]
    leaves = jax.tree.leaves(trial.xs)
    if len(leaves) == 1:
        return leaves[0].shape[1:-1] if has_gradient(leaves[0]) else leaves[0].shape[1:]
    return min((leaf.shape[1:] for leaf in leaves), key=len)


def poisoned(trial: Trial, poison: float) -> Trial:
    """`trial` with its padding replaced: by `poison` in floating inputs, by zeros in others."""
    valid = valid_steps(trial)

    def replace(leaf: Any) -> np.ndarray:
        where = valid.reshape(valid.shape + (1,) * (leaf.ndim - valid.ndim))
        return np.where(where, leaf, np.asarray(poison if has_gradient(leaf) else 0, leaf.dtype))

    return trial._replace(xs=jax.tree.map(replace, trial.xs))


def difference(actual: Any, expected: Any, rtol: float, least: float = 0.0) -> str | None:
    """Where two trees differ by more than rounding, and by how much; None where they do not.

    Args:
        actual: any tree of arrays.
        expected: the same, with the same structure, shapes and dtypes.
        rtol: largest difference, relative to the largest entry of the array; integers, bools and keys must be equal.
        least: what counts as the largest entry where all are smaller.
    """
    if jax.tree.structure(actual) != jax.tree.structure(expected):
        return f"structure {jax.tree.structure(actual)} for {jax.tree.structure(expected)}"
    for (path, got), want in zip(jax.tree.leaves_with_path(actual), jax.tree.leaves(expected), strict=True):
        where = jax.tree_util.keystr(path)
        if (got.shape, got.dtype) != (want.shape, want.dtype):
            return f"{where} is {got.dtype} {got.shape} for {want.dtype} {want.shape}"
        got, want = as_numbers(got), as_numbers(want)
        largest = np.max(np.abs(want), initial=0.0) or 1.0
        error, bound = np.max(np.abs(got - want), initial=0.0), rtol * max(largest, least)
        if not error <= (bound if has_gradient(want) else 0):
            return f"{where} differs by {error:.1e}, its largest entry being {largest:.1e}"
    return None


def as_numbers(leaf: Any) -> np.ndarray:
    """A leaf for NumPy to compute with: float64 or complex128; integers for bools and keys; nothing for float0."""
    if leaf.dtype == jax.dtypes.float0:
        return np.zeros(0, np.int64)
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    if not has_gradient(leaf):
        return np.asarray(leaf).astype(np.int64)
    wide = np.complex128 if jnp.issubdtype(leaf.dtype, jnp.complexfloating) else np.float64
    return np.asarray(leaf).astype(wide)
