"""Every result drawn in one line: `plot.draw(result)`, and cells beside each other: `plot.compare(comparison)`.

Lags are in steps, exponents and rates in nats per step. Norms stand at their values on a log scale wherever all of them
are above 1e-300; only where some are below, the axis has exponents, "log10 of ...", as its label says. Over a batch a
line is the median and its band runs from the 10th to the 90th percentile, a norm of zero being the smallest there is.
matplotlib comes with the `experiments` extra and is loaded when something is drawn.
"""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from recurrax import extras, lag
from recurrax.plot.comparison import draw_comparison
from recurrax.plot.parts import parts_of
from recurrax.plot.picture import draw_all
from recurrax.plot.results import RESULTS, View
from recurrax.report import style

__all__ = ["compare", "draw", "html"]

_INCHES = (5.6, 3.6)
_SMALL = (4.8, 3.0)


def draw(
    result: Any,
    ax: Any = None,
    *,
    label: str | Sequence[str] | None = None,
    field: str = "joint",
    relative: bool = False,
) -> Any:
    """Draws what an instrument of `recurrax.lag` returned, or several of them on the same axes.

    Args:
        result: of any of the types in `RESULTS`, with NumPy or JAX arrays; what `lag.probe`'s function returns; a
            `train.Fitted` or its `probes`, of which every probe step is a line; or a list or a dict of such results,
            a dict's keys being their labels. Fits and choices of a law are drawn over the curve that they describe.
        ax: matplotlib axes to draw on, over what is there and on its scale; new ones if None.
        label: what the line is called in the legend, one text per result of a list; what the result measures if None.
        field: which norm is drawn: "joint", that of all fields together; a field by name ("h", "bptt", "kernel"); or
            "all" there are. Of a Lyapunov spectrum, "running" draws the estimates as they settle.
        relative: whether norms are divided by that at lag 0, row by row.

    Returns:
        The axes.

    Raises:
        TypeError: no instrument returns such a thing.
        ValueError: there is no such field, or no lag 0 to be relative to, or not one label per result.
        ModuleNotFoundError: matplotlib is not installed.

    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from recurrax import lag
    >>> ax = draw(lag.mean_field(sigma_w=0.9, sigma_v=0.3), label="theory")
    >>> ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()
    ('lag k (steps back)', 'A(k) / A(0)', 'log')
    """
    if isinstance(result, lag.Comparison):
        return compare(result, ax)
    parts = list(parts_of(result, label))
    matplotlib = extras.require("matplotlib", "experiments")
    with matplotlib.rc_context(style.SETTINGS):
        ax = _new_axes() if ax is None else ax
        last = round(ax.dataLim.x1) if np.isfinite(ax.dataLim.x1) else 100
        views = [View(part.label, field, relative, part.look, part.levels, last) for part in parts]
        draw_all(ax, [RESULTS[type(part.result)](part.result, view) for part, view in zip(parts, views, strict=True)])
        if ax.get_legend_handles_labels()[1]:
            ax.legend(fontsize=7.5, handlelength=2.2)
    return ax


def compare(comparison: lag.Comparison, ax: Any = None, *, floor: float = 1e-12) -> Any:
    """Draws cells beside each other: the median and a band over networks, each line named at its end.

    A family of cells has one colour, its members are told apart by dashes. Behind each name stands its K.

    Args:
        comparison: what `lag.compare` returned.
        ax: empty matplotlib axes of a figure with `layout="constrained"`, which leaves room for the names; new ones if
            None.
        floor: the least norm shown, relative to lag 0.

    Returns:
        The axes.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.

    >>> import matplotlib, jax, recurrax
    >>> matplotlib.use("agg")
    >>> cells = {"plain": recurrax.Elman(8), "gated": recurrax.LSTM(8)}
    >>> ax = compare(lag.compare(cells, jax.random.normal(jax.random.key(0), (60, 4, 2)), seeds=3))
    >>> [text.get_text().split(":")[0] for text in ax.texts]
    ['K', 'plain', 'gated']
    """
    matplotlib = extras.require("matplotlib", "experiments")
    with matplotlib.rc_context(style.SETTINGS):
        ax = _new_axes() if ax is None else ax
        draw_comparison(ax, comparison, floor)
    return ax


def html(result: Any) -> str | None:
    """A small picture of a result as HTML that needs no other file, for notebooks; None of what cannot be drawn.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    figures, image = extras.require("matplotlib.figure", "experiments"), io.BytesIO()
    with extras.require("matplotlib", "experiments").rc_context(style.SETTINGS):
        figure = figures.Figure(figsize=_SMALL, layout="constrained")
        try:
            draw(result, figure.subplots())
        except (TypeError, ValueError):
            return None
        figure.savefig(image, format="png", dpi=110)
    data = base64.b64encode(image.getvalue()).decode("ascii")
    return f'<img alt="{type(result).__name__}" src="data:image/png;base64,{data}">'


def _new_axes() -> Any:
    return extras.require("matplotlib.pyplot", "experiments").subplots(figsize=_INCHES, layout="constrained")[1]
