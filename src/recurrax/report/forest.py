"""A claim's comparisons as intervals beside δ: the figure below each verdict."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recurrax import extras
from recurrax.files import write_whole
from recurrax.report import style

LOOKS = {
    "supported": {"color": style.COLOURS[1], "marker": "o"},
    "refuted": {"color": style.COLOURS[0], "marker": "s"},
    "undecided": {"color": style.LEVEL, "marker": "o", "fillstyle": "none"},
}


def draw_forest(claim: Mapping[str, Any], path: Path) -> None:
    """Draws every θ of a claim, as summary.json has it, with its interval; an end without bound is an arrow.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    matplotlib = extras.require("matplotlib", "experiments")
    pyplot = extras.require("matplotlib.figure", "experiments")
    compared = claim["comparisons"]
    seen = [end for one in compared for end in one["theta"].values() if end is not None]
    seen += [0.0, claim["delta"]]
    edge = 0.08 * (max(seen) - min(seen))
    low, high = min(seen) - edge, max(seen) + edge
    with matplotlib.rc_context(style.SETTINGS):
        canvas = pyplot.Figure(figsize=(8.0, 0.9 + 0.24 * len(compared)), layout="constrained")
        axes = canvas.subplots()
        axes.axvspan(claim["delta"], high, color="#F1F1F1", linewidth=0)
        axes.axvline(0.0, color=style.LEVEL, linewidth=1.0)
        for y, one in enumerate(compared):
            look, theta = LOOKS[one["verdict"]], one["theta"]
            low_end, high_end = (bound if end is None else end for end, bound in
                                 ((theta["low"], low), (theta["high"], high)))  # fmt: skip
            axes.plot([low_end, high_end], [y, y], color=look["color"], linewidth=1.6)
            for name, end, marker in (("low", low_end, "<"), ("high", high_end, ">")):
                if theta[name] is None:
                    axes.plot([end], [y], marker, color=look["color"], markersize=5, clip_on=False)
            if theta["estimate"] is not None:
                axes.plot([theta["estimate"]], [y], markersize=5, **look)
        axes.set_yticks(range(len(compared)), [_label(one) for one in compared])
        axes.set(xlim=(low, high), ylim=(len(compared) - 0.4, -0.6))
        axes.set_xlabel(f"{claim['effect']}; shaded: beyond δ = {claim['delta']:.3g}")
        write_whole(path, lambda file: canvas.savefig(file, format="svg", metadata={"Date": None, "Creator": None}))


def _label(one: Mapping[str, Any]) -> str:
    """Where a comparison was made, or of what it is where that says nothing."""
    placed = ", ".join(filter(None, [one["level"], one["task"]]))
    return placed or " over ".join(filter(None, [one["of"], one["against"]]))
