"""Padding never matters: what stands behind a row's end changes no bit, and each row is measured as if alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lag.drawn import H, T, drawn

import recurrax
from recurrax import lag

LENGTHS = (T, 5, 1, 0)
CELL = recurrax.LSTM(H)


def matrix(*arguments, lengths=None):
    return lag.lag_matrix(*arguments, anchors=range(arguments[2].shape[0]), lengths=lengths)


def jacobian(cell, params, xs, cotangent, lengths=None):
    return lag.jacobian_profile(cell, params, xs, lags=range(xs.shape[0]), lengths=lengths)


INSTRUMENTS = (lag.adjoint_profile, lag.parameter_profile, lag.carousel_share, jacobian, matrix)


@pytest.mark.parametrize("instrument", INSTRUMENTS, ids=lambda function: function.__name__)
def test_padding_never_matters_and_each_row_is_measured_as_if_alone(instrument, quick_compile):
    params, xs, cotangent = drawn(CELL, "float32", batch=(len(LENGTHS),))
    lengths = jnp.asarray(LENGTHS)
    inside = (jnp.arange(T)[:, None] < lengths[None])[..., None]
    measured = [
        instrument(CELL, params, jnp.where(inside, xs, behind), cotangent, lengths=lengths)
        for behind in (0.0, 1e30, jnp.inf, jnp.nan)
    ]
    for other in measured[1:]:
        jax.tree.map(np.testing.assert_array_equal, other, measured[0])
    check_row(instrument, measured[0], params, xs, cotangent)


def check_row(instrument, together, params, xs, cotangent):
    """The row of 5 steps has what it has by itself, and NaN beyond."""
    length, row = 5, 1
    alone = instrument(CELL, params, xs[:length, row], cotangent[:length, row])
    compared = 0
    for name in together._fields:
        if name in ("lag", "anchor", "gradient"):
            continue
        for got, want in zip(*(jax.tree.leaves(getattr(result, name)) for result in (together, alone)), strict=True):
            got = got[..., row]
            inside = tuple(slice(0, size) for size in want.shape)
            np.testing.assert_allclose(got[inside], want, rtol=0, atol=1e-5)
            outside = np.ones(got.shape, bool)
            outside[inside] = False
            assert np.isnan(np.asarray(got)[outside]).all()
            compared += 1
    assert compared


def test_a_row_of_no_steps_has_no_lag():
    params, xs, _ = drawn(CELL, "float32", batch=(len(LENGTHS),))
    profile = lag.jacobian_profile(CELL, params, xs, lags=(0, 1), lengths=jnp.asarray(LENGTHS))
    assert np.isnan(profile.log_operator_norm[:, 3]).all()
    np.testing.assert_allclose(profile.log_operator_norm[0, :3], 0.0, atol=1e-6)
    np.testing.assert_allclose(profile.stable_rank[0, :3], 2 * H, rtol=1e-5)
    assert np.isnan(profile.log_operator_norm[1, 2])


def test_a_traced_length_beyond_the_sequence_is_the_sequence(quick_compile):
    params, xs, cotangent = drawn(CELL, "float32")
    for instrument in (lag.adjoint_profile, jacobian):
        traced = jax.jit(lambda lengths, f=instrument: f(CELL, params, xs, cotangent, lengths=lengths)[1])
        jax.tree.map(np.testing.assert_array_equal, traced(jnp.full(3, T + 4)), traced(jnp.full(3, T)))
