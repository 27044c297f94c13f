"""Covariant vectors: eigenvectors of constant matrices, and vectors that the tangent map carries along."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lag.drawn import drawn
from lag.test_fixed import elman

import recurrax
from recurrax.lag import covariant_vectors, lyapunov_spectrum

pytestmark = pytest.mark.usefixtures("x64", "quick_compile")


def test_of_a_constant_matrix_they_are_its_eigenvectors():
    interval = 4
    rng = np.random.default_rng(2)
    eigenvalues = np.array([1.1, -0.8, 0.5, 0.3])
    basis = rng.normal(size=(4, 4))
    basis /= np.linalg.norm(basis, axis=0)  # not orthogonal
    weights = basis @ np.diag(eigenvalues) @ np.linalg.inv(basis)
    cell, params = elman(weights, np.zeros(4), activation="identity")
    # (0.8 / 1.1)^80 is 1e-11.
    found = covariant_vectors(
        cell, params, jnp.zeros((240, 1)), interval=interval, exponents=3, burn_in=80, burn_out=80
    )
    assert found.vectors.h.shape == (80 // interval, 3, 4)
    aligned = np.einsum("mjn,nj->mj", found.vectors.h, basis[:, :3])
    np.testing.assert_allclose(np.abs(aligned), 1, rtol=0, atol=1e-12)
    across = found.vectors.h - aligned[..., None] * basis[:, :3].T[None]
    assert np.abs(across).max() < 1e-8
    np.testing.assert_allclose(found.growth, np.log(np.abs(eigenvalues[None, :3])).repeat(80 // interval, 0), atol=1e-8)
    np.testing.assert_allclose(found.exponents, np.log(np.abs(eigenvalues[:3])), rtol=0, atol=1e-8)
    np.testing.assert_array_equal(found.step, 80 + interval * np.arange(80 // interval))


def test_the_tangent_map_carries_them_along_and_they_grow_as_exponents():
    cell = recurrax.LSTM(2)
    params, xs, _ = drawn(cell, batch=(), steps=300)
    found = covariant_vectors(cell, params, xs, exponents=2, burn_in=60, burn_out=60)
    vectors = np.concatenate([found.vectors.h, found.vectors.c], axis=-1)  # (M, N, n)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=-1), 1, rtol=1e-12)

    def step(numbers, x):
        after, _ = cell.step(params, type(found.vectors)(h=numbers[:2], c=numbers[2:]), x)
        return jnp.concatenate([after.h, after.c])

    @jax.jit
    def jacobians():
        _, before = jax.lax.scan(lambda numbers, x: (step(numbers, x), numbers), jnp.zeros(4), xs)
        return jax.vmap(jax.jacfwd(step))(before, xs)

    pushed = np.einsum("mab,mib->mia", jacobians()[found.step], vectors)
    length = np.linalg.norm(pushed, axis=-1)
    np.testing.assert_allclose(np.log(length), found.growth, rtol=0, atol=1e-9)
    cosine = np.einsum("mia,mia->mi", pushed[:-1], vectors[1:]) / length[:-1]
    np.testing.assert_allclose(np.abs(cosine), 1, rtol=0, atol=1e-12)
    # Over T steps both grow alike but for the angles at the ends.
    spectrum = lyapunov_spectrum(cell, params, xs, exponents=2, burn_in=60)
    assert np.abs(found.exponents - spectrum.exponents).max() < 0.05


def test_a_lost_direction_is_no_number_and_leaves_the_others_alone():
    cell, params = elman(np.diag([0.9, 0.5, 0.0]), np.zeros(3), activation="identity")
    found = covariant_vectors(cell, params, jnp.zeros((120, 1)), burn_in=40)
    np.testing.assert_allclose(found.exponents[:2], np.log([0.9, 0.5]), atol=1e-8)
    assert np.isneginf(found.exponents[2])
    assert np.isnan(found.vectors.h[:, 2]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"burn_out": 0}, "burn_out: expected a multiple of the interval, at least 1 steps, got 0"),
        ({"burn_out": 17}, "burn_out: expected at least two intervals left of T = 20 steps, got 17"),
        ({"xs": np.zeros((20, 3, 2))}, r"xs: expected one sequence \(T, D\), got batch axes \(3,\)"),
    ],
)
def test_refuses(change, message):
    cell = recurrax.LSTM(4)
    params, xs, _ = drawn(cell, batch=(), steps=20)
    with pytest.raises(ValueError, match=message):
        covariant_vectors(**{"cell": cell, "params": params, "xs": xs, **change})
