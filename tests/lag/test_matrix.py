"""The lag matrix against one adjoint profile per anchor."""

import jax.numpy as jnp
import numpy as np
import pytest
from lag.drawn import H, T, drawn

import recurrax
from recurrax.lag import adjoint_profile, lag_matrix


def setting():
    cell = recurrax.LSTM(H)
    return cell, *drawn(cell)


def test_each_row_is_the_profile_of_its_anchors_loss(x64):
    cell, params, xs, cotangent = setting()
    anchors = (4, T - 1)
    joint = lag_matrix(cell, params, xs, cotangent, anchors=anchors)
    of_c = lag_matrix(cell, params, xs, cotangent, anchors=anchors, field="c")
    for row, s in enumerate(anchors):
        alone = adjoint_profile(cell, params, xs, jnp.where(jnp.arange(T)[:, None, None] == s, cotangent, 0.0))
        np.testing.assert_allclose(joint.log_norm[row], alone.log_norm_joint[::-1], rtol=0, atol=1e-12)
        np.testing.assert_allclose(of_c.log_norm[row], alone.log_norm.c[::-1], rtol=0, atol=1e-12)
        assert np.isneginf(joint.log_norm[row, s + 1 :]).all()


def test_diagonals_are_averaged_over_the_anchors_that_reach(x64):
    cell, params, xs, _ = setting()
    matrix = lag_matrix(cell, params, xs, anchors=(2, 5))
    two = np.asarray(matrix.log_norm)
    np.testing.assert_allclose(matrix.log_norm_by_lag[2], (two[0, 0] + two[1, 3]) / 2, rtol=1e-12)
    np.testing.assert_allclose(matrix.log_norm_by_lag[3], two[1, 2], rtol=1e-12)
    assert np.isnan(matrix.log_norm_by_lag[6:]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"anchors": (T,)}, "anchors: expected values in 0..T-1 = 0..8, got 9"),
        ({"anchors": ()}, "anchors: expected a sequence of ints"),
        ({"field": "z"}, "field: expected None or one of the carry's h, c, got 'z'"),
        ({"cotangent": jnp.ones(H)}, "cotangent: expected"),
    ],
)
def test_refuses(change, message, x64):
    cell, params, xs, _ = setting()
    with pytest.raises(ValueError, match=message):
        lag_matrix(**{"cell": cell, "params": params, "xs": xs, "anchors": (1,), **change})
