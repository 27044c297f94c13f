"""Laws of decay told apart on curves made by each."""

import numpy as np
import pytest

from recurrax.lag import choose_decay

K = np.arange(1, 301, dtype=float)
SAMPLES = 6


def noisy(curve):
    """Curves of several samples by lag 0..300: each with a level and a slowly varying error of its own."""
    rng = np.random.default_rng(0)
    walk = np.cumsum(rng.normal(0, 2e-3, size=(K.size + 1, SAMPLES)), axis=0)
    return np.concatenate([curve[:1], curve])[:, None] + rng.normal(0, 0.02, size=SAMPLES) + walk


@pytest.mark.parametrize(
    ("curve", "family", "parameters"),
    [
        (1 - 0.05 * K, "exponential", {"rate": -0.05}),
        (1 - 1.5 * np.log(K), "power", {"exponent": -1.5}),
        (1 - (K / 20) ** 0.5, "stretched", {"stretch": 0.5, "log_scale": np.log(20)}),
        (np.logaddexp(-0.01 * K, 2 - 0.2 * K), "mixture", {"slow_rate": 0.01, "fast_rate": 0.2, "log_weight": 2.0}),
    ],
)
def test_each_law_is_recognised(curve, family, parameters):
    choice = choose_decay(noisy(curve), (2, 300), resamples=30)
    assert choice.family == family
    assert choice.criterion == "held-out samples"
    assert choice.window == (2, 300)
    model = choice.models[family]
    for name, value in parameters.items():
        assert abs(model.parameters[name] - value) < 5 * choice.standard_error[name] + 1e-3


def test_one_sample_is_judged_by_bic():
    curve = -0.3 * np.arange(60.0)
    choice = choose_decay(curve, (1, 50))
    assert choice.family == "exponential"
    assert choice.criterion == "BIC"
    assert np.isnan(choice.models["exponential"].held_out)
    assert choose_decay(-1.5 * np.log(np.arange(1.0, 400)), (5, 300)).family != "exponential"


def test_nothing_under_a_decade_is_called_a_power_law():
    curves = -1.5 * np.log(np.arange(1.0, 402))[:, None] + np.zeros(4)
    assert "power" in choose_decay(curves, (10, 100), resamples=2).models
    assert "power" not in choose_decay(curves, (11, 100), resamples=2).models
    assert "power" not in choose_decay(curves, (0, 100), resamples=2).models
    with pytest.raises(ValueError, match="window: a power law needs a decade of lag"):
        choose_decay(curves, (11, 100), families=["power"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"families": ["linear"]},
            r"families: expected names of exponential, power, stretched, mixture, got \['linear'\]",
        ),
        ({"families": []}, "families: expected names"),
        ({"window": (1, 60)}, "window: expected"),
        ({"window": (1, 3)}, "window: expected more lags than the laws have parameters, got 3"),
        ({"log_norm": np.full(60, -np.inf)}, "log_norm: expected finite values at lags 1..50"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        choose_decay(**{"log_norm": -np.arange(60.0), "window": (1, 50), **arguments})
