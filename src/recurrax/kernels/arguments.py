"""What `recurrax.scan` is given, checked: one sentence that names the argument, what came and what was expected."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from recurrax.kernels.padding import Rows, in_dtype_of
from recurrax.typing import Array, Carry, Cell, DTypeLike, Params


class Arguments(NamedTuple):
    """What every implementation is given.

    xs, leaves (T, *batch, ...), and params as arrays; carry before the first step and initial carry, leaves
    (*batch, ...) of the same dtypes; rows, bools (T, *batch); batch_shape, *batch; effects, what a step does beside
    computing, such as printing.
    """

    cell: Cell
    params: Params
    xs: Any
    carry: Carry
    initial: Carry
    rows: Rows
    batch_shape: tuple[int, ...]
    reverse: bool
    unroll: int
    effects: frozenset[Any] = frozenset()


_ADAPTERS = {
    "flax.nnx": "from_nnx(cell)",
    "flax.linen": "from_linen(cell)",
    "equinox": "from_equinox(cell)",
    "haiku": "from_step(step, params, carry)",
    "keras": "from_step(step, params, carry)",
}
"""What makes a cell of another library's, by the module that its classes come from."""


def check_is_cell(cell: Any) -> None:
    """Raises a ValueError unless `cell` is an instance with the methods of the contract."""
    if isinstance(cell, type):
        raise ValueError(f"cell: expected an instance such as {cell.__name__}(128), got the class itself")
    if not isinstance(cell, Cell):
        for library, adapter in _ADAPTERS.items():
            if any(f"{kind.__module__}.".startswith(f"{library}.") for kind in type(cell).__mro__):
                said = f"got {library}'s {type(cell).__name__}; recurrax.{adapter} makes a cell of it"
                raise ValueError(f"cell: expected an object with the methods of recurrax.typing.Cell, {said}")
        raise ValueError(f"cell: expected an object with the methods of recurrax.typing.Cell, got {cell!r:.200}")


def check_sequence(
    cell: Cell, params: Params, xs: Any, carry: Carry | None = None, rows: Sequence[Array | None] = ()
) -> tuple[Any, int, tuple[int, ...]]:
    """Xs as arrays, its number of steps T and its batch shape.

    The batch shape of one floating array (T, *batch, D) is all between its first and its last axis. Of anything else it
    is the axes all leaves share after the first, as many of them as fit what else is given: `rows`, any of (T, *batch),
    then the carry; else as many as leave the carry of `cell` its shape in a step.

    Raises:
        ValueError: `cell` is none or cannot be hashed, or xs is no pytree of arrays (T, *batch, ...).
    """
    check_is_cell(cell)
    try:
        hash(cell)
    except TypeError as error:
        name = type(cell).__name__
        raise ValueError(f"cell: expected a hashable one, such as a frozen dataclass, got {name}: {error}") from None
    leaves, tree = jax.tree.flatten(xs)
    if not leaves or not all(hasattr(leaf, "ndim") and hasattr(leaf, "dtype") for leaf in leaves):
        raise ValueError(f"xs: expected an array (T, *batch, D) or a pytree of arrays, got {type(xs).__name__}")
    if len(leaves) == 1 and jnp.issubdtype(leaves[0].dtype, jnp.floating) and leaves[0].ndim < 2:
        raise ValueError(f"xs: expected (T, *batch, D) with at least two axes, got shape {leaves[0].shape}")
    for leaf in leaves:
        if leaf.ndim < 1 or leaf.shape[0] != leaves[0].shape[0]:
            sizes = f"{leaves[0].shape} and {leaf.shape}"
            raise ValueError(f"xs: expected leaves that share their first axis, time, got shapes {sizes}")
        if jnp.issubdtype(leaf.dtype, jnp.floating) and leaf.shape[-1] == 0 and leaf.ndim > 1:
            raise ValueError(f"xs: expected at least one feature on the last axis, got shape {leaf.shape}")
    leaves = [jnp.asarray(leaf) for leaf in leaves]
    xs = jax.tree.unflatten(tree, leaves)
    candidates = list(dict.fromkeys(_batch_shapes(leaves)))
    steps = leaves[0].shape[0]
    if len(candidates) > 1:
        shapes = {jnp.shape(array) for array in rows if array is not None}
        known = [shape for shape in candidates if (steps, *shape) in shapes]
        known = known or [shape for shape in candidates if _fits(cell, params, xs, shape, carry)]
        known = known or [shape for shape in candidates if _keeps_shapes(cell, params, xs, shape)]
        candidates = known or candidates
    return xs, steps, candidates[0]


def _fits(cell: Cell, params: Params, xs: Any, batch_shape: tuple[int, ...], carry: Carry | None) -> bool:
    """Whether a given carry has the shapes of one for that batch."""
    like = None if carry is None else _initial_shapes(cell, params, xs, batch_shape)
    return like is not None and jax.tree.map(jnp.shape, carry) == jax.tree.map(jnp.shape, like)


def _initial_shapes(cell: Cell, params: Params, xs: Any, batch_shape: tuple[int, ...]) -> Carry | None:
    try:
        return jax.eval_shape(lambda params: cell.initial_carry(params, batch_shape, carry_dtype(params, xs)), params)
    except Exception:  # a shape that is not meant may fail anywhere in a cell
        return None


def _batch_shapes(leaves: list[Array]) -> Iterator[tuple[int, ...]]:
    """The batch shapes that leaves (T, ...) may have, the likeliest first."""
    yield shared_axes(leaves)[1:]
    if len(leaves) > 1 or not jnp.issubdtype(leaves[0].dtype, jnp.floating):
        shared = _common([leaf.shape[1:] for leaf in leaves])
        yield from (shared[:axes] for axes in range(len(shared), -1, -1))


def shared_axes(leaves: list[Array]) -> tuple[int, ...]:
    """The sizes that all arrays begin with, the features of floating ones set aside: the last axis of the deepest."""
    depth = max(leaf.ndim for leaf in leaves)
    featured = [leaf.ndim == depth and jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves]
    return _common([leaf.shape[: leaf.ndim - feature] for leaf, feature in zip(leaves, featured, strict=True)])


def _common(shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    shared = []
    for sizes in zip(*shapes, strict=False):
        if any(size != sizes[0] for size in sizes):
            break
        shared.append(sizes[0])
    return tuple(shared)


def _keeps_shapes(cell: Cell, params: Params, xs: Any, batch_shape: tuple[int, ...]) -> bool:
    def step(params: Params, x: Any) -> tuple[Carry, Carry]:
        carry = cell.initial_carry(params, batch_shape, carry_dtype(params, xs))
        return carry, cell.step(params, carry, x)[0]

    try:
        before, after = jax.eval_shape(step, params, first_step(xs))
    except Exception:  # the wrong shapes may fail anywhere in a cell; the right ones fail again where it can be read
        return False
    return jax.tree.map(jnp.shape, before) == jax.tree.map(jnp.shape, after)


def first_step(xs: Any) -> Any:
    """Shapes of one step of leaves (T, ...)."""

    def one(leaf: Array) -> jax.ShapeDtypeStruct:
        # NumPy's float64 by name would warn; keys have no other dtype.
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.extended)
        return jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype if is_key else jax.dtypes.canonicalize_dtype(leaf.dtype))

    return jax.tree.map(one, xs)


def carry_dtype(params: Params, xs: Any) -> DTypeLike:
    """The promoted real dtype of xs and the parameters, and at least float32: a bfloat16 carry loses a sequence."""
    leaves = [leaf.dtype for leaf in jax.tree.leaves((params, xs)) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    # NumPy's float64 is float32 where JAX has no float64; asked for by name it would warn.
    return jnp.finfo(jnp.result_type(jnp.float32, *map(jax.dtypes.canonicalize_dtype, leaves))).dtype


def check_params(cell: Cell, params: Params, xs: Any) -> None:
    """Raises a ValueError unless `params` has the structure and shapes that `cell.init` gives for such inputs.

    Only where xs is one floating array, whose features say what `init` was called with.
    """
    if not hasattr(xs, "ndim") or not jnp.issubdtype(xs.dtype, jnp.floating):
        return
    expected = _shapes_of_init(cell, xs.shape[-1]) if isinstance(xs.shape[-1], int) else None
    if expected is None or _is_like(params, expected):
        return
    # Kept by the cell alone, for speed; the code of its `init` may have been edited since.
    _shapes_of_init.cache_clear()
    expected = _shapes_of_init(cell, xs.shape[-1])
    if expected is None or _is_like(params, expected):
        return
    if jax.tree.structure(params) != jax.tree.structure(expected):
        raise ValueError(f"params: expected {type(cell).__name__}'s {_describe(expected)}, got {_describe(params)}")
    name, got, want = _differences(params, expected)[0]
    for features in got:
        other = _shapes_of_init(cell, features) if isinstance(features, int) and features > 0 else None
        if other is not None and not _differences(params, other):
            raise ValueError(f"xs: expected {features} features on the last axis, got shape {xs.shape}")
    raise ValueError(f"params{name}: expected shape {want}, got {got}")


@lru_cache(maxsize=256)
def _shapes_of_init(cell: Cell, input_size: int) -> Any:
    """Shapes of the parameters, or None where `init` refuses to be asked without values."""
    try:
        return jax.eval_shape(lambda key: cell.init(key, input_size), jax.eval_shape(lambda: jax.random.key(0)))
    except Exception:  # an `init` that draws with NumPy, say, is legal and cannot be traced
        return None


def _is_like(params: Params, expected: Params) -> bool:
    return jax.tree.structure(params) == jax.tree.structure(expected) and not _differences(params, expected)


def _differences(params: Params, expected: Params) -> list[tuple[str, tuple[int, ...], tuple[int, ...]]]:
    return [
        (jax.tree_util.keystr(path), jnp.shape(got), want.shape)
        for (path, got), want in zip(jax.tree.leaves_with_path(params), jax.tree.leaves(expected), strict=True)
        if jnp.shape(got) != want.shape
    ]


def check_carry(carry: Carry, expected: Carry) -> Carry:
    """The carry as arrays.

    Raises:
        ValueError: it has not the type, structure and shapes of `expected`, or a leaf is not of its kind: real
            floating, complex, or the very dtype of anything else.
    """
    if jax.tree.structure(carry) != jax.tree.structure(expected):
        raise ValueError(f"carry: expected a {_describe(expected)}, got {_describe(carry)}")
    for (path, got), want in zip(jax.tree.leaves_with_path(carry), jax.tree.leaves(expected), strict=True):
        name = "carry" + jax.tree_util.keystr(path)
        if jnp.shape(got) != want.shape:
            raise ValueError(f"{name}: expected shape {want.shape}, got {jnp.shape(got)}")
        dtype = jnp.asarray(got).dtype
        kind = next((k for k in (jnp.floating, jnp.complexfloating) if jnp.issubdtype(want.dtype, k)), None)
        if kind is None and dtype != want.dtype:
            raise ValueError(f"{name}: expected dtype {want.dtype}, got {dtype}")
        if kind is not None and not jnp.issubdtype(dtype, kind):
            words = "a floating" if kind is jnp.floating else "a complex"
            raise ValueError(f"{name}: expected {words} dtype, got {dtype}")
    return jax.tree.map(jnp.asarray, carry)


def carries(
    cell: Cell, params: Params, xs: Any, batch_shape: tuple[int, ...], carry: Carry | None
) -> tuple[Carry, Carry]:
    """The carry to start from and the initial one, of the same dtypes: those of `carry` if it is given."""
    initial = cell.initial_carry(params, batch_shape, carry_dtype(params, xs))
    if carry is None:
        return initial, initial
    carry = check_carry(carry, initial)
    return carry, jax.tree.map(lambda leaf, like: in_dtype_of(like, leaf), initial, carry)


def check_step(given: Arguments) -> Arguments:
    """The arguments with the effects of a step.

    Raises:
        ValueError: a step does not keep the carry's structure and shapes, or does not give one array.
    """
    name = type(given.cell).__name__
    step = jax.make_jaxpr(given.cell.step, return_shape=True)
    traced, (carry, y) = step(given.params, given.carry, first_step(given.xs))
    if not hasattr(y, "shape"):
        raise ValueError(f"cell: expected {name}.output to give one array (*batch, ...), got {_describe(y)}")
    if y.shape[: len(given.batch_shape)] != given.batch_shape:
        raise ValueError(f"cell: expected {name}.output to start with (*batch,) = {given.batch_shape}, got {y.shape}")
    if jax.tree.structure(carry) != jax.tree.structure(given.carry):
        expected = _describe(given.carry)
        raise ValueError(
            f"cell: expected {name}.step to keep the carry's structure, {expected}, got {_describe(carry)}"
        )
    for where, got, want in _differences(carry, given.carry):
        raise ValueError(f"cell: expected {name}.step to keep carry{where} of shape {want}, got {got}")
    return given._replace(effects=frozenset(traced.effects))


def rows(
    steps: int, batch_shape: tuple[int, ...], lengths: Array | None, mask: Array | None, resets: Array | None
) -> Rows:
    """`lengths` and `mask` combined into one, and `resets`, checked."""
    valid, shape = None, (steps, *batch_shape)
    if mask is not None:
        valid = _bools("mask", mask, shape)
    if lengths is not None:
        at = jnp.arange(steps).reshape((-1,) + (1,) * len(batch_shape))
        within = at < _lengths(lengths, steps, batch_shape)[None]
        valid = within if valid is None else valid & within
    return Rows(valid=valid, reset=None if resets is None else _bools("resets", resets, shape))


def _bools(name: str, array: Array, shape: tuple[int, ...]) -> Array:
    if not hasattr(array, "dtype"):
        raise ValueError(f"{name}: expected a bool array (T, *batch) = {shape}, got {type(array).__name__}")
    if jnp.shape(array) != shape or jnp.result_type(array) != jnp.bool_:
        raise ValueError(
            f"{name}: expected bool (T, *batch) = {shape}, got {jnp.result_type(array)} {jnp.shape(array)}"
        )
    return jnp.asarray(array)


def _lengths(lengths: Array, steps: int, batch_shape: tuple[int, ...]) -> Array:
    if not hasattr(lengths, "dtype"):
        raise ValueError(f"lengths: expected an integer array (*batch,), got {type(lengths).__name__}")
    if not jnp.issubdtype(jnp.result_type(lengths), jnp.integer):
        raise ValueError(f"lengths: expected an integer dtype, got {jnp.result_type(lengths)}")
    if jnp.shape(lengths) != batch_shape:
        raise ValueError(f"lengths: expected shape (*batch,) = {batch_shape}, got {jnp.shape(lengths)}")
    # Under jit the values are unknown; a length beyond T then means T, and a negative one 0.
    if not isinstance(lengths, Tracer):
        values = np.asarray(lengths)
        if values.size and (values.min() < 0 or values.max() > steps):
            worst = values.max() if values.max() > steps else values.min()
            raise ValueError(f"lengths: expected values in 0..T = 0..{steps}, got {worst}")
    return jnp.asarray(lengths)


def _describe(tree: Any) -> str:
    """A pytree's type and the names of its parts."""
    names = getattr(tree, "_fields", None) or (sorted(map(str, tree)) if isinstance(tree, dict) else None)
    if isinstance(tree, tuple | list) and names is None:
        return f"{type(tree).__name__} of {len(tree)}"
    return type(tree).__name__ + (f"({', '.join(names)})" if names else "")
