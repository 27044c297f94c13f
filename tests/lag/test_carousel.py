"""The direct path against gate products and against a walk whose gates do not see h."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lag.drawn import B, H, T, drawn

import recurrax
from recurrax.cells.lstm import LSTMCarry
from recurrax.lag import adjoint_profile, carousel_share


def setting(cell, dtype="float64"):
    params, xs, cotangent = drawn(cell, dtype)
    return params, xs, cotangent[-1]


def test_is_the_gradient_with_h_stopped_inside_the_gates(x64):
    cell = recurrax.LSTM(H)
    params, xs, cotangent = setting(cell)

    def adjoints(stop):
        def last_output(perturbations):
            carry = cell.initial_carry(params, (B,), jnp.float64)
            for t in range(T):
                u = cell.project(params, xs[t])
                v = cell.recur(params, carry._replace(h=stop(carry.h)), u)
                carry = cell.pointwise(params, carry, u, v)
                carry = carry._replace(c=carry.c + perturbations[t])
            return jnp.sum(cotangent * carry.h)

        return np.asarray(jax.jit(jax.grad(last_output))(jnp.zeros((T, B, H))))[::-1]

    part, whole = adjoints(jax.lax.stop_gradient), adjoints(lambda h: h)
    share = carousel_share(cell, params, xs, cotangent, field="c")
    for got, vectors in ((share.log_norm, part), (share.log_norm_whole, whole)):
        np.testing.assert_allclose(got[1:], np.log(np.linalg.norm(vectors[1:], axis=-1)), rtol=0, atol=1e-12)
    part, whole = part[1:], whole[1:]
    cosine = np.sum(part * whole, -1) / np.linalg.norm(part, axis=-1) / np.linalg.norm(whole, axis=-1)
    np.testing.assert_allclose(share.cosine[1:], cosine, rtol=0, atol=1e-12)
    np.testing.assert_allclose(share.log_share[1:], (share.log_norm - share.log_norm_whole)[1:])


def test_without_recurrent_weights_everything_takes_it_and_it_is_the_product_of_gates(x64):
    cell = recurrax.LSTM(H)
    params, xs, cotangent = setting(cell)
    params = params._replace(recurrent_kernel=0 * params.recurrent_kernel)
    share = carousel_share(cell, params, xs, cotangent, field="c")
    np.testing.assert_allclose(share.log_share[1:], 0.0, atol=1e-12)
    np.testing.assert_allclose(share.cosine[1:], 1.0, rtol=1e-12)
    gates = cell.project(params, xs)
    c = recurrax.scan(cell, params, xs).carry.c
    at_last = cotangent * jax.nn.sigmoid(gates.o[-1]) * (1 - jnp.tanh(c) ** 2)
    kept = np.cumsum(np.asarray(jax.nn.log_sigmoid(gates.f))[::-1], axis=0)  # Σ_j ln f_{T-j}
    expected = np.log(np.linalg.norm(at_last[None] * np.exp(kept), axis=-1))
    np.testing.assert_allclose(share.log_norm[1:], expected[:-1], rtol=0, atol=1e-12)


def test_a_gru_keeps_by_its_update_gate(x64):
    cell = recurrax.GRU(H)
    params, xs, cotangent = setting(cell)
    params = jax.tree.map(jnp.zeros_like, params)
    share = carousel_share(cell, params, xs, cotangent)
    np.testing.assert_allclose(share.log_norm - share.log_norm[:1], np.log(0.5) * np.arange(T)[:, None] + np.zeros(B))


def test_an_elman_network_has_none():
    cell = recurrax.Elman(H)
    share = carousel_share(cell, *drawn(cell, "float32", batch=())[:2])
    assert np.isneginf(share.log_share[1:]).all()
    assert float(share.cosine[0]) == pytest.approx(1, abs=1e-6)
    assert np.isnan(share.cosine[1:]).all()


def test_the_whole_is_the_adjoint_profile_for_padded_rows_and_any_loss():
    cell = recurrax.LSTM(H)
    lengths = jnp.array([T, 4, 1])
    arguments = cell, *drawn(cell, "float32")
    share = carousel_share(*arguments, lengths=lengths)
    expected = adjoint_profile(*arguments, lengths=lengths).log_norm_joint
    np.testing.assert_allclose(share.log_norm_whole, expected, rtol=1e-6)
    assert np.isfinite(share.log_norm[:4, 1]).all()


def test_refuses_an_unknown_field():
    cell = recurrax.GRU(H)
    with pytest.raises(ValueError, match="field: expected None or one of the carry's h, got 'c'"):
        carousel_share(cell, *drawn(cell, "float32")[:2], field="c")


class DictLSTM(recurrax.LSTM):
    """An LSTM whose carry is a dict."""

    def initial_carry(self, params, batch_shape, dtype):
        return super().initial_carry(params, batch_shape, dtype)._asdict()

    def recur(self, params, carry, u):
        return super().recur(params, LSTMCarry(**carry), u)

    def pointwise(self, params, carry, u, v):
        return super().pointwise(params, LSTMCarry(**carry), u, v)._asdict()

    def output(self, params, carry, u):
        return carry["h"]


@pytest.mark.parametrize("field", ["c", "h", None])
def test_a_dict_is_a_carry_like_any_other(x64, field):
    params, xs, cotangent = setting(recurrax.LSTM(H))
    shares = [carousel_share(cell(H), params, xs, cotangent, field=field) for cell in (DictLSTM, recurrax.LSTM)]
    for got, expected in zip(*shares, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)
