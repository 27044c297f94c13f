"""What an infinitely wide tanh network predicts: variance, gain per step and correlation length from three numbers."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from recurrax.lag.notebook import html


class MeanField(NamedTuple):
    """The fixed point of a wide tanh network driven by noise.

    q: the variance of a pre-activation.
    chi: χ₁, the mean squared gain of a gradient per step.
    slope: ½ ln χ₁, nats per step of ln A(k).
    correlation_length: -1/ln χ₁ in steps; inf where χ₁ >= 1 and gradients do not vanish.
    """

    q: float
    chi: float
    slope: float
    correlation_length: float
    _repr_html_ = html


def mean_field(sigma_w: float, sigma_v: float, sigma_b: float = 0.0) -> MeanField:
    """Predicts the decay of h_t = tanh(h_tm1 U + v_t + b), U_ij ~ N(0, σ_w²/H), v_t ~ N(0, σ_v²) anew at every step.

    q = σ_w² E tanh²(√q z) + σ_v² + σ_b²,  χ₁ = σ_w² E sech⁴(√q z),  z ~ N(0, 1)

    At width H the measured slope lies below the prediction by about 1/(2H).

    Args:
        sigma_w: gain of the recurrent kernel, dimensionless.
        sigma_v: standard deviation of what the inputs add to a pre-activation.
        sigma_b: standard deviation of the bias.

    Raises:
        ValueError: one of the three is negative or not finite.

    References: Poole et al. (2016), eq. 3; Chen, Pennington & Schoenholz (2018) for recurrent networks.

    >>> predicted = mean_field(sigma_w=0.9, sigma_v=0.3)
    >>> round(predicted.q, 4), round(predicted.chi, 4), round(predicted.slope, 4)
    (0.2165, 0.6004, -0.2551)
    """
    for name, value in (("sigma_w", sigma_w), ("sigma_v", sigma_v), ("sigma_b", sigma_b)):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name}: expected a finite number >= 0, got {value!r}")
    drive = sigma_v**2 + sigma_b**2
    # The map of q is increasing and bounded by σ_w² + drive: from above, iteration falls to the stable fixed point.
    q = sigma_w**2 + drive
    for _ in range(100_000):
        previous, q = q, sigma_w**2 * _mean(np.tanh, q) + drive
        if abs(q - previous) <= 1e-14 * q:
            break
    chi = sigma_w**2 * _mean(lambda a: np.cosh(a) ** -2.0, q)
    log_chi = math.log(chi) if chi > 0 else -math.inf
    return MeanField(q, chi, 0.5 * log_chi, -1 / log_chi if log_chi < 0 else math.inf)


def _mean(f: Callable[[np.ndarray], np.ndarray], q: float) -> float:
    """E f(√q z)², by the trapezium rule, exact to rounding for smooth functions under a Gaussian."""
    z = np.linspace(-12, 12, 2001)
    weight = np.exp(-0.5 * z**2)
    return float(weight @ np.square(f(math.sqrt(q) * z)) / weight.sum())
