"""Gradients of what instruments measure by the parameters, against central differences in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from lag.drawn import drawn
from lag.test_user_cell import TwoSpeeds

import recurrax
from recurrax import lag
from recurrax.lag import linalg

pytestmark = pytest.mark.usefixtures("x64", "quick_compile")
ATOL = 3e-10
T, LAG = 25, 20


def assert_gradient(f, params):
    """The derivative of f, numbers (M,), along a drawn direction is its difference quotient, of the fourth order.

    Of the third exponent of the cells below that quotient is off by 5e-9, and by a sixteenth of it at half the step.
    """
    flat, back = ravel_pytree(params)
    rng = np.random.default_rng(4)
    along = jnp.asarray(rng.normal(size=flat.shape) / np.sqrt(flat.size))
    of = jax.jit(lambda t: f(back(flat + t * along)))
    h = 1e-4
    one, two = ((of(k * h) - of(-k * h)) / (2 * k * h) for k in (1, 2))
    expected = (4 * one - two) / 3
    gradient = jax.jit(jax.jacrev(lambda flat: f(back(flat))))(flat) @ along
    assert np.isfinite(expected).all()
    scale = np.maximum(np.abs(expected), 1)
    np.testing.assert_allclose(gradient / scale, expected / scale, rtol=0, atol=ATOL)


@pytest.mark.parametrize("cell", [recurrax.LSTM(3), recurrax.GRU(3), recurrax.Elman(3), TwoSpeeds(3)], ids=repr)
def test_the_decay_of_the_adjoint_has_a_gradient(cell):
    params, xs, _ = drawn(cell, batch=(), steps=T)
    assert_gradient(lambda params: lag.adjoint_profile(cell, params, xs).log_norm_joint[LAG][None], params)


def test_all_other_norms_have_one():
    cell = TwoSpeeds(2)
    params, xs, _ = drawn(cell, batch=(), steps=T, scale=0.5)

    def numbers(params):
        parameter = lag.parameter_profile(cell, params, xs[:, None])
        jacobian = lag.jacobian_profile(cell, params, xs, lags=(3, LAG))
        share = lag.carousel_share(cell, params, xs, field="slow")
        matrix = lag.lag_matrix(cell, params, xs, anchors=(T - 2,))
        return jnp.stack([
            *parameter.log_norm_joint[:: T - 1, 0], parameter.horizon[0],
            *jacobian.log_operator_norm, *jacobian.log_frobenius_norm, jacobian.log_block.fast.slow[1],
            share.log_share[LAG], share.cosine[LAG], matrix.log_norm_by_lag[LAG],
        ])  # fmt: skip

    assert_gradient(numbers, params)


def test_spectra_have_one():
    cell = TwoSpeeds(2)
    params, xs, _ = drawn(cell, batch=(), steps=T, scale=0.5)

    def numbers(params):
        spectrum = lag.lyapunov_spectrum(cell, params, xs, exponents=2, burn_in=5)
        vectors = lag.covariant_vectors(cell, params, xs, exponents=2, burn_in=5)
        return jnp.concatenate([spectrum.exponents, vectors.exponents])

    assert_gradient(numbers, params)


def test_a_zero_beside_it_does_not_spoil_a_gradient():
    """Without recurrent weights the first step's share of their gradient is zero, whose logarithm has no derivative."""
    matrix = jnp.asarray(np.diag([2.0, 1.0, 0.0]))
    frames = jax.grad(lambda matrix: linalg.orthonormal(matrix)[1][:2].sum())(matrix)
    np.testing.assert_allclose(frames, np.diag([0.5, 1.0, 0.0]), atol=1e-14)
    largest = jax.grad(linalg.log_largest_singular_value)(matrix)
    np.testing.assert_allclose(largest, np.diag([0.5, 0.0, 0.0]), atol=1e-14)
    assert not np.asarray(jax.grad(linalg.log_largest_singular_value)(0 * matrix)).any()
