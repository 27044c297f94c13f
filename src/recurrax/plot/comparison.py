"""The curves of cells beside each other, each named where it ends."""

import math
from typing import Any

from recurrax import lag
from recurrax.lag.compare import said
from recurrax.plot.results import LAG
from recurrax.report import Level, Line, Panel, labels, panels, style


def draw_comparison(ax: Any, comparison: lag.Comparison, floor: float) -> None:
    """Draws what `lag.compare` returned on empty axes; see `plot.compare`."""
    arms, last = comparison.arms, len(comparison.lag) - 1
    looks = style.looks([arm.family for arm in arms.values()])
    lines = tuple(
        Line(f"{name}: K {said(arm.reach, last)}", "lag", name, *look)
        for (name, arm), look in zip(arms.items(), looks, strict=True)
    )
    values = [arm.bands[1] for arm in arms.values()]
    top = max(math.log(10.0), *(float(curve.max()) for curve in values))
    sinks = any((curve < math.log(floor)).any() for curve in values)
    networks = len(next(iter(arms.values())).log_norm)
    panel = Panel(
        f"Gradient norm by lag, {networks} networks per cell",
        LAG,
        "gradient norm, relative to lag 0",
        lines,
        levels=(Level(math.log(comparison.epsilon), f"K: below {comparison.epsilon:.0e}"),),
        y_scale="exp",
        y_limits=(math.log(floor), top) if sinks else None,
    )
    panels.draw_panel(ax, panel, {"lag": comparison.lag} | {name: arm.log_norm for name, arm in arms.items()})
    labels.name_lines(ax.get_figure(root=True), {ax: panels.floor(ax, panel)})
