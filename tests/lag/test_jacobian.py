"""Norms of the long Jacobian against its definition, closed forms and bounds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lag.drawn import H, T, drawn

import recurrax
from recurrax.cells import ElmanParams, LSTMCarry
from recurrax.lag import adjoint_profile, jacobian_profile


def linear(matrix):
    """A linear Elman network whose Jacobian ∂h_t/∂h_tm1 is `matrix`."""
    size = len(matrix)
    arrays = np.zeros((1, 1, size)), np.asarray(matrix, float).T[:, None], np.zeros((1, size))
    return recurrax.Elman(size, activation="identity"), ElmanParams(*map(jnp.asarray, arrays))


def test_equals_the_product_of_the_jacobians_of_the_steps(x64):
    cell = recurrax.LSTM(H)
    params, xs, _ = drawn(cell, batch=(2,))
    lags = (0, 8, 3)
    profile = jacobian_profile(cell, params, xs, lags=lags)

    @jax.jit
    def step_jacobian(flat, x):
        def step(flat):
            return jnp.concatenate(cell.step(params, LSTMCarry(flat[:H], flat[H:]), x)[0])

        return step(flat), jax.jacfwd(step)(flat)

    flat, jacobians = jnp.asarray(np.zeros(2 * H)), []
    for t in range(T):
        flat, jacobian = step_jacobian(flat, xs[t, 0])
        jacobians.append(np.asarray(jacobian))
    for at, k in enumerate(lags):
        product = np.eye(2 * H)
        for t in range(T - k, T):
            product = jacobians[t] @ product
        norm, frobenius = np.linalg.norm(product, 2), np.linalg.norm(product)
        np.testing.assert_allclose(np.exp(profile.log_operator_norm[at, 0]), norm, rtol=1e-12)
        np.testing.assert_allclose(np.exp(profile.log_frobenius_norm[at, 0]), frobenius, rtol=1e-12)
        np.testing.assert_allclose(profile.stable_rank[at, 0], (frobenius / norm) ** 2, rtol=1e-12)
        parts = {"h": slice(0, H), "c": slice(H, None)}
        for out, into in ((out, into) for out in parts for into in parts):
            expected = np.linalg.norm(product[parts[out], parts[into]], 2)
            got = getattr(getattr(profile.log_block, out), into)[at, 0]
            np.testing.assert_allclose(np.exp(got), expected, rtol=1e-12, atol=1e-15)


def test_a_scaled_rotation_keeps_all_directions(x64):
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))
    profile = jacobian_profile(*linear(0.01 * rotation), jnp.zeros((300, 1)), lags=(0, 100, 299))
    expected = np.log(0.01) * np.array([0, 100, 299])
    np.testing.assert_allclose(profile.log_operator_norm, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(profile.stable_rank, 6.0, rtol=1e-12)


def test_a_jordan_block_grows_to_7_5659_at_lag_19_before_it_decays(x64):
    profile = jacobian_profile(*linear([[0.95, 1.0], [0.0, 0.95]]), jnp.zeros((300, 1)), lags=range(300))
    norm = np.exp(profile.log_operator_norm)
    assert norm.argmax() == 19
    assert norm[19] == pytest.approx(7.5659, abs=5e-5)
    k = 200
    exact = np.linalg.norm(0.95**k * np.array([[1, k / 0.95], [0, 1]]), 2)
    assert norm[k] == pytest.approx(exact, rel=1e-12)


def test_probes_agree_with_the_exact_norm_within_their_error():
    cell = recurrax.LSTM(12)
    params, xs, _ = drawn(cell, "float32", batch=(), steps=30, scale=0.3)
    exact = jacobian_profile(cell, params, xs, lags=(1, 10, 29))
    probed = jacobian_profile(cell, params, xs, lags=(1, 10, 29), probes=256, key=jax.random.key(2))
    z = np.asarray((probed.log_frobenius_norm - exact.log_frobenius_norm) / probed.frobenius_error)
    assert np.abs(z).max() < 4
    assert 0 < float(probed.frobenius_error.max()) < 0.1
    assert probed.log_operator_norm is None


@settings(max_examples=15)
@given(seed=st.integers(0, 2**31 - 1), gain=st.floats(0.1, 3.0))
def test_the_bound_of_pascanu_holds(seed, gain):
    """σ₁(P_k) <= (γ σ₁(W))^k with γ = 1 for tanh."""
    cell = recurrax.Elman(H)
    params, xs, _ = drawn(cell, "float32", batch=())
    recurrent = gain * np.random.default_rng(seed).normal(size=(H, 1, H)).astype(np.float32)
    profile = jacobian_profile(cell, params._replace(recurrent_kernel=jnp.asarray(recurrent)), xs, lags=range(T))
    bound = np.arange(T) * np.log(np.linalg.norm(recurrent[:, 0], 2))
    assert (np.asarray(profile.log_operator_norm) <= bound + 1e-4).all()


def test_no_loss_decays_more_slowly_than_the_operator_norm():
    cell = recurrax.Elman(H)
    params, xs, _ = drawn(cell, "float32", batch=())
    adjoint = adjoint_profile(cell, params, xs).log_norm_joint
    operator = jacobian_profile(cell, params, xs, lags=range(T)).log_operator_norm
    assert (np.asarray(adjoint - adjoint[0]) <= np.asarray(operator) + 1e-5).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lags": (0, T)}, r"lags: expected values in 0..T-1 = 0..8, got 9"),
        ({"lags": (-1,)}, r"lags: expected values in 0..T-1 = 0..8, got -1"),
        ({"lags": (1, 1)}, "lags: expected a sequence of different ints"),
        ({"lags": (0.5,)}, "lags: expected a sequence of different ints"),
        ({"probes": 8}, "probes: expected None or an int of at least 16, got 8"),
        ({"probes": 16}, "key: expected a key"),
    ],
)
def test_refuses(change, message):
    cell = recurrax.Elman(H)
    params, xs, _ = drawn(cell, "float32", batch=())
    with pytest.raises(ValueError, match=message):
        jacobian_profile(cell, params, xs, **{"lags": (0,), **change})
