"""Learning rules beside exact backpropagation: recursions run forwards, closed forms, and all signs there are."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from lag import contract_cells
from lag.drawn import B, H, T, drawn
from tolerances import assert_close

import recurrax
from recurrax import cells
from recurrax.lag import credit, parameter_profile, rule_profile

pytestmark = pytest.mark.usefixtures("x64", "quick_compile")
KINDS = pytest.mark.parametrize("kind", [cells.GRU, cells.LSTM], ids=lambda kind: kind.__name__)


def matrices(cell, params, xs):
    """∂s_t/∂θ (T, n, P) with s_tm1 fixed, ∂s_t/∂s_tm1 (T, n, n) and ∂y/∂s_{T-1} (H, n), from `cell.step` alone."""
    theta, to_params = ravel_pytree(params)
    state, to_carry = ravel_pytree(cell.initial_carry(params, (), jnp.float64))

    def step(theta, state, x):
        carry, y = cell.step(to_params(theta), to_carry(state), x)
        return ravel_pytree(carry)[0], y

    def body(state, x):
        return step(theta, state, x)[0], jax.jacfwd(lambda *of: step(*of, x)[0], argnums=(0, 1))(theta, state)

    last, (immediate, jacobian) = jax.jit(partial(jax.lax.scan, body))(state, xs)
    read = jax.jacfwd(lambda state: cell.output(params, to_carry(state), cell.project(params, xs[-1])))(last)
    return np.asarray(immediate), np.asarray(jacobian), np.asarray(read), to_params


def forwards(cell, params, xs, cotangent, keep=lambda influence: influence):
    """The gradient by real-time recurrent learning, with something kept of M after each step."""
    immediate, jacobian, read, to_params = matrices(cell, params, xs)
    influence = np.zeros_like(immediate[0])
    for step, transition in zip(immediate, jacobian, strict=True):
        influence = keep(transition @ influence + step)
    return to_params(jnp.asarray(np.asarray(cotangent) @ read @ influence))


@KINDS
def test_real_time_recurrent_learning_is_backpropagation(kind):
    cell = kind(H)
    params, xs, cotangents = drawn(cell, batch=())
    expected = jax.grad(lambda params: cotangents[-1] @ recurrax.scan(cell, params, xs).outputs[-1])(params)
    assert_close(forwards(cell, params, xs, cotangents[-1]), expected, "float64")
    assert_close(parameter_profile(cell, params, xs, cotangents[-1]).gradient, expected, "float64")


@pytest.mark.parametrize(
    "cell", [contract_cells.Counter(), contract_cells.GatedOutput()], ids=lambda cell: type(cell).__name__
)
def test_truncation_keeps_what_the_window_holds_and_nothing_else(cell):
    rng = np.random.default_rng(2)
    params, window = cell.init(jax.random.key(1), 2, jnp.float64), 4
    xs = contract_cells.inputs(cell, rng, (T, B))
    exact = parameter_profile(cell, params, xs)
    found = rule_profile(cell, params, xs, "truncated", window=window)
    norm = np.exp(exact.log_norm_joint)
    np.testing.assert_allclose(np.exp(found.log_exact), norm, rtol=0, atol=1e-12 * norm.max())
    # Inside the window the rule's term is the exact one, beyond it the bias is.
    inside = np.arange(T)[:, None] < window
    for log_norm, where in ((found.log_norm_joint, inside), (found.log_bias, ~inside)):
        np.testing.assert_allclose(np.exp(log_norm), np.where(where, norm, 0.0), rtol=0, atol=1e-12 * norm.max())
    np.testing.assert_allclose(found.share, np.repeat([1.0, 0.0], [window, T - window])[:, None] * np.ones(B))


def test_a_truncated_gradient_is_that_of_the_last_steps_alone():
    cell = recurrax.GRU(H)
    params, xs, cotangents = drawn(cell)

    def loss(params):
        carry = jax.lax.stop_gradient(recurrax.scan(cell, params, xs[:-3]).carry)
        return jnp.sum(cotangents[-1] * recurrax.scan(cell, params, xs[-3:], carry).outputs[-1])

    found = rule_profile(cell, params, xs, "truncated", cotangents[-1], window=3)
    assert_close(found.gradient, jax.grad(loss)(params), "float64")


@KINDS
def test_snap_1_is_the_masked_recursion(kind):
    cell = kind(H)
    params, xs, cotangents = drawn(cell, batch=())
    mask = (matrices(cell, params, xs)[0] != 0).any(axis=0)
    expected = forwards(cell, params, xs, cotangents[-1], lambda influence: influence * mask)
    found = rule_profile(cell, params, xs, "snap-1", cotangents[-1])
    assert_close(found.gradient, expected, "float64")
    assert (np.asarray(found.log_bias[1:]) > -12).all()  # units that see each other are not followed


@pytest.mark.parametrize(("kind", "rule"), [(cells.IndRNN, "snap-1"), (cells.LRU, "snap-1"), (cells.MinGRU, "e-prop")])
def test_both_are_exact_where_units_do_not_see_each_other(kind, rule):
    cell = kind(H)
    xs = jnp.asarray(np.random.default_rng(0).normal(size=(T, B, 2)))
    found = rule_profile(cell, cell.init(jax.random.key(0), 2, jnp.float64), xs, rule)
    shares = np.asarray(found.share)
    np.testing.assert_allclose(shares[np.isfinite(shares)], 1, rtol=1e-12)
    assert np.exp(found.log_bias).max() <= 1e-12 * np.exp(found.log_exact).max()


def test_e_prop_follows_an_lstms_cell_through_its_forget_gate_alone():
    """ε_t = f_t ε_tm1 + i_t (1 - g_t²) x_t for the candidate's kernel, read by o_T (1 - tanh² c_T)."""
    cell = recurrax.LSTM(H)
    params, xs, cotangents = drawn(cell, batch=())
    states = [cell.initial_carry(params, (), jnp.float64)]
    trace, sigmoid = np.zeros((2, H)), jax.nn.sigmoid
    for x in xs:
        before = states[-1]
        z = np.einsum("d,dgh->gh", x, params.kernel) + np.einsum("d,dgh->gh", before.h, params.recurrent_kernel)
        i, f, g, o = (
            act(gate) for act, gate in zip((sigmoid, sigmoid, jnp.tanh, sigmoid), z + params.bias, strict=True)
        )
        trace = np.asarray(f) * trace + np.outer(x, i * (1 - g**2))
        states.append(cell.step(params, before, x)[0])
    expected = np.asarray(cotangents[-1] * o * (1 - np.tanh(states[-1].c) ** 2)) * trace
    found = rule_profile(cell, params, xs, "e-prop", cotangents[-1])
    np.testing.assert_allclose(found.gradient.kernel[:, 2], expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_e_prop_sees_one_step_of_an_elman_network():
    cell = recurrax.Elman(H)
    params, xs, _ = drawn(cell)
    share = rule_profile(cell, params, xs, "e-prop").share
    np.testing.assert_array_equal(share, np.eye(1, T)[0][:, None] * np.ones(B))


def test_uoro_is_unbiased_at_every_lag_over_all_signs():
    """Two units, three steps: the mean over all 64 signs is G(k), and no single one is."""
    cell = recurrax.Elman(2)
    params, xs, cotangents = drawn(cell, batch=(), steps=3)
    trajectory, last = credit.walk.record(cell, params, xs, cell.initial_carry(params, (), jnp.float64), None)
    asked = credit.credit(cell, params, last, xs[-1], cotangents[-1])
    exact, _ = credit.walk_back(cell, params, "truncated", 3, trajectory, asked, None)
    signs = jnp.asarray(list(itertools.product([-1.0, 1.0], repeat=6))).reshape(64, 3, 2)
    found = np.asarray(jax.vmap(partial(credit.uoro, cell, params, trajectory, asked))(signs))
    truth = np.asarray(exact.value) * 2.0 ** np.asarray(exact.exponent)[:, None]
    np.testing.assert_allclose(found.mean(axis=0), truth, rtol=0, atol=1e-12 * np.abs(truth).max())
    assert (np.abs(found - truth).max(axis=(1, 2)) > 0.01).all()


def test_uoro_reports_its_draws():
    """The bias of many draws is what chance leaves of their deviation."""
    cell, draws = recurrax.GRU(H), 400
    params, xs, cotangents = drawn(cell)
    found = rule_profile(cell, params, xs, "uoro", cotangents[-1], draws=draws, key=jax.random.key(5))
    # E ‖mean error‖² = E ‖error‖² / draws; ‖·‖² is a sum of correlated squares, so it scatters as one χ²₁ at the most:
    # a ratio above 25 is five standard deviations.
    assert float((2 * (found.log_bias - found.log_deviation) + np.log(draws)).max()) < np.log(25)
    assert float((found.log_deviation - found.log_exact).min()) > 0  # the noise is larger than what is looked for


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rule": "rtrl"}, "rule: expected one of truncated, snap-1, e-prop, uoro, got 'rtrl'"),
        ({"window": None}, "window: expected an int of at least 1 for 'truncated', got None"),
        ({"rule": "e-prop"}, "window: expected None, it is of 'truncated' alone, got 3 for 'e-prop'"),
        ({"rule": "uoro", "window": None, "draws": 1}, "draws: expected an int of at least 2 for 'uoro', got 1"),
        ({"rule": "uoro", "window": None, "draws": 2}, "key: expected one for 'uoro'"),
        ({"cotangent": jnp.zeros((T, B, H))}, r"cotangent: expected that of the last output, \(3, 4\)"),
    ],
)
def test_refuses(change, message):
    cell = recurrax.Elman(H)
    params, xs, _ = drawn(cell)
    with pytest.raises(ValueError, match=message):
        rule_profile(**{"cell": cell, "params": params, "xs": xs, "rule": "truncated", "window": 3, **change})
