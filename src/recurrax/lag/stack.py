"""Results as a training stacks them, over its probe steps and its seeds, and the way back to one."""

from typing import Any

import jax
import numpy as np

_WITHOUT_LAG = {"horizon", "gradient", "capacity", "noise_floor"}
"""Fields of results that have no axis of lag."""


def at(result: Any, step: int = -1, seed: int | None = None) -> Any:
    """The result of one probe step, of one network or of all seeds: what summaries and pictures take.

    A training stacks what its probes return: every field of `fitted.probes["..."]` is (P, S, ...), P probe steps and S
    seeds or rows.

    Args:
        result: one of the profiles so stacked.
        step: which of the P probe steps, by its place; -1 is the last.
        seed: which of the S rows, by its place. If None all of them, as a batch axis after the lag, (T, S, *batch), in
            which `fit_decay` finds its independent samples.

    Raises:
        ValueError: the result is not stacked, or there is no such place.

    >>> import jax.numpy as jnp, recurrax
    >>> from recurrax.lag import adjoint_profile, half_life
    >>> cell, xs = recurrax.LSTM(4), jnp.ones((30, 2))
    >>> draw = jax.vmap(lambda key: cell.init(key, input_size=2))
    >>> params = draw(jax.random.split(jax.random.key(0), 3))
    >>> by_seed = jax.vmap(lambda params: adjoint_profile(cell, params, xs))(params)
    >>> stacked = jax.tree.map(lambda leaf: leaf[None], by_seed)  # one probe step of three seeds
    >>> stacked.log_norm_joint.shape, stacked.at().log_norm_joint.shape, stacked.at(seed=2).log_norm_joint.shape
    ((1, 3, 30), (30, 3), (30,))
    >>> half_life(stacked.at(step=0)) > 0
    True
    """
    steps, seeds = _stacked_over(result)
    for name, place, count in (("step", step, steps), ("seed", 0 if seed is None else seed, seeds)):
        if not isinstance(place, int | np.integer) or not -count <= place < count:
            raise ValueError(f"{name}: expected a place among {count}, got {place!r}")

    def of_field(name: str, leaf: Any) -> Any:
        leaf = leaf[step]  # (S, ...)
        if seed is not None or name in ("lag", "anchor"):  # which all seeds share
            return leaf[seed or 0]
        return leaf if name in _WITHOUT_LAG else np.moveaxis(leaf, 0, _axis_of_lag(result, name) + 1)

    parts = {
        name: jax.tree.map(lambda leaf, name=name: of_field(name, np.asarray(leaf)), value)
        for name, value in result._asdict().items()
    }
    return type(result)(**parts)


def check_single(name: str, result: Any) -> None:
    """Raises a ValueError if a result is stacked over probe steps and seeds."""
    shape = np.shape(getattr(result, "lag", np.zeros(1)))
    if len(shape) != 1:
        kind = type(result).__name__
        raise ValueError(
            f"{name}: expected the {kind} of one network, got one for each of {shape[:-1]} probe steps and seeds; "
            "say .at(step=-1, seed=0), or seed=None for all seeds"
        )


def _stacked_over(result: Any) -> tuple[int, int]:
    """P and S."""
    shape = np.shape(result.lag)
    if len(shape) != 3:
        kind = type(result).__name__
        raise ValueError(f"result: expected a {kind} stacked by a training, lag (P, S, T), got lag {shape}")
    return shape[:2]


def _axis_of_lag(result: Any, name: str) -> int:
    """Where the lag, or the step that stands for it, is among the axes of a field of one result."""
    return 1 if name == "log_norm" and hasattr(result, "anchor") else 0
