"""Cells that are linear in their carry: steps against the papers' equations in NumPy, and what their gradients are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_cells import sigmoid
from tolerances import assert_close

from recurrax import LRU, RGLRU, MinGRU, MinLSTM, cells, scan

B, D, H = 3, 2, 4
LINEAR = [cell for cell in cells.ALL if hasattr(cell, "coefficients")]


def draw(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def min_gru(h, x, W_z, W_h, b_z, b_h):
    """Feng et al. (2024), section 3.1.1; their z is the share of the candidate."""
    z = sigmoid(x @ W_z + b_z)
    return (1 - z) * h + z * (x @ W_h + b_h)


def min_lstm(h, x, W_i, W_f, W_h, b_i, b_f, b_h):
    """Feng et al. (2024), section 3.2.3."""
    f, i = sigmoid(x @ W_f + b_f), sigmoid(x @ W_i + b_i)
    return f / (f + i) * h + i / (f + i) * (x @ W_h + b_h)


def rg_lru(h, x, W_a, W_x, b_a, b_x, decay):
    """De et al. (2024), eqs. 1-4, with c = 8."""
    r, i = sigmoid(x @ W_a + b_a), sigmoid(x @ W_x + b_x)
    a = sigmoid(decay) ** (8 * r)
    return a * h + np.sqrt(1 - a**2) * (i * x)


def lru(s, x, nu, theta, gamma_log, B, C, D):
    """Orvieto et al. (2023), section 3; C and D act on rows."""
    s = np.exp(-np.exp(nu) + 1j * np.exp(theta)) * s + np.exp(gamma_log) * (x @ B)
    return s, (s @ C).real + x @ D


def test_min_gru(x64):
    W, b, h, x = draw(0, D, 2, H), draw(1, 2, H), draw(2, B, H), draw(3, B, D)
    carry, y = MinGRU(H).step(cells.MinGRUParams(W, b), cells.MinGRUCarry(jnp.asarray(h)), jnp.asarray(x))
    # σ(-a) = 1 - σ(a): the paper's gate is this one's complement.
    assert_close(carry.h, min_gru(h, x, -W[:, 0], W[:, 1], -b[0], b[1]), "float64")
    np.testing.assert_array_equal(y, carry.h)


def test_min_lstm(x64):
    W, b, h, x = draw(0, D, 3, H), draw(1, 3, H), draw(2, B, H), draw(3, B, D)
    carry, y = MinLSTM(H).step(cells.MinLSTMParams(W, b), cells.MinLSTMCarry(jnp.asarray(h)), jnp.asarray(x))
    assert_close(carry.h, min_lstm(h, x, *W.swapaxes(0, 1), *b), "float64")
    np.testing.assert_array_equal(y, carry.h)


def test_rg_lru(x64):
    """On inputs as wide as the state, which the paper has."""
    W, b, decay, h, x = draw(0, H, 3, H), draw(1, 3, H), draw(2, H), draw(3, B, H), draw(4, B, H)
    W[:, 2], b[2] = np.eye(H), 0
    carry, y = RGLRU(H).step(cells.RGLRUParams(W, b, decay), cells.RGLRUCarry(jnp.asarray(h)), jnp.asarray(x))
    assert_close(carry.h, rg_lru(h, x, W[:, 0], W[:, 1], b[0], b[1], decay), "float64")
    np.testing.assert_array_equal(y, carry.h)


def test_lru(x64):
    rates, kernel, output, skip = draw(0, 3, H), draw(1, D, 2, H), draw(2, H, 2, H), draw(3, D, 1, H)
    s, x = draw(4, B, H) + 1j * draw(5, B, H), draw(6, B, D)
    params = cells.LRUParams(*rates, kernel, output, skip)
    carry, y = LRU(H).step(params, cells.LRUCarry(jnp.asarray(s)), jnp.asarray(x))
    expected, y_expected = lru(
        s, x, *rates, kernel[:, 0] + 1j * kernel[:, 1], output[:, 0] + 1j * output[:, 1], skip[:, 0]
    )
    assert_close((carry.s.real, carry.s.imag), (expected.real, expected.imag), "float64")
    assert_close(y, y_expected, "float64")


@pytest.mark.parametrize("cell", [cell(H) for cell in LINEAR], ids=repr)
def test_a_step_shrinks_every_unit_by_its_coefficient_and_none_by_another(cell, x64, quick_compile):
    """∂s_t/∂s_tm1 = diag(a_t)."""
    params, x = cell.init(jax.random.key(0), D, jnp.float64), jnp.asarray(draw(0, D))
    carry = cell.initial_carry(params, (), jnp.float64)
    (leaf,), tree = jax.tree.flatten(carry)

    def step(leaf):
        return jax.tree.leaves(cell.step(params, jax.tree.unflatten(tree, [leaf]), x)[0])[0]

    jacobian = jax.jacobian(step, holomorphic=jnp.iscomplexobj(leaf))(leaf)
    (a,) = jax.tree.leaves(cell.coefficients(params, cell.project(params, x))[0])
    np.testing.assert_allclose(jacobian, np.diag(np.broadcast_to(a, H)), rtol=1e-12, atol=1e-15)


def drawn_often(cell):
    """The parameters of 500 networks."""
    return jax.jit(jax.vmap(lambda key: cell.init(key, 1)))(jax.random.split(jax.random.key(0), 500))


def test_decays_at_the_start(quick_compile):
    """LRU: a uniform ring, whose mean square radius is that of its bounds, and γ² = 1 - |λ|²; RG-LRU: U(0.9, 0.999)."""
    params = drawn_often(LRU(20, r_min=0.4, r_max=0.9, max_phase=0.5))
    decay = np.exp(-np.exp(np.asarray(params.log_rate, np.float64)))
    assert 0.4 <= decay.min() < 0.41
    assert 0.899 < decay.max() <= 0.9
    deviation = (0.9**2 - 0.4**2) / np.sqrt(12 * decay.size)
    assert abs(np.mean(decay**2) - (0.4**2 + 0.9**2) / 2) < 5 * deviation
    assert 0.49 < np.exp(params.log_phase).max() <= 0.5
    np.testing.assert_allclose(np.exp(2 * params.log_gain) + decay**2, 1, rtol=1e-6)
    decay = sigmoid(np.asarray(drawn_often(RGLRU(20)).decay, np.float64)) ** 8
    assert abs(decay.mean() - 0.9495) < 5 * 0.099 / np.sqrt(12 * decay.size)
    assert decay.min() >= 0.9
    assert decay.max() < 0.9991


def test_a_bias_of_the_gate_that_keeps_sets_the_decay():
    """At W = 0: σ(b) for a MinGRU, σ(b)/(σ(b) + 1/2) for a MinLSTM."""
    kept = sigmoid(3)
    for cell, expected in ((MinGRU(1, update_bias=3.0), kept), (MinLSTM(1, forget_bias=3.0), kept / (kept + 0.5))):
        params = cell.init(jax.random.key(0), 1)
        a, _ = cell.coefficients(params, cell.project(params, jnp.zeros(1)))
        np.testing.assert_allclose(a.h, expected, rtol=1e-6)


@pytest.mark.parametrize("cell", [cell(H) for cell in LINEAR], ids=repr)
def test_gates_that_overflow_give_no_nan(cell, quick_compile):
    """Pre-activations of ±1000 and more, and bfloat16 parameters: values and gradients stay finite."""
    params = cell.init(jax.random.key(0), D, jnp.bfloat16)
    xs = jnp.asarray(1000 * draw(0, 6, B, D), jnp.float32)

    def loss(params, xs):
        return jnp.sum(jnp.tanh(scan(cell, params, xs).outputs))

    value, gradients = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(params, xs)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves((value, gradients)))


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: LRU(2, r_min=0.9, r_max=0.5), "r_min, r_max: expected 0 <= r_min < r_max <= 1, got 0.9 and 0.5"),
        (lambda: LRU(2, max_phase=7.0), r"max_phase: expected an angle in \(0, 2π\], got 7.0"),
        (lambda: RGLRU(2, decay_max=None), "decay_max: expected a finite float, got None"),
        (lambda: MinGRU(2, update_bias=float("inf")), "update_bias: expected a finite float, got inf"),
        (lambda: MinLSTM(0), "hidden_size: expected a positive int, got 0"),
        (lambda: MinLSTM(2, kernel_init="he"), "kernel_init: unknown value 'he'"),
    ],
)
def test_a_bad_field_is_named(build, sentence):
    with pytest.raises(ValueError, match="^" + sentence):
        build()
