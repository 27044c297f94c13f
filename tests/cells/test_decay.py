"""What a cell's docstring says under "Gradient", in closed form: the gradient by lag, and what it is made of."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_cells import sigmoid

from recurrax import (
    GRU,
    JANET,
    LEM,
    LSTM,
    MGU,
    MLSTM,
    SLSTM,
    AntisymmetricRNN,
    CoRNN,
    DeltaNet,
    IndRNN,
    Leaky,
    OrthogonalRNN,
    lag,
    scan,
)

pytestmark = pytest.mark.usefixtures("quick_compile")

T, D, H = 12, 2, 4


def drawn(cell, steps=T):
    """Parameters from their initial distribution, all biases drawn, and inputs (T, D), in float64."""
    params = cell.init(jax.random.key(0), D, jnp.float64)
    return params, jnp.asarray(np.random.default_rng(0).standard_normal((steps, D)))


def alone(params):
    """Parameters without the products of the carry: what is left is the path along each unit."""
    return params._replace(recurrent_kernel=jnp.zeros_like(params.recurrent_kernel))


def of_first_unit(cell, params, xs, of="h"):
    """log ‖∂h_T/∂s_{T-k}‖ for the first unit of h and a field s of the carry."""
    profile = lag.adjoint_profile(cell, params, xs, jnp.eye(H)[0])
    return np.asarray(getattr(profile.log_norm, of))


def sums(log_steps):
    """Σ of the last k entries, for k = 0 .. T-1."""
    return np.concatenate([[0], np.cumsum(log_steps[::-1])])[: len(log_steps)]


@pytest.mark.parametrize(
    ("cell", "gate", "kept"),
    [
        (JANET(H), 0, sigmoid),
        (MGU(H), 0, lambda a: sigmoid(-a)),
        (GRU(H, update_bias=1.0), 1, sigmoid),
        (LEM(H, step_size=0.5), 1, lambda a: 1 - 0.5 * sigmoid(a)),
    ],
    ids=["JANET", "MGU", "GRU", "LEM"],
)
def test_along_the_unit_alone_gates_multiply(cell, gate, kept, x64):
    params, xs = drawn(cell)
    params = alone(params)
    a = np.asarray(xs) @ np.asarray(params.kernel[:, gate, 0]) + float(params.bias[gate, 0])
    np.testing.assert_allclose(of_first_unit(cell, params, xs), sums(np.log(kept(a))), rtol=0, atol=1e-12)


def test_without_a_forget_gate_the_memory_is_a_carousel(x64):
    """∂L/∂c is the same at every lag; at lag 0 the output is in h, which was formed before."""
    cell = LSTM(H, forget_gate=False)
    params, xs = drawn(cell)
    of_c = of_first_unit(cell, alone(params), xs, "c")
    np.testing.assert_allclose(of_c[1:], of_c[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("learned", [False, True])
def test_leaky_units_hold_one_minus_alpha(learned, x64):
    cell = Leaky(H, alpha=0.2, learned=learned)
    params, xs = drawn(cell)
    expected = np.arange(T) * np.log(0.8)
    np.testing.assert_allclose(
        of_first_unit(cell, alone(params), xs), expected, rtol=0, atol=1e-6 if learned else 1e-12
    )


def test_independent_units_hold_powers_of_their_weight(x64):
    """|u|^k with the identity, where nothing switches a unit off."""
    cell = IndRNN(H, activation="identity")
    params, xs = drawn(cell)
    u = float(params.recurrent[0])
    np.testing.assert_allclose(of_first_unit(cell, params, xs), np.arange(T) * np.log(u), rtol=0, atol=1e-12)


def test_independent_units_start_below_their_bound():
    u = IndRNN(500, t_max=10).init(jax.random.key(0), 1).recurrent
    assert u.min() >= 0
    assert 0.99 * 2**0.1 < u.max() <= 2**0.1


def test_an_orthogonal_recurrence_keeps_norms_for_ten_thousand_steps(x64):
    cell, steps = OrthogonalRNN(H, activation="identity"), 10_000
    params, _ = drawn(cell)
    params = params._replace(skew=jnp.asarray(np.random.default_rng(1).standard_normal((H, H))))
    xs, starts = jnp.zeros((steps, H, D)), type(cell.initial_carry(params, (), jnp.float64))(jnp.eye(H))
    turned = scan(cell, params, xs, starts).carry.h
    np.testing.assert_allclose(turned @ turned.T, np.eye(H), rtol=0, atol=1e-6)
    curve = lag.adjoint_profile(cell, params, xs[:, 0]).log_norm_joint
    np.testing.assert_allclose(curve, np.log(np.sqrt(H)), rtol=0, atol=1e-6)


def test_an_antisymmetric_step_grows_by_its_frequency(x64):
    """Two units at rest: J = I + ε [[-γ, ω], [-ω, -γ]], whose powers have the norm |1 - εγ + iεω|^k."""
    cell = AntisymmetricRNN(2, step_size=0.1, diffusion=0.3)
    params, _ = drawn(cell)
    U = np.asarray(params.recurrent_kernel[:, 0])
    omega = U[0, 1] - U[1, 0]
    curve = lag.adjoint_profile(cell, params, jnp.zeros((T, D)), jnp.eye(2)[0]).log_norm_joint
    expected = np.arange(T) * np.log(abs(1 - 0.03 + 0.1j * omega))
    np.testing.assert_allclose(curve, expected, rtol=0, atol=1e-12)


def test_an_oscillator_by_itself_is_a_power_of_a_matrix(x64):
    cell = CoRNN(H, step_size=0.2, frequency=1.5, damping=0.5)
    params, xs = drawn(cell)
    dt, gamma, epsilon = 0.2, 1.5, 0.5
    J = np.array([[1 - dt * dt * gamma, dt * (1 - dt * epsilon)], [-dt * gamma, 1 - dt * epsilon]])
    assert np.linalg.det(J) == pytest.approx(1 - dt * epsilon)
    powers = [np.array([1.0, 0.0])]
    for _ in range(T - 1):
        powers.append(powers[-1] @ J)
    profile = lag.adjoint_profile(cell, alone(params), xs, jnp.eye(H)[0])
    for field, got in zip((0, 1), profile.log_norm, strict=True):
        with np.errstate(divide="ignore"):
            expected = np.log(np.abs([row[field] for row in powers]))
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)


def test_coupled_oscillators_stay_below_their_bound(x64):
    """In the maximum norm a step's Jacobian is at most max(a, 1 + Δt a), a = Δt (‖U_h‖ + γ) + |1 - Δt ε| + Δt ‖U_z‖."""
    cell = CoRNN(H)
    params, xs = drawn(cell)
    U = np.asarray(params.recurrent_kernel[:, 0])
    rows_h, rows_z = (np.abs(half).sum(axis=0).max() for half in (U[:H], U[H:]))
    dt = cell.step_size
    a = dt * (rows_h + cell.frequency) + abs(1 - dt * cell.damping) + dt * rows_z
    profile = lag.adjoint_profile(cell, params, xs, jnp.eye(H)[0])
    # A row of ‖J^k‖ in the maximum norm is a sum of absolute values, which is at least their Euclidean norm.
    assert np.all(profile.log_norm_joint <= np.arange(T) * np.log(max(a, 1 + dt * a)) + 1e-12)
    assert profile.log_norm_joint.max() > -5, "and the bound is not about nothing"


def test_what_is_written_later_dilutes_an_exponential_memory(x64):
    """∂c_T/∂c_{T-k} of an sLSTM is the product of k forget gates times n_{T-k}/n_T."""
    cell = SLSTM(H)
    params, xs = drawn(cell)
    params = alone(params)
    i, f, _, o = (np.asarray(xs) @ np.asarray(params.kernel[:, g, 0]) + float(params.bias[g, 0]) for g in range(4))
    n = np.zeros(T)
    for t in range(T):
        n[t] = (sigmoid(f[t]) * n[t - 1] if t else 0) + np.exp(i[t])
    expected = np.log(sigmoid(o[-1])) + sums(np.log(sigmoid(f))) + np.log(n[::-1]) - np.log(n[-1])
    got = of_first_unit(cell, params, xs, "c")[1:]  # at lag 0 the output is in h
    np.testing.assert_allclose(got, expected[1:], rtol=0, atol=1e-12)


def test_a_matrix_memory_fades_by_its_forget_gate_alone(x64):
    """∂L/∂C of an mLSTM: k forget gates times the ratio of stabilisers, whatever is written meanwhile."""
    cell = MLSTM(H)
    params, xs = drawn(cell)
    i, f = (np.asarray(xs @ params.gate_kernel[:, g, 0] + params.gate_bias[g, 0]) for g in range(2))
    m = np.zeros(T + 1)
    for t in range(T):
        m[t + 1] = max(np.log(sigmoid(f[t])) + m[t], i[t])
    curve = np.asarray(lag.adjoint_profile(cell, params, xs).log_norm.C)
    expected = sums(np.log(sigmoid(f))) + m[:0:-1] - m[-1]
    np.testing.assert_allclose(curve - curve[0], expected, rtol=0, atol=1e-12)


def test_the_delta_rule_forgets_only_what_it_overwrites(x64):
    """∂L/∂S_tm1 = α ∂L/∂S_t (I - β k kᵀ), step by step."""
    cell = DeltaNet(H)
    params, xs = drawn(cell)
    u = jax.tree.map(np.asarray, cell.project(params, xs))
    adjoint = np.outer(sigmoid(u.output[-1]), u.query[-1, 0])
    expected = []
    for t in reversed(range(T)):
        expected.append(np.log(np.linalg.norm(adjoint)))
        k, alpha, beta = u.key[t, 0], sigmoid(u.forget[t, 0]), sigmoid(u.write[t, 0])
        adjoint = alpha * adjoint @ (np.eye(H) - beta * np.outer(k, k))
    np.testing.assert_allclose(lag.adjoint_profile(cell, params, xs).log_norm.S, expected, rtol=0, atol=1e-12)
