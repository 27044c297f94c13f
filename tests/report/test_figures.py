"""Figures: what is drawn is what was saved."""

import dataclasses
import math

import numpy as np
import pytest
from matplotlib import colors, image
from matplotlib.figure import Figure as Canvas
from matplotlib.text import Text

from recurrax.report import Figure, Level, Line, Panel, figures, labels, panels, style

LOG_NORMS = -np.outer([1.0, 2.0, 3.0, 4.0, 5.0], np.arange(30.0))
ARRAYS = {"lag": np.arange(30), "norms": LOG_NORMS, "one": LOG_NORMS[0], "step": np.array([0, 1, 10, 100])}
PANEL = Panel("norms", "lag (steps)", "norm", (Line("cell", "lag", "norms", 0),), y_scale="exp")


def drawn(panel, arrays=ARRAYS):
    axes = Canvas().subplots()
    panels.draw_panel(axes, panel, arrays)
    return axes


def test_a_line_is_the_median_over_seeds_at_its_value_on_a_log_scale():
    axes = drawn(PANEL)
    (line,) = axes.lines
    np.testing.assert_allclose(line.get_ydata(), np.exp(-3.0 * np.arange(30.0)))
    assert (axes.get_yscale(), axes.get_ylabel()) == ("log", "norm")


def test_the_band_runs_from_the_10th_to_the_90th_percentile():
    (band,) = drawn(PANEL).collections
    at_29 = [y for x, y in band.get_paths()[0].vertices if x == 29]
    np.testing.assert_allclose([min(at_29), max(at_29)], np.exp([-4.6 * 29, -1.4 * 29]))


def test_one_curve_has_no_band():
    assert not drawn(dataclasses.replace(PANEL, lines=(Line("cell", "lag", "one", 0),))).collections


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_seed_that_is_not_finite_stops_the_line_rather_than_being_left_out(value):
    norms = LOG_NORMS.copy()
    norms[4, 20:] = value
    (line,) = drawn(PANEL, ARRAYS | {"norms": norms}).lines
    assert np.isfinite(line.get_ydata()[:20]).all()
    assert np.isnan(line.get_ydata()[20:]).all()


def test_norms_that_no_float_can_hold_are_drawn_as_exponents_and_the_axis_says_so():
    axes = drawn(PANEL, ARRAYS | {"norms": LOG_NORMS * 100})
    (line,) = axes.lines
    np.testing.assert_allclose(line.get_ydata(), -300.0 * np.arange(30.0) / math.log(10))
    assert (axes.get_yscale(), axes.get_ylabel()) == ("linear", "log10 of norm")


def test_what_sinks_below_the_limits_does_not_decide_the_scale():
    limited = dataclasses.replace(PANEL, y_limits=(math.log(1e-12), 0.0))
    axes = drawn(limited, ARRAYS | {"norms": LOG_NORMS * 100})
    assert axes.get_yscale() == "log"
    np.testing.assert_allclose(axes.get_ylim(), [1e-12, 1.0])


def test_levels_marks_and_limits_are_in_the_units_of_the_axis():
    panel = dataclasses.replace(
        PANEL, levels=(Level(math.log(1e-6), "vanished"),), marks=(Level(7, "here"),), y_limits=(math.log(1e-9), 0.0)
    )
    axes = drawn(panel)
    level, mark = axes.lines[1:]
    np.testing.assert_allclose(level.get_ydata(), [1e-6, 1e-6])
    np.testing.assert_allclose(mark.get_xdata(), [7, 7])
    np.testing.assert_allclose(axes.get_ylim(), [1e-9, 1])
    assert {text.get_text() for text in axes.texts} == {"vanished", "here"}


def test_a_line_has_the_colour_and_the_dash_of_its_places():
    (line,) = drawn(dataclasses.replace(PANEL, lines=(Line("cell", "lag", "norms", 2, 1),))).lines
    assert line.get_color() == style.COLOURS[2]
    assert line.is_dashed()


def test_more_than_eight_lines_are_told_apart_families_by_colour():
    families = ["LSTM", "Mine", "LSTM", "Elman", "GRU", "LSTM", *(f"Other{i}" for i in range(12)), "Mine"]
    looks = style.looks(families)
    assert len(set(looks)) == len(families)
    assert {looks[i].slot for i in (0, 2, 5)} == {style.FAMILIES.index("LSTM")}
    assert looks[1].slot == looks[-1].slot
    assert looks[0] == style.looks(["GRU", "LSTM"])[1]
    of_one = style.looks(["LSTM"] * 9)
    assert len({look.slot for look in of_one}) == len(style.COLOURS)
    assert len(set(of_one)) == 9


def lightness(colour):
    """L* of the CIE, which is what is left in grey."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colors.to_rgb(colour)]
    return 116 * np.dot([0.2126, 0.7152, 0.0722], linear) ** (1 / 3) - 16


def test_our_families_stay_apart_in_grey():
    in_grey = sorted(map(lightness, style.COLOURS[: len(style.FAMILIES)]))
    assert np.diff(in_grey).min() > 10
    assert in_grey[-1] < 70


@pytest.fixture
def named():
    """Three lines that end at the right, two at one place, and three that sink, on a panel with a floor at 1e-12."""
    log_norms = np.outer([0.0, -0.001, -5.0, -40.0, -41.0, -90.0], np.linspace(0, 1, 30))
    arrays = {"lag": np.arange(30)} | {f"y{i}": row for i, row in enumerate(log_norms)}
    lines = tuple(Line(f"a long name {i}", "lag", f"y{i}", i) for i in range(6))
    limits = (math.log(1e-12), math.log(10.0))
    panel = Panel("named", "lag", "norm", lines, (Level(0.0, "kept"),), y_scale="exp", y_limits=limits)
    canvas = Canvas(figsize=(4.7, 3.0), layout="constrained")
    axes = canvas.subplots()
    panels.draw_panel(axes, panel, arrays)
    labels.name_lines(canvas, {axes: panels.floor(axes, panel)})
    canvas.draw_without_rendering()
    return axes


def test_every_line_is_named_once_and_no_two_names_overlap(named):
    texts = list(named.texts)
    assert {text.get_text() for text in texts} == {"kept", *(f"a long name {i}" for i in range(6))}
    boxes = [Text.get_window_extent(text) for text in texts]
    assert not [(i, j) for i in range(7) for j in range(i) if boxes[i].overlaps(boxes[j])]
    inside = named.figure.bbox
    assert all(inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 for box in boxes)


def test_names_stand_at_the_ends_of_lines_and_below_where_they_sank(named):
    by_name = {text.get_text(): text for text in named.texts}
    np.testing.assert_allclose(by_name["a long name 2"].xy, (29, math.exp(-5)))
    for i, slope in ((3, 40.0), (4, 41.0), (5, 90.0)):
        x, y = by_name[f"a long name {i}"].xy
        np.testing.assert_allclose((x, y), (29 * math.log(1e12) / slope, 1e-12), rtol=0.02)
        box = Text.get_window_extent(by_name[f"a long name {i}"])
        assert box.y1 < named.transData.transform((0, 1e-12))[1]
    rows = [Text.get_window_extent(by_name[f"a long name {i}"]).y0 for i in (3, 4, 5)]
    assert rows == sorted(rows, reverse=True), "a text further left would meet the leader of one further right"


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
