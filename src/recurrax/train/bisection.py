"""Where training fails: the lag up to which a task is solved, row by row, found by bisection over a grid of lags."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np


class FailingLag(NamedTuple):
    """Between which lags each row begins to fail, each (S,).

    solved, the longest lag that was solved, 0 where not even the shortest of the grid was (left-censored); failed, the
    shortest that was not, inf where the longest of the grid was solved (right-censored).
    """

    solved: np.ndarray
    failed: np.ndarray

    @property
    def middle(self) -> np.ndarray:
        """√(solved failed), the geometric middle (S,); 0 where left-censored, inf where right-censored."""
        return np.sqrt(self.solved * self.failed)

    def texts(self) -> list[str]:
        """For a table: "45 to 64", "< 8" or "> 256".

        >>> FailingLag(np.array([45.0, 0.0, 256.0]), np.array([64.0, 8.0, np.inf])).texts()
        ['45 to 64', '< 8', '> 256']
        """
        return [
            f"> {low:g}" if np.isinf(high) else f"< {high:g}" if low == 0 else f"{low:g} to {high:g}"
            for low, high in zip(self.solved, self.failed, strict=True)
        ]


def lag_grid(shortest: int, longest: int) -> tuple[int, ...]:
    """Lags from `shortest` to at most `longest`, each √2 times the one before, rounded.

    >>> lag_grid(8, 256)
    (8, 11, 16, 23, 32, 45, 64, 91, 128, 181, 256)

    Raises:
        ValueError: there is none.
    """
    if not 1 <= shortest <= longest:
        raise ValueError(f"shortest, longest: expected 1 <= shortest <= longest, got {shortest} and {longest}")
    powers = np.arange(1 + int(2 * np.log2(longest / shortest) + 1e-9))
    return tuple(sorted({round(shortest * 2.0 ** (power / 2)) for power in powers}))


def failing_lag(solves: Callable[[int, np.ndarray], np.ndarray], rows: int, lags: Sequence[int]) -> FailingLag:
    """Bisects for each row over the lags, as if whoever solves one lag solves all shorter ones.

    A lag is asked about at most once, with all rows that need it together, so that they share a compiled program; a
    row is asked about at most ⌈log2(lags + 1)⌉ times.

    Args:
        solves: (lag, numbers of the rows (n,)) to bools (n,), such as `fit(...).state.stopped_at >= 0` of a training
            with a `stop` on `task.with_lag(lag)`.
        rows: S, how many there are.
        lags: increasing, at least one.

    Raises:
        ValueError: the lags do not increase, or `solves` gives another number of answers than it was asked for.

    >>> found = failing_lag(lambda lag, rows: lag <= np.array([20, 3, 99])[rows], 3, lag_grid(8, 32))
    >>> found.texts(), found.middle.round(1).tolist()
    (['16 to 23', '< 8', '> 32'], [19.2, 0.0, inf])
    """
    grid = list(lags)
    if not grid or grid[0] < 1 or any(lag >= longer for lag, longer in pairwise(grid)):
        raise ValueError(f"lags: expected positive ints, each above the one before, at least one, got {grid}")
    low, high = np.full(rows, -1), np.full(rows, len(grid))  # places in the grid: solved, and failed
    while (open_ := high - low > 1).any():
        asked = np.where(open_, (low + high) // 2, -1)
        for place in sorted({int(place) for place in asked if place >= 0}):
            who = np.flatnonzero(asked == place)
            solved = np.asarray(solves(grid[place], who))
            if solved.shape != who.shape:
                raise ValueError(f"solves: expected an answer for each of {len(who)} rows, got shape {solved.shape}")
            low[who], high[who] = np.where(solved, place, low[who]), np.where(solved, high[who], place)
    return FailingLag(solved=np.array([0.0, *grid])[low + 1], failed=np.array([*grid, np.inf])[high])
