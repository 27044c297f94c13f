"""A panel of points: where each stands, what lies beyond an axis, and the line through the planted ones."""

import json

import numpy as np
import pytest
from matplotlib.figure import Figure as Canvas

from recurrax.report import Figure, Group, Report, Scatter, figures
from recurrax.report.scatter import draw_scatter
from recurrax.study.scatter import line

ARRAYS = {"x": np.array([2.0, 8.0, np.inf]), "y": np.array([4.0, 16.0, np.inf])}
PANEL = Scatter("echo", "K", "failing lag", (Group("Ours", "x", "y", 1),), 64.0, 1.0, 1.0, "three cells")


def test_points_line_and_edge():
    axes = Canvas().subplots()
    draw_scatter(axes, PANEL, ARRAYS)
    points, fitted = axes.lines
    assert points.get_xdata()[:2].tolist() == [2.0, 8.0]
    assert points.get_ydata()[2] == axes.get_yticks()[-1] > 64
    assert axes.get_yticklabels()[-1].get_text() == ">64"
    np.testing.assert_allclose(fitted.get_ydata(), 2 * fitted.get_xdata())
    assert axes.get_xlim()[0] < 2 < axes.get_xticks()[-1] < axes.get_xlim()[1]


def test_the_line_is_fitted_to_what_was_seen():
    assert line(ARRAYS["x"], ARRAYS["y"]) == (None, 0.0), "two points are no line"
    x = np.array([1.0, 2.0, 8.0, np.inf, 4.0])
    assert line(x, np.where(x == 4, np.inf, 3 * x**0.5)) == pytest.approx((0.5, np.log2(3)))


def test_a_figure_of_points_is_saved_and_drawn_again(tmp_path):
    figure = Figure("points", "Points", "", (PANEL,), 1, "They rise.")
    report = Report("?", "", (), (), (figure,), ())
    again = Report.from_json(json.loads(json.dumps(report.to_json())))
    assert again == report
    png, svg = figures.draw(again.figures[0], ARRAYS, tmp_path)
    assert png.stat().st_size > 0
    assert b"<svg" in svg.read_bytes()
