"""`recurrax.check_cell`: the laws of the Cell contract, run on anyone's cell."""

import copy
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from recurrax.kernels import arguments
from recurrax.kernels.scan import Implementation, ScanResult, scan
from recurrax.typing import Array, Carry, Cell, DTypeLike, Key, Params

_T, _B = 5, 3
_RTOL = 1e-4
"""What float32 may lose between two orders of summation over a few steps; a wrong term costs far more."""


class Given(NamedTuple):
    """What a law runs the cell on, as NumPy arrays: everything drawn, nothing zero."""

    params: Params
    xs: Any
    carry: Carry
    cotangents: ScanResult
    lengths: Any
    mask: Any
    resets: Any


class Pulled(NamedTuple):
    """A scan and the gradients of <cotangents, result> with respect to params, xs and carry."""

    result: ScanResult
    params: Params
    xs: Array
    carry: Carry


def check_cell(cell: Cell, *, input_size: int = 3, key: Key | None = None) -> None:
    """Runs the laws of the contract on a cell, and names the first one that it breaks.

    In this order: hashable, equal by value; `init` and `initial_carry` honour dtype and batch shape; `step` keeps the
    carry's structure, shapes and dtypes, with bfloat16 parameters too; no row of the batch sees another; no output sees
    a later input; a loop over `step` = "reference" = "fused", in value and, between the last two, in every gradient;
    the same under mask, lengths and resets, and whatever the padding holds; `vmap` = batch; any number of batch axes.

    Args:
        cell: an instance of any class with the methods of `recurrax.Cell`.
        input_size: features D of the inputs to try it on.
        key: what parameters and inputs are drawn from; `jax.random.key(0)` if None.

    Raises:
        ValueError: `cell` lacks a method of the contract or is a class.
        AssertionError: a law is broken; the sentence says which and where.

    >>> import recurrax
    >>> recurrax.check_cell(recurrax.Elman(4))
    """
    arguments.check_is_cell(cell)
    key = jax.random.key(0) if key is None else key
    _check_value_semantics(cell)
    _check_structure(cell, input_size, key)
    given = _draw(cell, input_size, key)
    plain = _pull(cell, "fused", False, given)
    _check_independence(cell, given, plain)
    _check_values_and_gradients(cell, given, plain)
    _check_leading_axes(cell, given, plain.result)


def _hold(condition: bool, cell: Cell, sentence: str) -> None:
    if not condition:
        raise AssertionError(f"{type(cell).__name__}: {sentence}")


def _check_value_semantics(cell: Cell) -> None:
    try:
        same = hash(cell) == hash(copy.deepcopy(cell)) and cell == copy.deepcopy(cell)
    except TypeError as error:
        raise AssertionError(
            f"{type(cell).__name__}: a cell must be hashable, such as a frozen dataclass of hashable fields: {error}"
        ) from error
    _hold(same, cell, "two cells with equal fields must be equal and have equal hashes, or each would recompile")


def _check_structure(cell: Cell, input_size: int, key: Key) -> None:
    for dtype in (jnp.float32, jnp.bfloat16):
        params = jax.eval_shape(partial(cell.init, input_size=input_size, dtype=dtype), key)
        got = {str(leaf.dtype) for leaf in jax.tree.leaves(params)}
        _hold(got == {jnp.dtype(dtype).name}, cell, f"init with dtype {jnp.dtype(dtype)} gave leaves of {sorted(got)}")
        for batch_shape in ((), (2,), (2, 3)):
            _check_step_structure(cell, params, batch_shape, input_size)


def _check_step_structure(cell: Cell, params: Params, batch_shape: tuple[int, ...], input_size: int) -> None:
    dtype: DTypeLike = jnp.float32
    carry = jax.eval_shape(lambda params: cell.initial_carry(params, batch_shape, dtype), params)
    for path, leaf in jax.tree.leaves_with_path(carry):
        name = f"initial_carry{jax.tree_util.keystr(path)} for batch shape {batch_shape} and float32"
        _hold(leaf.shape[: len(batch_shape)] == batch_shape, cell, f"{name} has shape {leaf.shape}")
        _hold(leaf.dtype == dtype, cell, f"{name} has dtype {leaf.dtype}")
    x = jax.ShapeDtypeStruct((*batch_shape, input_size), dtype)
    stepped, y = jax.eval_shape(cell.step, params, carry, x)
    _hold(
        jax.tree.structure(stepped) == jax.tree.structure(carry),
        cell,
        f"step must keep the carry's structure {jax.tree.structure(carry)}, got {jax.tree.structure(stepped)}",
    )
    for (path, old), new in zip(jax.tree.leaves_with_path(carry), jax.tree.leaves(stepped), strict=True):
        name = f"step must keep carry{jax.tree_util.keystr(path)}"
        _hold(new.shape == old.shape, cell, f"{name} of shape {old.shape}, got {new.shape}")
        _hold(new.dtype == old.dtype, cell, f"{name} of dtype {old.dtype}, got {new.dtype}")
    _hold(y.shape[: len(batch_shape)] == batch_shape, cell, f"output for batch shape {batch_shape} is {y.shape}")


def _draw(cell: Cell, input_size: int, key: Key) -> Given:
    """Parameters near their initial values but none of them zero, inputs, a carry, cotangents and rows."""
    # NumPy: drawing eagerly in JAX would compile one program per operation and shape.
    noise = np.random.default_rng(np.asarray(jax.random.bits(key, (4,))))

    def moved(leaf: Any, scale: float = 1.0) -> np.ndarray:
        return np.asarray(np.asarray(leaf) + scale * noise.standard_normal(leaf.shape), leaf.dtype)

    params = jax.tree.map(lambda leaf: moved(leaf, 0.3), cell.init(key, input_size))
    carry = jax.tree.map(moved, cell.initial_carry(params, (_B,), jnp.float32))
    xs = moved(np.zeros((_T, _B, input_size), np.float32))
    result = jax.eval_shape(lambda: scan(cell, params, jnp.asarray(xs), carry, implementation="reference"))
    cotangents = jax.tree.map(lambda leaf: moved(np.zeros(leaf.shape, leaf.dtype)), result)
    lengths, mask, resets = np.array([_T, 0, _T - 2]), np.ones((_T, _B), bool), np.zeros((_T, _B), bool)
    mask[1, 0] = False
    resets[_T // 2, :] = True
    return Given(params, xs, carry, cotangents, lengths, mask, resets)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _pull(cell: Cell, implementation: Implementation, with_rows: bool, given: Given) -> Pulled:
    lengths, mask, resets = (given.lengths, given.mask, given.resets) if with_rows else (None, None, None)

    def run(params: Params, xs: Array, carry: Carry) -> ScanResult:
        return scan(cell, params, xs, carry, lengths=lengths, mask=mask, resets=resets, implementation=implementation)

    result, pull = jax.vjp(run, given.params, given.xs, given.carry)
    return Pulled(result, *pull(given.cotangents))


@partial(jax.jit, static_argnums=0)
def _step(cell: Cell, params: Params, carry: Carry, x: Array) -> tuple[Carry, Array]:
    return cell.step(params, carry, x)


def _step_loop(cell: Cell, given: Given) -> tuple[np.ndarray, Carry]:
    """The scan written out: one call of `step` per step of time, rows chosen in NumPy."""
    initial = cell.initial_carry(given.params, (_B,), jnp.float32)
    valid = _valid(given)

    def rows(chosen: np.ndarray, new: Any, old: Any) -> Any:
        return jax.tree.map(lambda a, b: np.where(chosen.reshape((_B,) + (1,) * (b.ndim - 1)), a, b), new, old)

    carry, outputs = given.carry, []
    for t in range(_T):
        entering = rows(given.resets[t], initial, carry)
        stepped, y = _step(cell, given.params, entering, given.xs[t])
        carry = rows(valid[t], stepped, entering)
        outputs.append(rows(valid[t], y, np.zeros_like(y)))
    return np.stack(outputs), carry


def _check_values_and_gradients(cell: Cell, given: Given, plain: Pulled) -> None:
    """The laws of values, gradients and rows; `plain` is the fused run without rows."""
    everything = given._replace(
        lengths=np.full_like(given.lengths, _T),
        mask=np.ones_like(given.mask),
        resets=np.zeros_like(given.resets),
    )
    for case, where in ((everything, "without rows"), (given, "under mask, lengths and resets")):
        expected = _pull(cell, "reference", True, case)
        fused = plain if case is everything else _pull(cell, "fused", True, case)
        _agree(cell, expected.result, _step_loop(cell, case), f'"reference" is a loop over step, {where}')
        _agree(cell, fused.result, expected.result, f'"fused" = "reference" in value, {where}')
        for name in ("params", "xs", "carry"):
            law = f'"fused" = "reference" in the gradient of {name}, {where}'
            _agree(cell, getattr(fused, name), getattr(expected, name), law)
        if case is given:
            _check_padding(cell, given, fused)


def _valid(given: Given) -> np.ndarray:
    return given.mask & (np.arange(_T)[:, None] < given.lengths[None])


def _check_padding(cell: Cell, given: Given, expected: Pulled) -> None:
    poisoned = given._replace(xs=np.where(_valid(given)[..., None], given.xs, np.float32(np.nan)))
    same = jax.tree.map(np.array_equal, _pull(cell, "fused", True, poisoned), expected)
    _hold(all(jax.tree.leaves(same)), cell, "NaN in the padding changed an output or a gradient")


@partial(jax.jit, static_argnums=0)
def _other_axes(cell: Cell, given: Given) -> tuple[tuple[Array, Carry], ScanResult]:
    """The same scan vmapped over the batch, and with the batch as the second of two axes."""

    def row(xs: Array, carry: Carry) -> tuple[Array, Carry]:
        outputs, last = scan(cell, given.params, xs, carry)
        return outputs, last

    alone = jax.vmap(row, in_axes=(1, 0), out_axes=(1, 0))(given.xs, given.carry)
    wide = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), given.carry)
    return alone, scan(cell, given.params, jnp.stack([given.xs, given.xs], axis=1), wide)


def _check_leading_axes(cell: Cell, given: Given, plain: ScanResult) -> None:
    alone, wide = _other_axes(cell, given)
    _agree(cell, alone, plain, "vmap over the batch = the batch")
    second = (np.asarray(wide.outputs)[:, 1], jax.tree.map(lambda leaf: np.asarray(leaf)[1], wide.carry))
    _agree(cell, second, plain, "two batch axes = one")


def _check_independence(cell: Cell, given: Given, plain: Pulled) -> None:
    """Rows do not mix and the future is not seen: by exact zeros of the gradient, and by moving a row."""
    rows, times = np.arange(_B) == 0, np.arange(_T) == _T // 2
    seen = _seen(cell, given, rows[None])
    _hold(not np.any(seen[:, 1:]), cell, "a row's output has a gradient with respect to another row's input")
    moved = _pull(cell, "fused", False, given._replace(xs=given.xs + np.float32(rows[None, :, None]))).result
    same = np.allclose(moved.outputs[:, 1:], plain.result.outputs[:, 1:], rtol=_RTOL, atol=_RTOL)
    _hold(same, cell, "moving one row of the batch moved another")
    seen = _seen(cell, given, times[:, None])
    _hold(not np.any(seen[_T // 2 + 1 :]), cell, "an output has a gradient with respect to a later input")
    _hold(bool(np.any(seen)), cell, "an output has no gradient with respect to any input")


def _seen(cell: Cell, given: Given, which: np.ndarray) -> np.ndarray:
    """The gradient with respect to xs of <cotangents, outputs> summed over the outputs `which` (T, B) alone."""
    outputs: Any = given.cotangents.outputs
    which = which.reshape(which.shape + (1,) * (outputs.ndim - 2))
    cotangents = ScanResult(outputs * which, jax.tree.map(np.zeros_like, given.cotangents.carry))
    return np.asarray(_pull(cell, "fused", False, given._replace(cotangents=cotangents)).xs)


def _agree(cell: Cell, got: Any, expected: Any, law: str) -> None:
    for (path, a), b in zip(jax.tree.leaves_with_path(got), jax.tree.leaves(expected), strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        error, bound = np.max(np.abs(a - b), initial=0.0), _RTOL * max(1.0, np.max(np.abs(b), initial=0.0))
        where = jax.tree_util.keystr(path)
        _hold(bool(error <= bound), cell, f"{law}{', at ' + where if where else ''}: differs by {error:.1e}")
