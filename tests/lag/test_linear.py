"""Instruments on cells that are linear in their carry, where products of decays say everything."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lag.drawn import B, D, H, drawn

from recurrax import LRU, RGLRU, MinGRU, MinLSTM
from recurrax.lag import adjoint_profile, lyapunov_spectrum

STEPS = 40
GATED = [MinGRU(H), MinLSTM(H), RGLRU(H)]


def decays(cell, params, xs):
    """|a_t| of every unit, (T, B, H) or (H,)."""
    (a,) = jax.tree.leaves(cell.coefficients(params, cell.project(params, xs))[0])
    return np.abs(a)


@pytest.mark.parametrize("cell", GATED, ids=lambda cell: type(cell).__name__)
def test_an_adjoint_is_the_product_of_the_gates_after_it(cell, x64):
    """∂L/∂h_{T-1-k} = δy_{T-1} Π_{j<k} a_{T-1-j}, unit by unit."""
    params, xs, cotangent = drawn(cell, steps=STEPS)
    a = decays(cell, params, xs)
    products = np.concatenate([np.ones((1, B, H)), np.cumprod(a[:0:-1], axis=0)])
    expected = np.log(np.linalg.norm(np.asarray(cotangent[-1]) * products, axis=-1))
    profile = adjoint_profile(cell, params, xs, cotangent[-1])
    np.testing.assert_allclose(profile.log_norm.h, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(profile.log_norm_joint, expected, rtol=0, atol=1e-12)


def test_an_lru_forgets_as_powers_of_its_decays(x64):
    """∂L/∂s_{T-1-k} = (δy Cᵀ) λ^k, whatever the inputs: far below what a float can hold, too."""
    cell, steps = LRU(H), 3000
    params, xs, cotangent = drawn(cell, steps=steps)
    log_decay = -np.exp(np.asarray(params.log_rate))
    C = np.asarray(params.output_kernel)
    seen = np.abs(cotangent[-1] @ (C[:, 0] + 1j * C[:, 1]).T)  # (B, H)
    terms = 2 * (np.log(seen) + np.arange(steps)[:, None, None] * log_decay)
    expected = 0.5 * np.logaddexp.reduce(terms, axis=-1)
    profile = adjoint_profile(cell, params, xs, cotangent[-1])
    np.testing.assert_allclose(profile.log_norm.s, expected, rtol=1e-12, atol=1e-12)
    assert profile.log_norm.s[-1].max() < np.log(np.finfo(np.float64).tiny), "no norm of that size is a float"


def test_lyapunov_exponents_of_an_lru_are_its_log_decays_twice(x64):
    """log|λ| for both dimensions of every complex unit, whatever the inputs."""
    cell = LRU(3)
    params, xs, _ = drawn(cell, batch=(), steps=100)
    params = params._replace(log_rate=jnp.log(jnp.array([3.0, 0.05, 1.0])))
    spectrum = lyapunov_spectrum(cell, params, xs, burn_in=50)
    np.testing.assert_allclose(spectrum.exponents, [-0.05, -0.05, -1, -1, -3, -3], rtol=1e-9)


@pytest.mark.parametrize("cell", GATED, ids=lambda cell: type(cell).__name__)
def test_lyapunov_exponents_of_gates_are_their_mean_logarithms(cell, x64):
    """Together at any time; each by itself only once the directions have parted."""
    params, xs, _ = drawn(cell, batch=(), steps=60)
    spectrum = lyapunov_spectrum(cell, params, xs, burn_in=20)
    expected = np.mean(np.log(decays(cell, params, xs)[20:]), axis=0)
    np.testing.assert_allclose(np.sum(spectrum.exponents), np.sum(expected), rtol=1e-12)


def test_a_min_gru_without_weights_forgets_by_its_bias_alone(x64):
    """With W = 0 a MinGRU's gates are its bias: exactly 2^-k, and σ(b)^k for a bias b."""
    for bias in (0.0, 2.0):
        cell = MinGRU(H, update_bias=bias)
        params = cell.init(jax.random.key(0), D, jnp.float64)
        params = params._replace(kernel=jnp.zeros_like(params.kernel))
        profile = adjoint_profile(cell, params, jnp.ones((STEPS, D)))
        expected = 0.5 * np.log(H) - np.arange(STEPS) * np.log1p(np.exp(-bias))
        np.testing.assert_allclose(profile.log_norm.h, expected, rtol=1e-12)
