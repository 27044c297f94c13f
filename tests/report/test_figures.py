"""Figures: what is drawn is what was saved."""

import dataclasses
import math

import numpy as np
import pytest
from matplotlib import image
from matplotlib.figure import Figure as Canvas

from recurrax.report import Figure, Level, Line, Panel, figures, style

LOG_NORMS = -np.outer([1.0, 2.0, 3.0, 4.0, 5.0], np.arange(30.0))
ARRAYS = {"lag": np.arange(30), "norms": LOG_NORMS, "one": LOG_NORMS[0], "step": np.array([0, 1, 10, 100])}
PANEL = Panel("norms", "lag (steps)", "norm", (Line("cell", "lag", "norms", 0),), y_scale="exp")


def drawn(panel, arrays=ARRAYS):
    axes = Canvas().subplots()
    figures.draw_panel(axes, panel, arrays)
    return axes


def test_a_line_is_the_median_over_seeds_in_powers_of_ten():
    (line,) = drawn(PANEL).lines
    np.testing.assert_allclose(line.get_ydata(), -3.0 * np.arange(30.0) / math.log(10))


def test_the_band_runs_from_the_10th_to_the_90th_percentile():
    (band,) = drawn(PANEL).collections
    at_29 = [y for x, y in band.get_paths()[0].vertices if x == 29]
    np.testing.assert_allclose([min(at_29), max(at_29)], [-4.6 * 29 / math.log(10), -1.4 * 29 / math.log(10)])


def test_one_curve_has_no_band():
    assert not drawn(dataclasses.replace(PANEL, lines=(Line("cell", "lag", "one", 0),))).collections


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_seed_that_is_not_finite_stops_the_line_rather_than_being_left_out(value):
    norms = LOG_NORMS.copy()
    norms[4, 20:] = value
    (line,) = drawn(PANEL, ARRAYS | {"norms": norms}).lines
    assert np.isfinite(line.get_ydata()[:20]).all()
    assert np.isnan(line.get_ydata()[20:]).all()


def test_norms_that_no_float_can_hold_are_drawn():
    (line,) = drawn(PANEL, ARRAYS | {"norms": LOG_NORMS * 100}).lines
    assert line.get_ydata()[-1] < -3000


def test_levels_marks_and_limits_are_in_the_units_of_the_axis():
    panel = dataclasses.replace(
        PANEL, levels=(Level(math.log(1e-6), "vanished"),), marks=(Level(7, "here"),), y_limits=(math.log(1e-9), 0.0)
    )
    axes = drawn(panel)
    level, mark = axes.lines[1:]
    np.testing.assert_allclose(level.get_ydata(), [-6, -6])
    np.testing.assert_allclose(mark.get_xdata(), [7, 7])
    np.testing.assert_allclose(axes.get_ylim(), [-9, 0])
    assert {text.get_text() for text in axes.texts} == {"vanished", "here"}


def test_a_cell_has_one_colour_everywhere():
    colours = {drawn(dataclasses.replace(PANEL, title=title)).lines[0].get_color() for title in "ab"}
    assert colours == {style.COLOURS[0]}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (Line("cell", "lag", "missing", 0), "missing: the figure names an array which is not among the saved ones"),
        (Line("cell", "step", "norms", 0), r"norms: expected \(S, N\) with the N = 4 of step, got \(5, 30\)"),
        (Line("cell", "norms", "norms", 0), r"norms: expected 1 axes, got shape \(5, 30\)"),
    ],
)
def test_what_cannot_be_drawn(line, said):
    with pytest.raises(ValueError, match=said):
        drawn(dataclasses.replace(PANEL, lines=(line,)))


def test_png_and_svg_come_out_the_same_every_time(tmp_path):
    other = dataclasses.replace(PANEL, lines=(*PANEL.lines, Line("other", "lag", "one", 1)))
    figure = Figure("both", "Both", "Two panels and an empty place.", (PANEL, other, PANEL))
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        figures.draw(figure, ARRAYS, tmp_path / name)
    for kind in ("png", "svg"):
        assert (tmp_path / "first" / f"both.{kind}").read_bytes() == (tmp_path / "second" / f"both.{kind}").read_bytes()
    pixels = image.imread(tmp_path / "first" / "both.png")
    assert pixels.shape[1] > 1000
    assert pixels[..., :3].std() > 0.01
