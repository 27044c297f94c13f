"""Every result drawn: labels with units, and the result's own numbers."""

import sys

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

from recurrax import lag, plot
from recurrax.cells import ElmanCarry, LSTMCarry, LSTMParams

matplotlib.use("agg")
LN_10 = np.log(10)
K, ROWS = 40, 7
RNG = np.random.default_rng(0)
LAG = np.arange(K)
POWERS = "powers of ten"


def falling(rate=0.3, rows=(ROWS,)):
    """Log norms (K, *rows) far below any float in the end."""
    return -rate * 30 * LAG.reshape(-1, *(1,) * len(rows)) + RNG.normal(size=(K, *rows))


ADJOINT = lag.LagProfile(LAG, LSTMCarry(falling(), falling(0.2)), falling(), falling(0.1))
PARAMETER = lag.ParameterProfile(LAG, LSTMParams(falling(), falling(), falling()), falling(), np.full(ROWS, 4.2), None)
BLOCKS = LSTMCarry(LSTMCarry(falling(), falling()), LSTMCarry(falling(), falling()))
JACOBIAN = lag.JacobianProfile(LAG[::-1], falling(), falling(), None, np.ones((K, ROWS)), BLOCKS)
PROBED = lag.JacobianProfile(LAG, None, falling(rows=()), np.full(K, 0.1), None, None)
EXPONENTS = np.array([0.1, -0.5, -2.0, -np.inf])
SPECTRUM = lag.LyapunovSpectrum(EXPONENTS, np.array([0.01, 0.02, 0.03, np.nan]), np.array(1), 900)
CAROUSEL = lag.CarouselShare(LAG, falling(), falling(), falling(), np.tanh(falling()))
MATRIX = lag.LagMatrix(np.array([39, 9]), falling(rows=(2,)).T, LAG, falling(rows=()))
MEMORY = lag.MemoryCurve(LAG, np.exp(-LAG / 9), np.exp(-np.stack([LAG / 9, LAG / 5], axis=1)), np.array(12.3))
FIT = lag.fit_decay(falling(), (5, 30))
CHOICE = lag.choose_decay(falling(), (3, 30), families=["exponential", "power"], resamples=2)
MEAN_FIELD = lag.mean_field(0.9, 0.3)


@pytest.fixture
def ax():
    return Figure().subplots()


def ys(ax, label):
    (line,) = (line for line in ax.lines if line.get_label() == label)
    return line.get_xdata(), line.get_ydata()


def median(log_norm):
    return np.median(log_norm, axis=1) / LN_10


@pytest.mark.parametrize(
    ("result", "x_label", "y_label", "label", "x", "expected"),
    [
        (ADJOINT, "lag k (steps back)", POWERS, "∂L/∂c", LAG, median(ADJOINT.log_norm.c)),
        (ADJOINT, "lag k (steps back)", POWERS, "dL/dc, h following c", LAG, median(ADJOINT.log_norm_bptt)),
        (PARAMETER, "lag k (steps back)", POWERS, "recurrent_kernel", LAG, median(PARAMETER.log_norm.recurrent_kernel)),
        (JACOBIAN, "lag k (steps back)", POWERS, "σ₁(P)", LAG, median(JACOBIAN.log_operator_norm)[::-1]),
        (JACOBIAN, "lag k (steps back)", POWERS, "c → h", LAG, median(JACOBIAN.log_block.h.c)[::-1]),
        (PROBED, "lag k (steps back)", POWERS, "‖P‖ (Frobenius)", LAG, PROBED.log_frobenius_norm / LN_10),
        (CAROUSEL, "lag k (steps back)", POWERS, "share of the norm", LAG, median(CAROUSEL.log_share)),
        (MEMORY, "lag k (steps back)", "R²", "all features", LAG, MEMORY.r2),
        (MEMORY, "lag k (steps back)", "R²", "feature 1", LAG, MEMORY.r2_by_feature[:, 1]),
        (
            FIT,
            "lag k (steps back)",
            POWERS,
            f"{FIT.rate:+.4f} ± {FIT.standard_error:.4f} nats per step",
            np.arange(5, 31),
            (FIT.intercept + FIT.rate * np.arange(5, 31)) / LN_10,
        ),
        (
            MEAN_FIELD,
            "lag k (steps back)",
            POWERS,
            f"½ ln χ₁ = {MEAN_FIELD.slope:+.4f} nats per step",
            np.arange(101),
            MEAN_FIELD.slope * np.arange(101) / LN_10,
        ),
    ],
)
def test_draws_the_results_own_numbers_under_labels_with_units(result, x_label, y_label, label, x, expected, ax):
    assert plot.draw(result, ax) is ax
    assert ax.get_xlabel() == x_label
    assert y_label in ax.get_ylabel()
    assert ax.get_title(loc="left") or ax.get_title()
    drawn_x, drawn_y = ys(ax, label)
    np.testing.assert_array_equal(drawn_x, x)
    np.testing.assert_allclose(drawn_y, expected, rtol=1e-9)


def test_the_law_chosen_is_the_one_drawn_whole(ax):
    plot.draw(CHOICE, ax)
    _, y = ys(ax, "exponential, chosen")
    p = CHOICE.models["exponential"].parameters
    np.testing.assert_allclose(y, (p["intercept"] + p["rate"] * np.arange(3, 31)) / LN_10)
    assert {line.get_linestyle() for line in ax.lines if line.get_label() == "power"} == {"--"}


def test_a_spectrum_shows_its_errors_and_counts_what_is_lost(ax):
    plot.draw(SPECTRUM, ax)
    assert ax.get_ylabel() == "exponent (nats per step)"
    assert "900 steps" in ax.get_title(loc="left") + ax.get_title()
    assert "1 exponents at -∞" in ax.get_title(loc="left") + ax.get_title()
    (container,) = ax.containers
    line, _, (bars,) = container
    np.testing.assert_allclose(line.get_ydata(), [0.1, -0.5, -2.0, np.nan])
    np.testing.assert_allclose(bars.get_segments()[1], [[2, -0.54], [2, -0.46]])


def test_a_lag_matrix_is_drawn_in_order_of_its_anchors(ax):
    plot.draw(MATRIX, ax)
    (mesh,) = ax.collections
    np.testing.assert_allclose(mesh.get_array().reshape(2, K), MATRIX.log_norm[::-1] / LN_10)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["9", "39"]
    assert mesh.colorbar.ax.get_ylabel() == "‖∂ℓ(s)/∂s(t)‖ (log₁₀)"


def test_the_cosine_has_an_axis_of_its_own(ax):
    plot.draw(CAROUSEL, ax)
    (beside,) = (other for other in ax.figure.axes if other is not ax)
    assert beside.get_ylabel() == "cosine with the whole"
    np.testing.assert_allclose(ys(beside, "cosine")[1], np.median(CAROUSEL.cosine, axis=1))


def test_bands_are_quantiles_in_which_a_norm_of_zero_counts_and_a_short_row_does_not(ax):
    norm = falling()
    norm[20, :4], norm[30:, 0] = -np.inf, np.nan
    profile = lag.LagProfile(LAG, ElmanCarry(norm), norm, None)
    plot.draw(profile, ax)
    _, y = ys(ax, "∂L/∂h")
    assert np.isnan(y[20])
    np.testing.assert_allclose(y[30:], np.median(norm[30:, 1:], axis=1) / LN_10)
    (band,) = ax.collections
    top = max(y for x, y in band.get_paths()[0].vertices if x == 5)
    np.testing.assert_allclose(top, np.quantile(norm[5], 0.9) / LN_10)


def test_results_lie_over_each_other_on_the_same_axes(ax):
    plot.draw(ADJOINT, ax)
    before = ax.get_ylabel(), len(ax.lines)
    plot.draw(FIT, plot.draw(CHOICE, ax))
    assert ax.get_ylabel() == before[0]
    assert len(ax.lines) == before[1] + 3
    colours = [line.get_color() for line in ax.lines[:5]]
    assert len(set(colours)) == 5


def test_new_axes_where_none_are_given():
    ax = plot.draw(ADJOINT)
    assert len(ax.get_legend().get_texts()) == 4
    pyplot.close(ax.figure)


def test_rates_of_minus_infinity_are_drawn_as_nothing(ax):
    plot.draw(lag.mean_field(0.0, 1.0), ax)
    plot.draw(FIT._replace(rate=-np.inf, intercept=np.nan), ax)


def test_every_result_type_of_the_room_can_be_drawn():
    drawn = {kind.__name__ for kind in plot.DRAWINGS}
    not_curves = {"DecayModel", "GradientNorm", "On", "Readings"}
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
