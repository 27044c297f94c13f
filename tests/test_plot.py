"""Every result drawn: labels with units, and the result's own numbers."""

import base64
import sys

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

from recurrax import LSTM, lag, plot, train
from recurrax.cells import ElmanCarry, LSTMCarry, LSTMParams
from recurrax.plot.results import RESULTS
from recurrax.report import style

matplotlib.use("agg")
LN_10 = np.log(10)
K, ROWS = 40, 7
RNG = np.random.default_rng(0)
LAG = np.arange(K)
NORM = "‖∂L/∂s‖"
JACOBIAN_NORM = "norm of ∂s(T-1)/∂s(T-1-k)"
FIT_LABEL = "{0.rate:+.4f} ± {0.standard_error:.4f} nats per step"


def falling(rate=0.3, rows=(ROWS,)):
    """Log norms (K, *rows) far below any float in the end."""
    return -rate * 30 * LAG.reshape(-1, *(1,) * len(rows)) + RNG.normal(size=(K, *rows))


ADJOINT = lag.LagProfile(LAG, LSTMCarry(falling(), falling(0.2)), falling(), falling(0.1))
PARAMETER = lag.ParameterProfile(LAG, LSTMParams(falling(), falling(), falling()), falling(), np.full(ROWS, 4.2), None)
RULE = lag.RuleProfile(LAG, falling(), falling(), falling(), falling(), np.ones((K, ROWS)), None)
BLOCKS = LSTMCarry(LSTMCarry(falling(), falling()), LSTMCarry(falling(), falling()))
JACOBIAN = lag.JacobianProfile(LAG[::-1], falling(), falling(), None, np.ones((K, ROWS)), BLOCKS)
PROBED = lag.JacobianProfile(LAG, None, falling(rows=()), np.full(K, 0.1), None, None)
EXPONENTS = np.array([0.1, -0.5, -2.0, -np.inf])
SPECTRUM = lag.LyapunovSpectrum(EXPONENTS, np.array([0.01, 0.02, 0.03, np.nan]), np.array(1), 900)
COVARIANT = lag.CovariantVectors(LAG, ElmanCarry(falling()), falling(), EXPONENTS, SPECTRUM.standard_error)
FIXED = lag.FixedPoints(
    ElmanCarry(np.zeros((2, 2))),
    np.array([0.0, 1e-9]),
    np.array([True, False]),
    np.array([[0.5 + 0.2j, 0.5 - 0.2j], [2.0, 0.1]]),
    np.array([3, 1]),
    2,
)
CAROUSEL = lag.CarouselShare(LAG, falling(), falling(), falling(), np.tanh(falling()))
MATRIX = lag.LagMatrix(np.array([39, 9]), falling(rows=(2,)).T, LAG, falling(rows=()))
MEMORY = lag.MemoryCurve(LAG, np.exp(-LAG / 9), np.exp(-np.stack([LAG / 9, LAG / 5], axis=1)), np.array(12.3))
FITTED = falling()
WINDOW = np.arange(5, 31)
FIT = lag.fit_decay(FITTED, (5, 30))
CHOICE = lag.choose_decay(FITTED, (3, 30), families=["exponential", "power"], resamples=2)
MEAN_FIELD = lag.mean_field(0.9, 0.3)


@pytest.fixture
def ax():
    return Figure().subplots()


def ys(ax, label):
    (line,) = (line for line in ax.lines if line.get_label() == label)
    return line.get_xdata(), line.get_ydata()


def median(log_norm):
    return np.exp(np.median(log_norm, axis=1))


@pytest.mark.parametrize(
    ("result", "field", "y_label", "label", "x", "expected"),
    [
        (ADJOINT, "joint", NORM, "∂L/∂s, whole state", LAG, median(ADJOINT.log_norm_joint)),
        (ADJOINT, "all", NORM, "∂L/∂c", LAG, median(ADJOINT.log_norm.c)),
        (ADJOINT, "h", NORM, "∂L/∂h", LAG, median(ADJOINT.log_norm.h)),
        (ADJOINT, "bptt", NORM, "dL/dc, h following c", LAG, median(ADJOINT.log_norm_bptt)),
        (PARAMETER, "all", "‖G(k)‖", "recurrent_kernel", LAG, median(PARAMETER.log_norm.recurrent_kernel)),
        (RULE, "bias", "‖Ĝ(k)‖", "bias of Ĝ", LAG, median(RULE.log_bias)),
        (RULE, "all", "‖Ĝ(k)‖", "G, exact", LAG, median(RULE.log_exact)),
        (JACOBIAN, "joint", JACOBIAN_NORM, "σ₁(P)", LAG, median(JACOBIAN.log_operator_norm)[::-1]),
        (JACOBIAN, "h.c", JACOBIAN_NORM, "c → h", LAG, median(JACOBIAN.log_block.h.c)[::-1]),
        (PROBED, "joint", JACOBIAN_NORM, "‖P‖ (Frobenius)", LAG, np.exp(PROBED.log_frobenius_norm)),
        (CAROUSEL, "joint", "‖direct‖ / ‖whole‖", "share of the norm", LAG, median(CAROUSEL.log_share)),
        (MEMORY, "joint", "R² of decoding x(t-k)", "all features", LAG, MEMORY.r2),
        (MEMORY, "1", "R² of decoding x(t-k)", "feature 1", LAG, MEMORY.r2_by_feature[:, 1]),
        (FIT, "joint", "norm", FIT_LABEL.format(FIT), WINDOW, np.exp(FIT.intercept + FIT.rate * WINDOW)),
        (
            MEAN_FIELD,
            "joint",
            "A(k) / A(0)",
            f"½ ln χ₁ = {MEAN_FIELD.slope:+.4f} nats per step",
            np.arange(101),
            np.exp(MEAN_FIELD.slope * np.arange(101)),
        ),
    ],
)
def test_draws_the_results_own_numbers_under_labels_with_units(result, field, y_label, label, x, expected, ax):
    assert plot.draw(result, ax, field=field) is ax
    assert ax.get_xlabel() == "lag k (steps back)"
    assert ax.get_ylabel() == y_label
    assert ax.get_yscale() == ("linear" if result is MEMORY else "log")
    assert ax.get_title(loc="left") or ax.get_title()
    drawn_x, drawn_y = ys(ax, label)
    np.testing.assert_array_equal(drawn_x, x)
    np.testing.assert_allclose(drawn_y, expected, rtol=1e-9)


def test_axes_are_true(ax):
    """A level and limits given as norms lie where the curve has them; exponents, where a float ends, say so."""
    straight = lag.LagProfile(LAG, -LAG * np.log(10.0), -LAG * np.log(10.0), None)
    plot.draw(straight, ax)
    ax.set_ylim(1e-12, 1)
    (line,) = ax.lines
    shown = ax.transData.transform(np.column_stack(line.get_data()))[:, 1]
    np.testing.assert_allclose(shown[6], ax.transData.transform((0, 1e-6))[1])
    np.testing.assert_allclose(shown[12], ax.bbox.y0)
    far = Figure().subplots()
    plot.draw(straight._replace(log_norm_joint=-LAG * 10 * np.log(10.0)), far)
    assert (far.get_yscale(), far.get_ylabel()) == ("linear", f"log10 of {NORM}")
    np.testing.assert_allclose(far.lines[0].get_ydata(), -LAG * 10)


@pytest.mark.parametrize(("exponent", "scale"), [(-300, "log"), (-301, "linear"), (301, "linear")])
def test_exponents_begin_where_a_float_ends(exponent, scale, ax):
    ends = np.array([0.0, exponent * LN_10 * (1 - 1e-9)])
    plot.draw(lag.LagProfile(np.arange(2), ends, ends, None), ax)
    assert ax.get_yscale() == scale


def test_what_lies_on_axes_keeps_their_scale_and_a_list_is_on_one_scale(ax):
    near, far = ADJOINT, ADJOINT._replace(log_norm_joint=ADJOINT.log_norm_joint * 10)
    plot.draw(near, ax, label="near")
    plot.draw(far, ax, label="far")
    far_values = np.exp(np.where((m := np.median(far.log_norm_joint, axis=1)) > -300 * LN_10, m, np.nan))
    np.testing.assert_allclose(ys(ax, "far")[1], far_values, rtol=1e-9)
    both = plot.draw({"near": near, "far": far}, Figure().subplots())
    assert both.get_ylabel() == f"log10 of {NORM}"
    np.testing.assert_allclose(ys(both, "near")[1], np.median(near.log_norm_joint, axis=1) / LN_10)
    np.testing.assert_allclose(ys(both, "far")[1], np.median(far.log_norm_joint, axis=1) / LN_10)


def test_norms_relative_to_lag_0_row_by_row(ax):
    plot.draw(ADJOINT, ax, relative=True, label="mine")
    _, y = ys(ax, "mine")
    np.testing.assert_allclose(y, median(ADJOINT.log_norm_joint - ADJOINT.log_norm_joint[0]))
    assert y[0] == 1.0
    assert ax.get_ylabel() == f"{NORM}, relative to lag 0"
    with pytest.raises(ValueError, match=r"relative: expected a result with lag 0, got lags 1\.\.2"):
        plot.draw(lag.LagProfile(np.arange(1, 3), np.zeros(2), np.zeros(2), None), ax, relative=True)


def test_fits_and_laws_lie_over_the_curve_that_they_describe(ax):
    for found in (FIT, CHOICE):
        under, *_ = plot.draw(found, Figure().subplots()).lines
        np.testing.assert_array_equal(under.get_xdata(), LAG)
        np.testing.assert_allclose(under.get_ydata(), np.exp(FITTED.mean(axis=1)), rtol=1e-9)
    assert "curve" not in repr(FIT)


@pytest.mark.parametrize(
    ("carry", "names"),
    [
        (falling(), {"∂L/∂s"}),
        ((falling(), falling()), {"∂L/∂s[0]", "∂L/∂s[1]"}),
        ({"slow": falling(), "count": None}, {"∂L/∂slow"}),
    ],
)
def test_fields_of_any_carry_have_names(carry, names, ax):
    plot.draw(lag.LagProfile(LAG, carry, falling(), None), ax, field="all")
    assert {line.get_label() for line in ax.lines} == names | {"∂L/∂s, whole state"}
    with pytest.raises(ValueError, match=r"field: expected 'all' or one of .*joint, got 'd'"):
        plot.draw(lag.LagProfile(LAG, carry, falling(), None), ax, field="d")


def test_lists_and_dicts_of_results(ax):
    plot.draw([ADJOINT, PARAMETER], ax, label=["loss", "weights"])
    np.testing.assert_allclose(ys(ax, "weights")[1], median(PARAMETER.log_norm_joint))
    with pytest.raises(ValueError, match="label: expected a list of 2, one per result, got 'one'"):
        plot.draw([ADJOINT, ADJOINT], ax, label="one")
    with pytest.raises(ValueError, match="result: expected at least one, got none"):
        plot.draw([], ax)
    with pytest.raises(TypeError, match="got int"):
        plot.draw([ADJOINT, 3], ax)


def test_a_family_has_its_colour_and_no_two_lines_the_same(ax):
    plot.draw({name: ADJOINT for name in ("mine", "LSTM", "Elman", "yours")}, ax)
    colours = {line.get_label(): line.get_color() for line in ax.lines}
    assert colours["LSTM"] == style.COLOURS[style.FAMILIES.index("LSTM")]
    assert len(set(colours.values())) == 4


def stacked(levels):
    """A cell's profiles as a training of two networks holds them, at three steps."""
    kind = jax.tree.map(lambda leaf: np.zeros((3, 2, *np.shape(leaf))), ADJOINT)
    curves = falling(rows=(3, 2, 3 if levels else ROWS)).transpose(1, 2, 0, 3)
    return kind._replace(lag=np.tile(LAG, (3, 2, 1)), log_norm_joint=np.sort(curves)), curves


def test_a_line_per_probe_step_of_a_training(ax):
    profile, curves = stacked(levels=False)
    fitted = train.Fitted(None, None, np.array([0, 10, 300]), {"norms": profile})
    plot.draw(fitted, ax)
    assert [line.get_label() for line in ax.lines] == ["step 0", "step 10", "step 300"]
    rows = curves[1].transpose(1, 0, 2).reshape(K, -1)
    np.testing.assert_allclose(ys(ax, "step 10")[1], median(rows))
    one = plot.draw(jax.tree.map(lambda leaf: leaf[1], profile), Figure().subplots(), label="second")
    np.testing.assert_allclose(ys(one, "second")[1], median(rows))
    inside = plot.draw(fitted.probes, Figure().subplots())
    assert [line.get_label() for line in inside.lines] == ["norms, probe 0", "norms, probe 1", "norms, probe 2"]


def test_readings_with_quantiles_draw_those(ax):
    profile, curves = stacked(levels=True)
    readings = lag.Readings(adjoint=profile, levels=np.tile([0.1, 0.5, 0.9], (3, 2, 1)))
    plot.draw(readings, ax)
    low, middle, high = np.sort(curves[2]).transpose(2, 1, 0)
    np.testing.assert_allclose(ys(ax, "probe 2")[1], median(middle))
    band = ax.collections[2].get_paths()[0].vertices
    at_5 = [y for x, y in band if x == 5]
    np.testing.assert_allclose([min(at_5), max(at_5)], [median(low)[5], median(high)[5]])
    with pytest.raises(ValueError, match=r"readings of one instrument, such as result.adjoint, got adjoint, carousel"):
        plot.draw(readings._replace(carousel=CAROUSEL), ax)


def test_what_a_probe_returns_is_drawn(quick_compile, ax):
    cell, xs = LSTM(2), jnp.ones((5, 3, 2))
    look = lag.probe(cell, lambda params, key: lag.On(params, xs), instruments=("adjoint",))
    readings = look(cell.init(jax.random.key(0), 2), jax.random.key(1))
    plot.draw(readings, ax)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), np.exp(readings.adjoint.log_norm_joint[:, 1]), rtol=1e-6)


def test_a_picture_in_a_notebook_and_text_without_matplotlib(monkeypatch):
    shown = (
        ADJOINT,
        PARAMETER,
        JACOBIAN,
        SPECTRUM,
        COVARIANT,
        FIXED,
        CAROUSEL,
        MATRIX,
        MEMORY,
        FIT,
        CHOICE,
        MEAN_FIELD,
    )
    for result in shown:
        head, _, data = result._repr_html_().partition("base64,")
        assert head == f'<img alt="{type(result).__name__}" src="data:image/png;'
        assert base64.b64decode(data.removesuffix('">')).startswith(b"\x89PNG")
    assert lag.Readings(adjoint=ADJOINT, carousel=CAROUSEL)._repr_html_() is None
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert ADJOINT._repr_html_() is None


def test_the_law_chosen_is_the_one_drawn_whole(ax):
    plot.draw(CHOICE, ax)
    _, y = ys(ax, "exponential, chosen")
    p = CHOICE.models["exponential"].parameters
    np.testing.assert_allclose(y, np.exp(p["intercept"] + p["rate"] * np.arange(3, 31)))
    assert {line.get_label() for line in ax.lines if line.is_dashed()} == {"power"}


def test_a_spectrum_shows_its_errors_and_counts_what_is_lost(ax):
    plot.draw(SPECTRUM, ax)
    assert ax.get_ylabel() == "exponent (nats per step)"
    assert "900 steps" in ax.get_title(loc="left") + ax.get_title()
    assert "1 exponents at -∞" in ax.get_title(loc="left") + ax.get_title()
    ((_, _, (bars,)),) = ax.containers
    np.testing.assert_allclose(ys(ax, "λ ± 2 standard errors")[1], [0.1, -0.5, -2.0, np.nan])
    np.testing.assert_allclose(bars.get_segments()[1], [[2, -0.54], [2, -0.46]])
    (zero,) = (text for text in ax.texts if text.get_text() == "0")
    ax.figure.draw_without_rendering()
    np.testing.assert_allclose(zero.get_window_extent().y0 + zero.get_window_extent().y1,
                               2 * ax.transData.transform((0, 0))[1], atol=2)  # fmt: skip


def test_running_estimates_stand_in_the_band_of_the_last(ax):
    running = np.stack([[0.4, 0.2, 0.1], [-0.1, -0.6, -0.5]], axis=1)
    spectrum = lag.LyapunovSpectrum(running[-1], np.array([0.01, 0.02]), np.array(0), 900, running)
    plot.draw(spectrum, ax, field="running")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("steps after the burn-in", "exponent (nats per step)")
    x, y = ys(ax, "λ2")
    np.testing.assert_allclose(x, [300, 600, 900])
    np.testing.assert_allclose(y, [-0.1, -0.6, -0.5])
    band = [y for _, y in ax.collections[1].get_paths()[0].vertices]
    np.testing.assert_allclose([min(band), max(band)], [-0.54, -0.46])
    with pytest.raises(ValueError, match="the spectrum has no running estimates"):
        plot.draw(SPECTRUM, ax, field="running")


def test_fixed_points_show_their_eigenvalues_beside_the_unit_circle(ax):
    plot.draw(FIXED, ax)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Re λ", "Im λ")
    np.testing.assert_allclose(ys(ax, "0: stable"), [[0.5, 0.5], [0.2, -0.2]])
    np.testing.assert_allclose(ys(ax, "1: slow, 1 unstable"), [[2.0, 0.1], [0.0, 0.0]])
    (circle,) = (line for line in ax.lines if len(line.get_xdata()) > 2)
    np.testing.assert_allclose(np.hypot(*circle.get_data()), 1)


def test_a_lag_matrix_is_drawn_in_order_of_its_anchors(ax):
    plot.draw(MATRIX, ax)
    (mesh,) = ax.collections
    np.testing.assert_allclose(mesh.get_array().reshape(2, K), MATRIX.log_norm[::-1] / LN_10)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["9", "39"]
    assert mesh.colorbar.ax.get_ylabel() == "log10 of ‖∂ℓ(s)/∂s(t)‖"


def test_the_cosine_has_an_axis_of_its_own(ax):
    plot.draw(CAROUSEL, ax, field="all")
    (beside,) = (other for other in ax.figure.axes if other is not ax)
    assert beside.get_ylabel() == "cosine with the whole"
    np.testing.assert_allclose(ys(beside, "cosine")[1], np.median(CAROUSEL.cosine, axis=1))


def test_bands_are_quantiles_in_which_a_norm_of_zero_counts_and_a_short_row_does_not(ax):
    norm = falling()
    norm[20, :4], norm[30:, 0] = -np.inf, np.nan
    profile = lag.LagProfile(LAG, ElmanCarry(norm), norm, None)
    plot.draw(profile, ax, field="h")
    _, y = ys(ax, "∂L/∂h")
    assert np.isnan(y[20])
    np.testing.assert_allclose(y[30:], median(norm[30:, 1:]))
    (band,) = ax.collections
    top = max(y for x, y in band.get_paths()[0].vertices if x == 5)
    np.testing.assert_allclose(top, np.exp(np.quantile(norm[5], 0.9)))


def test_results_lie_over_each_other_on_the_same_axes(ax):
    plot.draw(ADJOINT, ax, field="all")
    before = ax.get_ylabel(), len(ax.lines)
    plot.draw(FIT, plot.draw(CHOICE, ax))
    assert ax.get_ylabel() == before[0]
    assert len(ax.lines) == before[1] + 3 + 2
    colours = [line.get_color() for line in ax.lines if not line.get_label().startswith("_")]
    assert len(set(colours)) == 7


def test_new_axes_where_none_are_given():
    ax = plot.draw(ADJOINT, field="all")
    assert len(ax.get_legend().get_texts()) == 4
    pyplot.close(ax.figure)


def test_rates_of_minus_infinity_are_drawn_as_nothing(ax):
    plot.draw(lag.mean_field(0.0, 1.0), ax)
    plot.draw(FIT._replace(rate=-np.inf, intercept=np.nan), ax)


def test_every_result_type_of_the_room_can_be_drawn():
    drawn = {kind.__name__ for kind in RESULTS}
    not_curves = {"Arm", "Comparison", "DecayModel", "On", "Reach", "Readings"}
    types = {name for name in lag.__all__ if name[0].isupper()}
    assert drawn == types - not_curves


def test_refuses_what_no_instrument_returns():
    with pytest.raises(TypeError, match=r"result: expected one of LagProfile, .*, got ndarray"):
        plot.draw(np.zeros(3))


def test_a_missing_matplotlib_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError) as raised:
        plot.draw(ADJOINT)
    assert str(raised.value) == 'matplotlib is not installed; in a clone: pip install ".[experiments]"'
