"""Lists, dicts and trainings taken apart into single results, each with its label."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from recurrax import extras, lag, train
from recurrax.plot.results import RESULTS


class Part(NamedTuple):
    """One result and how it is told from others; levels: the quantiles on its last axis, None where it has rows."""

    result: Any
    label: str | None
    look: Mapping[str, Any] = {}
    levels: Any = None


def parts_of(result: Any, label: str | Sequence[str] | None = None) -> Iterator[Part]:
    """The single results in what `plot.draw` is given.

    Raises:
        TypeError: there is something in it that no instrument returns.
        ValueError: there is nothing in it, there are other labels than results, or readings of several instruments.
    """
    if isinstance(result, train.Fitted):
        yield from _of_dict(result.probes, label, [f"step {step}" for step in result.probe_steps])
    elif isinstance(result, dict):
        yield from _of_dict(result, label, None)
    elif isinstance(result, list) or type(result) is tuple:
        yield from _of_list(result, label)
    elif label is not None and not isinstance(label, str):
        raise ValueError(f"label: expected one text, got {label!r}")
    else:
        yield from _of_one(result, label, None)


def _of_list(results: Sequence[Any], label: str | Sequence[str] | None) -> Iterator[Part]:
    if label is not None and (isinstance(label, str) or len(label) != len(results)):
        raise ValueError(f"label: expected a list of {len(results)}, one per result, got {label!r}")
    if not results:
        raise ValueError("result: expected at least one, got none")
    for place, one in enumerate(results):
        yield from parts_of(one, str(place) if label is None else label[place])


def _of_dict(results: dict[str, Any], label: Any, steps: Sequence[str] | None) -> Iterator[Part]:
    if label is not None and not (isinstance(label, str) and len(results) == 1):
        raise ValueError(f"label: expected none, the dict has the labels {', '.join(results)}, got {label!r}")
    if not results:
        raise ValueError("result: expected at least one, got none")
    for name, one in results.items():
        yield from _of_one(one, label or (name if len(results) > 1 or steps is None else None), steps)


def _of_one(result: Any, label: str | None, steps: Sequence[str] | None) -> Iterator[Part]:
    levels = None
    if isinstance(result, lag.Readings):
        found = {name: one for name, one in result._asdict().items() if one is not None and name != "levels"}
        if len(found) != 1:
            names = ", ".join(found)
            raise ValueError(f"result: expected readings of one instrument, such as result.adjoint, got {names}")
        (one,) = found.values()
        # Stacked by probe step and network, the levels are the same everywhere.
        levels = None if result.levels is None else np.asarray(result.levels).reshape(-1, result.levels.shape[-1])[0]
        result = one
    if type(result) not in RESULTS:
        known = ", ".join(kind.__name__ for kind in RESULTS)
        raise TypeError(f"result: expected one of {known}, got {type(result).__name__}")
    ahead = 0 if isinstance(result, lag.LagMatrix) else np.ndim(getattr(result, "lag", 0)) - 1
    if ahead < 2:
        yield Part(_networks_as_rows(result) if ahead == 1 else result, label, {}, levels)
        return
    # Stacked as `Fitted.probes` are, (P, S, T, ...).
    count = len(jax.tree.leaves(result)[0])
    colours = extras.require("matplotlib", "experiments").colormaps["viridis_r"](np.linspace(0.12, 1.0, count))
    for place, colour in enumerate(colours):
        one = _networks_as_rows(jax.tree.map(lambda leaf, place=place: leaf[place], result))
        step = f"probe {place}" if steps is None else steps[place]
        yield Part(one, f"{label}, {step}" if label else step, {"color": tuple(colour)}, levels)


def _networks_as_rows(result: Any) -> Any:
    """Leaves (S, T, *batch) as (T, S, *batch), and the lags (T,), which all networks share."""
    if isinstance(result, lag.ParameterProfile):
        result = result._replace(gradient=None)  # it has no lags
    lags = np.asarray(result.lag)[0]
    folded = jax.tree.map(lambda leaf: np.moveaxis(np.asarray(leaf), 0, min(1, leaf.ndim - 1)), result)
    return folded._replace(lag=lags)
