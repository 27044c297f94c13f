"""The gradient that each step adds: sums, identities and horizons."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lag.drawn import B, H, T, drawn
from walks import KINDS

import recurrax
from recurrax import cells
from recurrax.lag import adjoint_profile, parameter, parameter_profile
from recurrax.lag.parameter import effective_horizon


@pytest.mark.parametrize("cell", [cell(H) for cell in KINDS], ids=lambda cell: type(cell).__name__)
def test_the_steps_add_up_to_the_gradient(cell, x64):
    params, xs, cotangent = drawn(cell)
    lengths = jnp.array([T, 4, 0])

    def loss(params):
        return jnp.sum(cotangent * recurrax.scan(cell, params, xs, lengths=lengths).outputs)

    expected = jax.grad(loss)(params)
    profile = parameter_profile(cell, params, xs, cotangent, lengths=lengths)
    jax.tree.map(
        lambda got, want: np.testing.assert_allclose(got, want, rtol=0, atol=1e-13), profile.gradient, expected
    )
    joint = 0.5 * jax.nn.logsumexp(2 * jnp.stack(jax.tree.leaves(profile.log_norm)), axis=0)
    np.testing.assert_allclose(profile.log_norm_joint, joint, rtol=0, atol=1e-12)
    assert np.isnan(profile.log_norm_joint[4:, 1]).all()


def test_one_rows_contribution_is_the_gradient_with_the_other_steps_held(x64):
    cell = recurrax.GRU(H)
    params, xs, cotangent = drawn(cell)

    def loss(copies):
        def body(carry, at_t):
            x, params = at_t
            return cell.step(params, carry, x)

        return jnp.sum(
            cotangent * jax.lax.scan(body, cell.initial_carry(params, (), jnp.float64), (xs[:, 1], copies))[1]
        )

    cotangent = cotangent[:, 1]
    copies = jax.grad(loss)(jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (T, *leaf.shape)), params))
    profile = parameter_profile(cell, params, xs[:, 1], cotangent)
    for got, want in zip(jax.tree.leaves(profile.log_norm), jax.tree.leaves(copies), strict=True):
        norms = np.linalg.norm(want.reshape(T, -1), axis=1)[::-1]
        np.testing.assert_allclose(np.exp(got), norms, rtol=0, atol=1e-13)


def test_of_a_dense_kernel_it_is_the_adjoint_times_the_state(x64):
    cell = recurrax.Elman(H, activation="identity")
    params, xs, cotangent = drawn(cell)
    outputs = recurrax.scan(cell, params, xs).outputs
    profile = parameter_profile(cell, params, xs, cotangent[-1])
    delta = adjoint_profile(cell, params, xs, cotangent[-1]).log_norm.h
    before = np.log(np.linalg.norm(outputs, axis=-1))[:-1][::-1]
    np.testing.assert_allclose(profile.log_norm.recurrent_kernel[:-1], delta[:-1] + before, rtol=0, atol=1e-12)
    assert np.isneginf(profile.log_norm.recurrent_kernel[-1]).all()  # the first step saw a state of zeros


def test_the_horizon_is_the_mean_lag_weighted_by_norm():
    k = np.arange(2000)
    for f in (0.5, 0.9):
        expected = f / (1 - f)  # the mean of a geometric law
        assert float(effective_horizon(jnp.asarray(k * np.log(f)))) == pytest.approx(expected, rel=1e-5)
    assert float(effective_horizon(jnp.array([0.0, 0.0, jnp.nan]))) == 0.5


def test_far_contributions_stay_finite():
    cell = recurrax.Elman(H)
    profile = parameter_profile(cell, *drawn(cell, "float32", batch=(), steps=150, scale=0.02)[:2])
    assert np.isfinite(profile.log_norm_joint).all()
    assert profile.log_norm_joint[-1] < -300


def test_a_loss_of_the_outputs_may_look_anywhere(x64):
    cell = recurrax.LSTM(H)
    params, xs, target = drawn(cell)

    def loss(outputs):
        return jnp.sum((outputs[2:5] - target[2:5]) ** 2)

    def perturbed(perturbations):
        def body(carry, at_t):
            x, perturbation = at_t
            carry, _ = cell.step(params, carry, x)
            carry = jax.tree.map(jnp.add, carry, perturbation)
            return carry, cell.output(params, carry, cell.project(params, x))

        return loss(jax.lax.scan(body, start, (xs, perturbations))[1])

    start = cell.initial_carry(params, (B,), jnp.float64)
    gradient = jax.jit(jax.grad(perturbed))(jax.tree.map(lambda leaf: jnp.zeros((T, *leaf.shape)), start))
    with np.errstate(divide="ignore"):
        expected = np.log(np.sqrt(sum(np.sum(leaf[::-1] ** 2, axis=-1) for leaf in gradient)))
    for profile in (
        adjoint_profile(cell, params, xs, loss=loss),
        adjoint_profile(cell, params, xs, jax.grad(loss)(recurrax.scan(cell, params, xs).outputs)),
    ):
        np.testing.assert_allclose(profile.log_norm_joint, expected, rtol=0, atol=1e-12)
    assert np.isneginf(expected[:2]).all()
    with pytest.raises(ValueError, match="loss: expected either a loss or a cotangent, got both"):
        adjoint_profile(cell, params, xs, target, loss=loss)


@pytest.mark.parametrize(("w", "energy", "sensitivity"), [(0.9, 5.263, 263.887), (0.99, 50.251, 251262.6)])
def test_sensitivity_to_a_parameter_outgrows_the_state(w, energy, sensitivity, x64):
    """The curse of memory: E h² = 1/(1-w²) but E (dh/dw)² = (1+w²)/(1-w²)³ for white inputs."""
    assert energy == pytest.approx(1 / (1 - w * w), rel=1e-4)
    assert sensitivity == pytest.approx((1 + w * w) / (1 - w * w) ** 3, rel=1e-6)
    rng = np.random.default_rng(0)
    steps, rows = 1200, 100
    # h_0 as it would be after an endless past is left out: w^1200 is nothing.
    xs = jnp.asarray(rng.normal(size=(steps, rows, 1)))
    params = cells.ElmanParams(
        *(jnp.asarray(array) for array in (np.ones((1, 1, 1)), np.full((1, 1, 1), w), np.zeros((1, 1))))
    )
    cell = recurrax.Elman(1, activation="identity")
    by_row = jax.vmap(lambda x: parameter_profile(cell, params, x).gradient.recurrent_kernel[0, 0, 0], in_axes=1)(xs)
    # dh/dw is Gaussian, so the mean square over rows has relative error √(2/rows).
    assert np.mean(np.square(by_row)) == pytest.approx(sensitivity, rel=4 * np.sqrt(2 / rows))
    h = recurrax.scan(cell, params, xs).outputs[-1]
    assert np.mean(np.square(h)) == pytest.approx(energy, rel=4 * np.sqrt(2 / rows))


@pytest.mark.parametrize("cell", [cell(64) for cell in KINDS], ids=lambda cell: type(cell).__name__)
def test_no_lag_has_a_gradient_of_its_own_in_memory(cell):
    """Temporaries of the compiled walk, in bytes: a few carries, and far less than one gradient, per lag."""
    size, rows, steps = cell.hidden_size, 2, 500
    params = jax.eval_shape(lambda: cell.init(jax.random.key(0), size))
    carry = jax.eval_shape(lambda: cell.initial_carry(params, (rows,), jnp.float32))
    one_carry = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(carry))
    one_gradient = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(params))
    xs, cotangent = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((steps, rows, size), (rows, size)))
    compiled = parameter._profile.lower(cell, True, params, xs, cotangent, carry, None, None).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < steps * (4 * one_carry + 0.4 * one_gradient)
