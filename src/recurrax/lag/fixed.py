"""Fixed points of a recurrence at a constant input, and how it moves around them: memories, thresholds, ghosts."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.scipy.linalg import solve_triangular

from recurrax import code
from recurrax.kernels import columns
from recurrax.lag import arguments, linalg, walk
from recurrax.lag.layers import takes_layers
from recurrax.lag.notebook import html
from recurrax.typing import Array, Carry, Cell, Key, Params


class FixedPoints(NamedTuple):
    """P points where a step at a constant input changes nothing, or next to nothing; fixed ones first.

    state: a carry of NumPy arrays, leaves (P, ...).
    speed: (P,), q = ½ |F(s, x) - s|².
    fixed: (P,) bools, whether the point is fixed and not merely slow.
    eigenvalues: (P, n) complex, those of ∂F/∂s there, the largest modulus first.
    starts: (P,), how many of the S starts led there.
    unfinished: how many starts led to no point, fixed or slow, within reach.
    """

    state: Carry
    speed: np.ndarray
    fixed: np.ndarray
    eigenvalues: np.ndarray
    starts: np.ndarray
    unfinished: int
    _repr_html_ = html

    @property
    def unstable_directions(self) -> np.ndarray:
        """(P,), how many eigenvalues have |λ| >= 1: none at a stable point, some at a saddle."""
        return (np.abs(self.eigenvalues) >= 1).sum(axis=1)

    @property
    def stable(self) -> np.ndarray:
        """(P,) bools, whether all |λ| < 1."""
        return self.unstable_directions == 0

    @property
    def time_constants(self) -> np.ndarray:
        """(P, n), τ = -1/ln |λ| in steps, in the order of the eigenvalues; below 0 where a distance grows."""
        with np.errstate(divide="ignore"):  # λ = 0 is forgotten at once, |λ| = 1 never
            return -1 / np.log(np.abs(self.eigenvalues))


@takes_layers
def fixed_points(
    cell: Cell,
    params: Params,
    x: Any,
    states: Carry | None = None,
    *,
    xs: Any = None,
    key: Key | None = None,
    starts: int = 128,
    noise: float = 0.0,
    tolerance: float | None = None,
    slow: float = 1e-6,
    distance: float | None = None,
    reach: float = 10.0,
    iterations: int = 200,
) -> FixedPoints:
    """Finds s* = F(s*, x) from many starts, by the method of Levenberg and Marquardt on q(s) = ½ |F(s, x) - s|².

    δ = argmin |r + Jδ|² + μ |δ|²  with  r = F(s, x) - s,  J = ∂r/∂s,  μ = d |r|

    q falls at every step taken, d with it; since μ vanishes with r, the last steps are Newton's and digits double.
    Saddles and unstable points are found like stable ones. Where J becomes singular before r is zero a walk ends at a
    minimum of q: a slow point, the ghost of a fixed one. State and starts are in the dtype of the parameters: float64
    gives points to rounding. Not to be traced: how many points there are is a result.

    Args:
        cell: any cell of the contract whose carry has floating and complex leaves alone, a complex number being two
            real ones; or a layer of Flax, see `recurrax.lag`.
        params: its parameters, finite.
        x: (D,), the constant input, or any tree of arrays that one step of one sequence reads.
        states: S starts, a carry with leaves (S, ...).
        xs: in place of `states`, (T, *batch, D) inputs that drive the cell from its initial carry, or any tree of
            arrays (T, *batch, ...): S of the states that it passes are the starts.
        key: draws those, and the noise.
        starts: S, how many states of the driven cell.
        noise: standard deviation of what is added to each number of a start.
        tolerance: up to which q a point is fixed; None for |F(s, x) - s| <= 1000 ε (1 + |s|), ε that of the dtype.
        slow: up to which q a point that is not fixed is kept as a slow one: by 1e-6 the state moves 0.0014 a step.
        distance: up to which |s - s'| two points are one; None for ε^⅓ (1 + |s|).
        reach: with xs, how far from the mean of the starts a point is looked for, in root mean squares of theirs from
            it: where gates saturate, far beyond all states that a cell passes, everything rests.
        iterations: most steps of a start.

    Raises:
        ValueError: an argument is out of range, states and xs are both given or none is, the key is missing, or the
            carry has a leaf that is no floating one.

    References: Sussillo & Barak (2013) for q and its slow points; Madsen, Nielsen & Tingleff (2004), section 3.2, for
    d; Fan & Yuan (2005) for μ = d |r|.

    >>> import recurrax
    >>> cell, params = recurrax.Elman(1), recurrax.cells.ElmanParams(*map(jnp.array, ([[[0.0]]], [[[2.0]]], [[0.0]])))
    >>> h = recurrax.cells.ElmanCarry(jnp.linspace(-1.0, 1.0, 9)[:, None])  # h_t = tanh(2 h_tm1)
    >>> found = fixed_points(cell, params, jnp.zeros(1), h)
    >>> sorted((round(float(h), 4), bool(stable)) for h, stable in zip(found.state.h[:, 0], found.stable))
    [(-0.9575, True), (0.0, False), (0.9575, True)]
    """
    sizes = {"slow": slow, "noise": noise, "tolerance": tolerance, "distance": distance, "reach": reach}
    for name, value in sizes.items():
        if value is not None and not value >= 0:
            raise ValueError(f"{name}: expected a number >= 0, got {value!r}")
    for name, value in {"starts": starts, "iterations": iterations}.items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}: expected a positive int, got {value!r}")
    _check_input(cell, params, x)
    if (states is None) == (xs is None):
        raise ValueError(f"states: expected either states or xs, got {'neither' if xs is None else 'both'}")
    if (xs is not None or noise) and key is None:
        raise ValueError("key: expected a key to draw the starts with, got None")
    begin = _given(cell, params, x, states) if xs is None else _driven(cell, params, xs, key, starts)
    at = _solve(cell, iterations, params, x, begin, noise if noise else None, key)
    if any(isinstance(leaf, Tracer) for leaf in at):
        raise ValueError("cell: expected values, got traced ones: how many points there are is a result")
    eps = float(jnp.finfo(at.end.dtype).eps)
    start, end, speed = (np.asarray(leaf, np.float64) for leaf in (at.start, at.end, at.speed))
    scale = 1 + np.linalg.norm(end, axis=1)
    fixed = speed <= ((1000 * eps * scale) ** 2 / 2 if tolerance is None else tolerance)
    kept = fixed | (speed <= slow)
    if xs is not None:
        far, spread = (np.linalg.norm(points - start.mean(axis=0)[None], axis=1) for points in (end, start))
        kept &= far <= reach * np.sqrt(np.mean(np.square(spread)))
    chosen, count = _merge(end, speed, kept, eps ** (1 / 3) * scale if distance is None else distance)
    order = np.lexsort((-count, ~fixed[chosen]))  # fixed before slow, then those that most starts led to
    chosen, count = chosen[order], count[order]
    state = jax.tree.map(lambda leaf: np.asarray(leaf)[chosen], at.state)
    # One point after the other: how many there are compiles nothing.
    of_point = (jax.tree.map(lambda leaf, place=place: leaf[place], state) for place in range(len(chosen)))
    eigenvalues = [_eigenvalues(_jacobian(cell, params, x, point)) for point in of_point]
    return FixedPoints(
        state,
        speed[chosen],
        fixed[chosen],
        np.array(eigenvalues, complex).reshape(len(chosen), end.shape[1]),
        count,
        len(end) - int(count.sum()),
    )


def _check_input(cell: Cell, params: Params, x: Any) -> None:
    """Raises a ValueError unless x is one input of one sequence."""
    leaves = jax.tree.leaves(x)
    if not leaves or not all(hasattr(leaf, "ndim") and hasattr(leaf, "dtype") for leaf in leaves):
        raise ValueError(f"x: expected an array (D,) or a pytree of arrays, got {type(x).__name__}")
    try:
        xs = jax.tree.map(lambda leaf: leaf[None], x)
        _, batch_shape = arguments.sequence_shape(cell, params, xs)
        if batch_shape:
            raise ValueError(f"xs: expected one input (D,), got batch axes {batch_shape}")
        carry, _ = arguments.check(cell, params, xs, None)
    except ValueError as error:
        said = str(error)
        raise ValueError(f"x{said.removeprefix('xs')}" if said.startswith("xs:") else said) from None
    for path, leaf in jax.tree.leaves_with_path(carry):
        if not jnp.issubdtype(leaf.dtype, jnp.inexact):
            name = jax.tree_util.keystr(path)
            raise ValueError(f"carry{name}: expected floating or complex leaves, which can rest, got {leaf.dtype}")


def _given(cell: Cell, params: Params, x: Any, states: Carry) -> Carry:
    """The starts given, checked: as many rows as their first leaf has."""
    leaves = jax.tree.leaves(states)
    if not leaves or not all(jnp.ndim(leaf) and len(leaf) for leaf in leaves):
        raise ValueError("states: expected a carry with leaves (S, ...), got one without rows")
    xs = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (1, len(leaves[0]), *leaf.shape)), x)
    arguments.check_finite("states", states)
    return arguments.check(cell, params, xs, states)[0]


def _driven(cell: Cell, params: Params, xs: Any, key: Any, starts: int) -> Carry:
    """`starts` of the states that a driven cell passes, with leaves (S, ...), each once where there are enough."""
    carry, valid = arguments.check(cell, params, xs, None)
    _, batch_shape = arguments.sequence_shape(cell, params, xs)
    return _passed(cell, (starts, 1 + len(batch_shape)), params, xs, carry, valid, key)


@partial(code.jit, static_argnums=(0, 1))
def _passed(
    cell: Cell, sizes: tuple[int, int], params: Params, xs: Any, carry: Carry, valid: Array | None, key: Key
) -> Carry:
    starts, leading = sizes
    passed = walk.carries_after(*walk.record(cell, params, xs, carry, valid))  # (T, *batch, ...)
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[leading:]), passed)
    total = len(jax.tree.leaves(flat)[0])
    places = jax.random.choice(key, total, (starts,), replace=starts > total)
    return jax.tree.map(lambda leaf: leaf[places], flat)


def _next(cell: Cell, params: Params, x: Any, like: Carry, numbers: Array) -> Array:
    """F(s, x), (n,) to (n,)."""
    before = columns.from_columns(numbers, like, leading=0)
    after = walk.where_valid(None, cell.step(params, before, x)[0], before)
    return columns.as_columns(after, leading=0)


def _linear(f: Any, numbers: Array) -> tuple[Array, Array]:
    """f(s) and ∂f/∂s (n, n), from one linearisation."""
    value, push = jax.linearize(f, numbers)
    return value, jax.vmap(push, out_axes=1)(jnp.eye(numbers.size, dtype=numbers.dtype))


@partial(code.jit, static_argnums=0)
def _jacobian(cell: Cell, params: Params, x: Any, point: Carry) -> Array:
    with jax.default_matmul_precision("highest"):
        return _linear(partial(_next, cell, params, x, point), columns.as_columns(point, leading=0))[1]


class _Ends(NamedTuple):
    """Where S starts led: start and end (S, n), the end as a carry, leaves (S, ...), and q (S,) there."""

    start: Array
    end: Array
    state: Carry
    speed: Array


class _Search(NamedTuple):
    """s (n,); q(s); d; the factor by which d grows next; steps taken; whether another one would not move s."""

    numbers: Array
    speed: Array
    damping: Array
    growth: Array
    taken: Array
    rests: Array


@partial(code.jit, static_argnums=(0, 1))
def _solve(
    cell: Cell, iterations: int, params: Params, x: Any, begin: Carry, noise: Array | None, key: Key | None
) -> _Ends:
    like = jax.tree.map(lambda leaf: leaf[0], begin)
    starts = columns.as_columns(begin, leading=1)  # (S, n)
    if noise is not None and key is not None:
        starts += noise * jax.random.normal(jax.random.fold_in(key, 1), starts.shape, starts.dtype)
    eps = float(jnp.finfo(starts.dtype).eps)

    def residual(numbers: Array) -> Array:
        return _next(cell, params, x, like, numbers) - numbers

    def half_square(r: Array) -> Array:
        return jnp.sum(jnp.square(r)) / 2

    def step(at: _Search) -> _Search:
        r, jacobian = _linear(residual, at.numbers)
        mu = at.damping * jnp.sqrt(2 * at.speed)
        delta = _damped(jacobian, r, mu)
        reached = half_square(residual(at.numbers + delta))
        better = reached < at.speed  # false of NaN
        # How much of the fall that the linear model promised has come true.
        gain = (at.speed - reached) / (at.speed - half_square(r + jacobian @ delta))
        lower = at.damping * jnp.maximum(1 / 3, 1 - (2 * jnp.minimum(gain, 1) - 1) ** 3)
        return _Search(
            jnp.where(better, at.numbers + delta, at.numbers),
            jnp.where(better, reached, at.speed),
            jnp.where(better, lower, at.damping * at.growth),
            jnp.where(better, 2.0, at.growth * 2),
            at.taken + 1,
            (jnp.linalg.norm(delta) <= eps * jnp.linalg.norm(at.numbers)) | (better & (reached == 0)),
        )

    def descend(start: Array) -> tuple[Array, Array]:
        speed = half_square(residual(start))
        of = partial(jnp.asarray, dtype=start.dtype)
        first = _Search(start, speed, of(0.01), of(2.0), jnp.zeros((), jnp.int32), speed == 0)
        last = jax.lax.while_loop(lambda at: ~at.rests & (at.taken < iterations), step, first)
        return last.numbers, last.speed

    with jax.default_matmul_precision("highest"):
        # One start after the other: each takes as many steps as it needs, and one matrix is held.
        end, speed = jax.lax.map(descend, starts)
    return _Ends(starts, end, columns.from_columns(end, like, leading=0), speed)


def _damped(jacobian: Array, r: Array, mu: Array) -> Array:
    """Argmin over δ of |r + Jδ|² + μ |δ|², by the QR decomposition of J above √μ I, which does not square J."""
    size = r.size
    above = jnp.concatenate([jacobian, jnp.sqrt(mu) * jnp.eye(size, dtype=r.dtype)])  # (2n, n)
    q, _ = linalg.orthonormal(above.T)  # (n, 2n)
    return solve_triangular(q @ above, -q[:, :size] @ r)


def _merge(ends: np.ndarray, speed: np.ndarray, kept: np.ndarray, distance: Any) -> tuple[np.ndarray, np.ndarray]:
    """The places of different points among the ends that are kept, the slowest of each, and how many ends each has."""
    near, chosen, count = np.broadcast_to(distance, speed.shape), [], []
    open_ = kept.copy()
    for place in np.argsort(speed, kind="stable"):
        if open_[place]:
            same = open_ & (np.linalg.norm(ends - ends[place], axis=1) <= near[place])
            open_ &= ~same
            chosen.append(place)
            count.append(int(same.sum()))
    return np.array(chosen, int), np.array(count, int)


def _eigenvalues(jacobian: Array) -> np.ndarray:
    found = np.linalg.eigvals(np.asarray(jacobian, np.float64)).astype(complex)
    return found[np.argsort(-np.abs(found), kind="stable")]
