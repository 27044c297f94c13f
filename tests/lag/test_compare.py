"""Cells compared: curves, bands and reaches against closed forms, for tasks and arrays of anybody's."""

import math
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

import recurrax
from recurrax import lag, plot
from recurrax.report import style

matplotlib.use("agg")
XS = np.zeros((60, 3, 2), np.float32)


@dataclass(frozen=True)
class Fading(recurrax.Cell):
    """h_t = a h_tm1 + Σ x_t with a drawn by the seed, so that A(k) = a^k."""

    least: float = 0.5
    most: float = 0.9

    def init(self, key, input_size, dtype=jnp.float32):
        return {"a": jax.random.uniform(key, (), dtype, self.least, self.most)}

    def initial_carry(self, params, batch_shape, dtype):
        return jnp.zeros((*batch_shape, 1), dtype)

    def project(self, params, x):
        return jnp.sum(x, axis=-1, keepdims=True)

    def recur(self, params, h, u):
        return h * params["a"]

    def pointwise(self, params, h, u, v):
        return u + v

    def output(self, params, h, u):
        return h


@dataclass(frozen=True)
class Zeros:
    """No task of the library's: it has what is needed of one, and counts its batches."""

    length: int = 5
    input_size: int = 4

    def with_lag(self, lag):
        return replace(self, length=lag + 3)

    def batch(self, key, batch_size):
        return type("Batch", (), {"xs": jnp.zeros((self.length, batch_size, self.input_size))})


@pytest.fixture(scope="module")
def compared():
    cells = {"mine": Fading(), "keeps": Fading(0.99, 0.999)}
    return lag.compare(cells, XS, seeds=7)


def test_curves_bands_and_reaches_are_those_of_powers(compared):
    arm, k = compared.arms["mine"], np.arange(60)
    np.testing.assert_array_equal(compared.lag, k)
    rates = arm.log_norm[:, 1]
    assert ((np.log(0.5) <= rates) & (rates <= np.log(0.9))).all()
    assert len(set(rates)) == 7
    np.testing.assert_allclose(arm.log_norm, np.outer(rates, k), rtol=1e-5)
    reach = np.sort(np.where(rates * 59 < math.log(1e-6), np.floor(math.log(1e-6) / rates) + 1, np.inf))
    np.testing.assert_array_equal(np.sort(arm.vanish_lag), reach)
    # Of 7, the smallest and the largest miss the median with 2 / 2^7, the 2nd and the 6th with 16 / 2^7.
    assert arm.reach == (reach[3], reach[0], reach[6])
    np.testing.assert_allclose(arm.bands[1], np.median(rates) * k, rtol=1e-5)
    np.testing.assert_allclose(arm.bands[0], np.quantile(rates, 0.1) * k, rtol=1e-5)
    assert compared.arms["keeps"].reach == (math.inf,) * 3
    assert arm.family == "Fading"


@pytest.mark.parametrize(("seeds", "places"), [(1, (0, 0)), (5, (0, 4)), (6, (0, 5)), (9, (1, 7)), (10, (1, 8))])
def test_the_interval_lies_between_the_order_statistics_of_the_sign_test(seeds, places):
    """As tables of the binomial distribution have them: 2nd and 9th of ten at 95 %."""
    arm = lag.compare({"mine": Fading(0.3, 0.8)}, XS, seeds=seeds).arms["mine"]
    ordered = np.sort(arm.vanish_lag)
    assert (arm.reach.low, arm.reach.high) == (ordered[places[0]], ordered[places[1]])


def test_a_task_of_anybodys_is_measured_to_the_lag_asked_for():
    found = lag.compare({"mine": Fading(), "other": Fading(0.2, 0.3)}, Zeros(), seeds=(3, 8), lags=20, rows=2)
    assert found.arms["mine"].log_norm.shape == (2, 21)
    alone = lag.compare({"other": Fading(0.2, 0.3)}, Zeros(), seeds=(8,), lags=20, rows=2)
    np.testing.assert_array_equal(found.arms["other"].log_norm[1], alone.arms["other"].log_norm[0])


def test_what_cannot_be_compared():
    with pytest.raises(ValueError, match="cells, seeds: expected at least one of each, got 0 and 5"):
        lag.compare({}, XS)
    with pytest.raises(ValueError, match="input_size: expected the features that `init` is given"):
        lag.compare({"mine": Fading()}, {"a": XS})
    tree = lag.compare({"mine": Summing()}, {"a": XS}, input_size=2, seeds=1)
    assert tree.arms["mine"].log_norm.shape == (1, 60)


@dataclass(frozen=True)
class Summing(Fading):
    """The same of inputs in a dict."""

    def project(self, params, x):
        return jnp.sum(x["a"], axis=-1, keepdims=True)


def test_it_prints_as_a_table_and_shows_as_a_picture(compared):
    said = repr(compared).splitlines()
    assert said[0].endswith("below 1e-06 of that at lag 0:")
    median, low, high = compared.arms["mine"].reach
    assert said[1:] == [f"mine   {median:g} [{low:g}, {high:g}]".replace("inf", ">59"), "keeps  >59"]
    assert compared._repr_html_().startswith('<img alt="Comparison"')


def test_a_comparison_is_drawn_with_a_name_and_k_at_every_line(compared):
    canvas = Figure(figsize=(5.6, 3.6), layout="constrained")
    ax = plot.compare(compared, canvas.subplots())
    assert ax.get_yscale() == "log"
    named = {text.get_text(): text for text in ax.texts}
    assert {name.partition(":")[0] for name in named} == {"mine", "keeps", "K"}
    assert "keeps: K >59" in named
    for line, name in zip(ax.lines, ("mine", "keeps"), strict=False):
        np.testing.assert_allclose(line.get_ydata(), np.exp(compared.arms[name].bands[1]), rtol=1e-5)
    canvas.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in ax.texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_ten_cells_are_drawn_apart():
    """Drawn from one arm under other names: colours by family, dashes within one."""
    arm = lag.compare({"mine": Fading()}, XS, seeds=2).arms["mine"]
    families = ["LSTM"] * 4 + ["GRU"] * 3 + ["Mine"] * 3
    arms = {f"cell {i}": arm._replace(family=family) for i, family in enumerate(families)}
    ax = plot.draw(lag.Comparison(np.arange(60), 1e-6, arms), Figure(layout="constrained").subplots())
    seen = [(line.get_color(), line._unscaled_dash_pattern) for line in ax.lines[:10]]
    assert len(set(map(str, seen))) == 10
    assert {colour for colour, _ in seen[:4]} == {style.COLOURS[style.FAMILIES.index("LSTM")]}
    assert len({colour for colour, _ in seen}) == 3
