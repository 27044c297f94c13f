"""Laws of the adjoint profile that hold for every cell, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lag.drawn import B, D, H, T, drawn
from walks import KINDS

import recurrax
from recurrax import cells
from recurrax.lag import adjoint, adjoint_profile


def setting(cell, dtype="float64"):
    params, xs, cotangent = drawn(cell, dtype)
    return params, xs, cotangent[-1]


def norms(tree):
    return jax.tree.map(lambda leaf: np.log(np.linalg.norm(leaf.reshape(T, B, -1), axis=-1)), tree)


@pytest.mark.parametrize("cell", [cell(H) for cell in KINDS], ids=lambda cell: type(cell).__name__)
def test_equals_autodiff_of_perturbed_states(cell, x64):
    params, xs, cotangent = setting(cell)

    def loss(perturbations):
        def body(carry, at_t):
            x, perturbation = at_t
            carry, _ = cell.step(params, carry, x)
            carry = jax.tree.map(jnp.add, carry, perturbation)
            return carry, cell.output(params, carry, cell.project(params, x))

        return jnp.sum(cotangent * jax.lax.scan(body, start, (xs, perturbations))[1][-1])

    start = cell.initial_carry(params, (B,), jnp.float64)
    gradient = jax.jit(jax.grad(loss))(jax.tree.map(lambda leaf: jnp.zeros((T, *leaf.shape), leaf.dtype), start))
    profile = adjoint_profile(cell, params, xs, cotangent)
    with np.errstate(divide="ignore"):
        expected = norms(jax.tree.map(lambda leaf: leaf[::-1], gradient))
    for got, want in zip(profile.log_norm, expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)
    joint = np.log(np.sqrt(sum(np.exp(2 * field) for field in expected)))
    np.testing.assert_allclose(profile.log_norm_joint, joint, rtol=0, atol=1e-12)
    assert profile.log_norm_joint.shape == (T, B)
    assert profile.lag.tolist() == list(range(T))


def test_the_classic_reading_perturbs_c_before_h_is_formed(x64):
    cell = recurrax.LSTM(H)
    params, xs, cotangent = setting(cell)
    W, U, b = (leaf.reshape(-1, 4 * H) for leaf in params[:3])

    def loss(perturbation):
        h = c = jnp.zeros((B, H))
        for t in range(T):
            i, f, g, o = jnp.split(xs[t] @ W + h @ U + jnp.tile(b, (B, 1)), 4, axis=1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g) + perturbation[t]
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return jnp.sum(cotangent * h)

    expected = norms(jax.jit(jax.grad(loss))(jnp.zeros((T, B, H)))[::-1])
    profile = adjoint_profile(cell, params, xs, cotangent)
    np.testing.assert_allclose(profile.log_norm_bptt, expected, rtol=0, atol=1e-12)
    assert np.abs(profile.log_norm_bptt[1:] - profile.log_norm.c[1:]).max() > 1e-3


def test_batched_equals_mapped_and_nested_batches(x64):
    cell = recurrax.LSTM(H)
    params, xs, cotangent = setting(cell)
    batched = adjoint_profile(cell, params, xs, cotangent)[1:]
    mapped = jax.vmap(lambda x, v: adjoint_profile(cell, params, x, v)[1:], in_axes=(1, 0), out_axes=1)
    nested = adjoint_profile(cell, params, xs[:, :, None], cotangent[:, None])[1:]
    nested = jax.tree.map(lambda leaf: leaf[:, :, 0], nested)
    for other in (mapped(xs, cotangent), nested):
        jax.tree.map(lambda got, want: np.testing.assert_allclose(got, want, rtol=0, atol=1e-12), other, batched)


def test_a_scale_of_the_cotangent_moves_the_curve_and_nothing_else():
    cell = recurrax.LSTM(H)
    params, xs, cotangent = setting(cell, "float32")
    one = adjoint_profile(cell, params, xs, cotangent).log_norm_joint
    for power in (-100, 100):
        other = adjoint_profile(cell, params, xs, jnp.ldexp(cotangent, power)).log_norm_joint
        np.testing.assert_allclose(other - one, power * np.log(2), rtol=1e-6)


def test_lengths_count_lags_from_each_rows_own_end():
    cell = recurrax.LSTM(H)
    params, xs, cotangent = setting(cell, "float32")
    lengths = jnp.array([T, 5, 0])
    padded = jnp.where(jnp.arange(T)[:, None, None] < lengths[None, :, None], xs, jnp.nan)
    profile = adjoint_profile(cell, params, padded, cotangent, lengths=lengths)[1:]
    for row, length in enumerate([T, 5]):
        alone = adjoint_profile(cell, params, xs[:length], cotangent)[1:]
        for got, want in zip(jax.tree.leaves(profile), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(got[:length, row], want[:, row], rtol=0, atol=1e-5)
            assert np.isnan(got[length:, row]).all()
    assert np.isnan(profile[1][:, 2]).all()


def test_an_equal_cell_does_not_compile_again():
    params, xs, cotangent = setting(recurrax.LSTM(H), "float32")
    adjoint_profile(recurrax.LSTM(H), params, xs, cotangent)
    before = adjoint._profile._cache_size()
    adjoint_profile(recurrax.LSTM(H), params, xs + 1, cotangent)
    assert adjoint._profile._cache_size() == before


def test_no_steps_give_no_lags():
    cell = recurrax.LSTM(H)
    params, xs, cotangent = setting(cell, "float32")
    assert adjoint_profile(cell, params, xs[:0], cotangent).log_norm.h.shape == (0, B)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"cotangent": jnp.ones((B, H + 1))},
            r"cotangent: expected .* \(3, 4\) or .* \(9, 3, 4\), got float32 \(3, 5\)",
        ),
        ({"cotangent": jnp.ones((B, H), int)}, "cotangent: expected floating"),
        ({"xs": jnp.ones((T, B, D + 1))}, "xs: expected 2 features"),
        ({"lengths": jnp.array([1, 2, T + 1])}, "lengths: expected values in 0..T"),
        ({"carry": cells.ElmanCarry(jnp.zeros((B, H)))}, r"carry: expected a LSTMCarry\(h, c\), got ElmanCarry"),
        ({"params": "nan"}, r"params.bias: expected finite values, got 16 inf or NaN"),
        ({"cell": recurrax.LSTM}, "cell: expected an instance"),
    ],
)
def test_refuses(change, message):
    cell = recurrax.LSTM(H)
    params, xs, cotangent = setting(cell, "float32")
    if "params" in change:
        change = {"params": params._replace(bias=params.bias * jnp.nan)}
    with pytest.raises(ValueError, match=message):
        adjoint_profile(**{"cell": cell, "params": params, "xs": xs, "cotangent": cotangent, **change})
