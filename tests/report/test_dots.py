"""A panel of dots: rows in order, medians, arrows, and what lies beyond the axis."""

import dataclasses
import json

import numpy as np
import pytest
from matplotlib.figure import Figure as Canvas

from recurrax.report import Dots, Figure, Level, Report, Row, figures, style
from recurrax.report.dots import draw_dots

ARRAYS = {
    "before": np.array([20.0, 25.0, 30.0]),
    "after": np.array([np.inf, 90.0, np.inf]),
    "still": np.array([24.0, 25.5, 26.0]),
}
ROWS = (Row("moves", "before", 2, "after"), Row("stays", "before", 0, "still"))
PANEL = Dots("reach", "K (steps)", ROWS, beyond=200.0)


@pytest.fixture
def axes():
    axes = Canvas(layout="constrained").subplots()
    draw_dots(axes, PANEL, ARRAYS)
    return axes


def test_rows_from_the_top_and_every_network_a_dot(axes):
    assert [label.get_text() for label in axes.get_yticklabels()] == ["moves", "stays"]
    assert axes.yaxis_inverted()
    first, second = axes.lines[:2]
    np.testing.assert_array_equal(first.get_xdata(), ARRAYS["before"])
    edge = axes.get_xticks()[-1]
    assert axes.get_xticklabels()[-1].get_text() == ">200"
    assert 200 < edge < axes.get_xlim()[1]
    np.testing.assert_array_equal(second.get_xdata(), [edge, 90.0, edge])


def test_an_arrow_runs_from_median_to_median_unless_it_would_not_be_seen(axes):
    (arrow,) = (text for text in axes.texts if text.arrow_patch is not None)
    np.testing.assert_allclose([arrow.xyann[0], arrow.xy[0]], [25.0, axes.get_xticks()[-1]])
    rings = [line for line in axes.lines if line.get_markersize() > 5]
    assert [ring.get_xdata()[0] for ring in rings] == [25.0, 25.0]
    assert [ring.get_markerfacecolor() for ring in rings] == ["white", style.COLOURS[0]]


def test_several_kinds_in_a_row_are_told_apart_by_colour_shape_and_height():
    rows = tuple(Row("B=1", name, slot, name=name) for slot, name in enumerate(("before", "still")))
    axes = Canvas().subplots()
    draw_dots(axes, Dots("ratios", "times", rows, (Level(1.0, "as fast"),)), ARRAYS)
    large = axes.get_legend_handles_labels()[0]
    assert [line.get_label() for line in large] == ["before", "still"]
    assert len({line.get_marker() for line in large}) == len({line.get_ydata()[0] for line in large}) == 2
    np.testing.assert_allclose([line.get_xdata()[0] for line in large], [25.0, 25.5])
    assert axes.get_xlim()[0] < 1.0 < axes.get_xlim()[1], "the level is seen"
    assert axes.get_xscale() == "log"


def test_a_figure_of_dots_is_saved_and_drawn_again(tmp_path):
    figure = Figure("reach", "Reach", "Of two.", (PANEL, dataclasses.replace(PANEL, beyond=None)), 2, "One moved.")
    saved = Report("?", "!", (), (), (figure,), ())
    again = Report.from_json(json.loads(json.dumps(saved.to_json())))
    assert again == saved
    png, _ = figures.draw(again.figures[0], ARRAYS | {"after": np.array([80.0, 90.0, 95.0])}, tmp_path)
    assert png.stat().st_size > 10_000
