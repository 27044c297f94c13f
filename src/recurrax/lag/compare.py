"""Cells beside each other: how far back the gradient of each one reaches, over networks drawn at random."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from recurrax.lag import arguments
from recurrax.lag.adjoint import adjoint_profile
from recurrax.lag.decay import median_curve, vanish_lag
from recurrax.lag.notebook import html
from recurrax.lag.quantiles import quantiles
from recurrax.typing import Cell, Key

_BAND = (0.1, 0.5, 0.9)


class Reach(NamedTuple):
    """The median over networks of K, the first lag at which the gradient has vanished, and its interval, in steps.

    The interval holds the median of all networks with a probability of 95 %, between two of the values measured; where
    there are too few of them for that, it runs from the smallest to the largest: 93.75 % for five.
    """

    median: float
    low: float
    high: float


class Arm(NamedTuple):
    """One of the cells compared.

    family: the class of the cell.
    log_norm: (S, T), for each network the median over sequences of ln A(k) - ln A(0).
    bands: (3, T), the 10th percentile, the median and the 90th percentile of those.
    vanish_lag: (S,), K of each network; inf where it is beyond the last lag.
    reach: their median and its interval.
    """

    family: str
    log_norm: np.ndarray
    bands: np.ndarray
    vanish_lag: np.ndarray
    reach: Reach


class Comparison(NamedTuple):
    """What `compare` measured.

    lag: (T,) ints 0..T-1, steps back. epsilon: below which fraction of its norm at lag 0 a gradient has vanished.
    arms: by name, in the order in which they were given.
    """

    lag: np.ndarray
    epsilon: float
    arms: dict[str, Arm]
    _repr_html_ = html

    def __repr__(self) -> str:
        width = max(map(len, self.arms))
        rows = (f"{name:<{width}}  {said(arm.reach, len(self.lag) - 1)}" for name, arm in self.arms.items())
        return "\n".join([f"first lag at which the gradient norm is below {self.epsilon:g} of that at lag 0:", *rows])


def compare(
    cells: Mapping[str, Cell],
    data: Any,
    *,
    seeds: int | Sequence[int] = 5,
    lags: int = 200,
    rows: int = 16,
    input_size: int | None = None,
    epsilon: float = 1e-6,
) -> Comparison:
    """Measures the gradient norm by lag of freshly drawn networks of each cell, on the same inputs.

    A(k) is that of `adjoint_profile` for the whole state, and L = ⟨g, y_T⟩ with a random unit vector g per sequence.

    Args:
        cells: by the names they are to have, of any classes and sizes.
        data: a task of `recurrax.tasks`, or any object with its `with_lag`, `batch` and `input_size`, whose inputs each
            seed draws for itself; or inputs (T, B, D), or a tree of arrays (T, B, ...), the same for all seeds.
        seeds: how many networks, or their seeds. A seed sees the same inputs whatever the cell.
        lags: the last lag measured on a task; inputs have T - 1.
        rows: sequences per network drawn from a task.
        input_size: D, where the inputs are no single array whose last axis says it.
        epsilon: in (0, 1].

    Raises:
        ValueError: there is no cell or no seed, the size of the inputs is not known, or what an instrument refuses.

    >>> import recurrax
    >>> cells = {"plain": recurrax.Elman(8), "gated": recurrax.LSTM(8)}
    >>> compared = compare(cells, jax.random.normal(jax.random.key(0), (60, 4, 2)), seeds=3)
    >>> compared.arms["plain"].log_norm.shape, compared.arms["plain"].family
    ((3, 60), 'Elman')
    """
    chosen = range(seeds) if isinstance(seeds, int) else tuple(seeds)
    if not cells or not len(chosen):
        raise ValueError(f"cells, seeds: expected at least one of each, got {len(cells)} and {len(chosen)}")
    of_task = hasattr(data, "with_lag") and hasattr(data, "batch")
    size = input_size or (data.input_size if of_task else _last_axis(data))
    longer = data.with_lag(lags) if of_task else None
    curves: dict[str, list[np.ndarray]] = {name: [] for name in cells}
    for seed in chosen:
        draw, look, direct = jax.random.split(jax.random.key(seed), 3)
        xs = data if longer is None else longer.batch(look, rows).xs
        for name, cell in cells.items():
            curve = median_curve(_profile(cell, draw, direct, xs, size))
            curves[name].append(curve if longer is None else curve[: lags + 1])
    arms = {name: _arm(type(cells[name]).__name__, np.stack(found), epsilon) for name, found in curves.items()}
    steps = len(next(iter(arms.values())).bands[0])
    return Comparison(np.arange(steps), epsilon, arms)


def said(reach: Reach, last: int) -> str:
    """A reach in words; one beyond the last lag is more than that.

    >>> said(Reach(63.0, 50.0, math.inf), last=200)
    '63 [50, >200]'
    """
    median, low, high = (f">{last}" if math.isinf(steps) else f"{steps:g}" for steps in reach)
    return median if low == high else f"{median} [{low}, {high}]"


def _profile(cell: Cell, draw: Key, direct: Key, xs: Any, input_size: int) -> np.ndarray:
    """Ln A(k), (T, B), of the network that a key draws."""
    params = cell.init(draw, input_size)
    carry, _ = arguments.check(cell, params, xs, None)
    like = arguments.output_like(cell, params, xs, carry)  # (B, H)
    direction = jax.random.normal(direct, like.shape, like.dtype)
    unit = direction / np.linalg.norm(direction, axis=-1, keepdims=True)
    return np.asarray(adjoint_profile(cell, params, xs, unit).log_norm_joint)


def _arm(family: str, log_norm: np.ndarray, epsilon: float) -> Arm:
    values = np.array([vanish_lag(curve, epsilon) for curve in log_norm])
    ordered, count = np.sort(values), len(values)
    # The k-th smallest and the k-th largest miss the median with 2 P(Bin(S, 1/2) < k).
    missed = [2 * sum(math.comb(count, below) for below in range(k)) / 2**count for k in range(1, count // 2 + 1)]
    k = max(1, sum(chance <= 0.05 for chance in missed))
    reach = Reach(float(np.median(values)), float(ordered[k - 1]), float(ordered[count - k]))
    return Arm(family, log_norm, quantiles(log_norm.T, _BAND), values, reach)


def _last_axis(xs: Any) -> int:
    if isinstance(xs, np.ndarray | jax.Array) and xs.ndim == 3:
        return xs.shape[-1]
    raise ValueError(
        f"input_size: expected the features that `init` is given, inputs {jax.tree.map(np.shape, xs)} do not say"
    )
