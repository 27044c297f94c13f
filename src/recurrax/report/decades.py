"""Axes for norms given by their natural logs: real values on a log scale, or exponents under a label that says so."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

LEAST = 1e-300
"""Norms are shown as numbers down to here, and up to its inverse; float64 ends at 1e-308."""
EXPONENT = "log10 of "
"""What the label of an axis of exponents begins with."""


def label(axes: Any, text: str, log_norms: Iterable[Any]) -> None:
    """Labels the y axis of empty axes, and makes it a log scale if a float can hold every norm that will be drawn.

    Args:
        axes: matplotlib axes.
        text: what the norm is.
        log_norms: arrays of natural logs; those that are not finite are not drawn and do not count.
    """
    largest = max((np.abs(logs[np.isfinite(logs)]).max(initial=0.0) for logs in map(_float, log_norms)), default=0.0)
    if largest <= -math.log(LEAST):
        axes.set_yscale("log")
        axes.set_ylabel(text)
    else:
        axes.set_ylabel(EXPONENT + text)


def position(axes: Any, log_norm: Any) -> np.ndarray:
    """Where norms stand on the y axis: at their values, or at their exponents where its label says so.

    NaN, which is not drawn, for a norm of zero, for one that is not finite, and for one below `LEAST` on an axis of
    values.

    >>> from matplotlib.figure import Figure
    >>> axes = Figure().subplots()
    >>> label(axes, "A(k)", [np.array([0.0, -2000.0])])
    >>> axes.get_ylabel(), position(axes, math.log(10) * -900).round().tolist()
    ('log10 of A(k)', -900.0)
    """
    log_norm = _float(log_norm)
    if axes.get_ylabel().startswith(EXPONENT):
        return np.where(np.isfinite(log_norm), log_norm / math.log(10), np.nan)
    shown = np.abs(log_norm) <= -math.log(LEAST)
    return np.exp(np.where(shown, log_norm, np.nan))


def _float(values: Any) -> np.ndarray:
    return np.asarray(values, np.float64)
