"""Every instrument on cells that use the whole contract, against autodiff of a plain loop in float64."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lag import contract_cells
from lag.contract_cells import ComplexDiagonal, Counter, GatedOutput, TokenReader, inputs

import recurrax
from recurrax import lag

T, B = 6, 2
ATOL = 1e-12
cells = pytest.mark.parametrize("cell", contract_cells.ALL, ids=lambda cell: type(cell).__name__)
pytestmark = pytest.mark.usefixtures("x64", "quick_compile")


def smooth(tree):
    """The leaves of a tree that have a gradient."""
    return [leaf for leaf in jax.tree.leaves(tree) if is_smooth(leaf)]


def is_smooth(leaf):
    return getattr(leaf.dtype, "kind", "key") in "fc"


def with_smooth(tree, leaves):
    """The tree with those leaves in place of its own."""
    leaves = iter(leaves)
    return jax.tree.map(lambda leaf: next(leaves) if is_smooth(leaf) else leaf, tree)


def at(tree, t):
    return jax.tree.map(lambda leaf: leaf[t], tree)


@cache
def drawn(cell):
    """Parameters, inputs (T, B, ...), carry and a cotangent for every output."""
    rng = np.random.default_rng(3)
    params, xs = cell.init(jax.random.key(1), 2, jnp.float64), inputs(cell, rng, (T, B))
    carry = cell.initial_carry(params, (B,), jnp.float64)
    y = jax.eval_shape(lambda: cell.step(params, carry, at(xs, 0)))[1]
    return params, xs, carry, jnp.asarray(rng.normal(size=(T, *y.shape)))


def walk(cell, params_of_step, xs, carry, changes, hold):
    """Outputs and states of a plain loop in which step t has its own parameters and a change added to its state."""
    outputs, states = [], []
    for t, (params, change) in enumerate(zip(params_of_step, changes, strict=True)):
        x = at(xs, t)
        u = cell.project(params, x)
        carry = cell.pointwise(params, carry, u, cell.recur(params, carry if hold is None else hold(carry), u))
        state = [a + b for a, b in zip(smooth(carry), change, strict=True)]
        carry = with_smooth(carry, state)
        outputs.append(cell.output(params, carry, u))
        states.append(state)
    return outputs, states


@cache
def gradient_of(cell, hold):
    """The compiled gradient of Σ_t ⟨cotangent_t, y_t⟩ by the parameters of each step and by a change of each state."""
    params, xs, carry, _ = drawn(cell)

    def loss(parameters, changes, cotangents):
        outputs, _ = walk(cell, [with_smooth(params, leaves) for leaves in parameters], xs, carry, changes, hold)
        return sum(jnp.sum(a * b) for a, b in zip(outputs, cotangents, strict=True))

    return jax.jit(jax.grad(loss, argnums=(0, 1)))


def gradients(cell, cotangents, hold=None):
    """By the parameters of each step, and by a change of each state."""
    params, _, carry, _ = drawn(cell)
    zeros = [[jnp.zeros_like(leaf) for leaf in smooth(carry)] for _ in range(T)]
    return gradient_of(cell, hold)([smooth(params)] * T, zeros, cotangents)


def row_norms(leaf):
    return np.linalg.norm(np.asarray(leaf).reshape(B, -1), axis=1)


def joint_norms(changes):
    """(T, B), lag 0 first, of gradients by the states."""
    return np.sqrt([sum(row_norms(leaf) ** 2 for leaf in leaves) for leaves in changes[::-1]])


def assert_norms(log_norm, norms):
    np.testing.assert_allclose(np.exp(log_norm), norms, rtol=0, atol=ATOL * np.max(norms))


@cells
def test_adjoint(cell):
    params, xs, _, cotangents = drawn(cell)
    _, changes = gradients(cell, cotangents)
    profile = lag.adjoint_profile(cell, params, xs, cotangents)
    assert_norms(profile.log_norm_joint, joint_norms(changes))
    entries = jax.tree.leaves(profile.log_norm)
    assert len(entries) == len(changes[0])  # integers, bools and bits have no entry
    for index, log_norm in enumerate(entries):
        assert_norms(log_norm, np.array([row_norms(leaves[index]) for leaves in changes[::-1]]))


@pytest.mark.parametrize("cell", [Counter(), GatedOutput()], ids=lambda cell: type(cell).__name__)
def test_a_loss_is_its_cotangent_and_padding_is_not_there(cell):
    params, xs, _, cotangents = drawn(cell)
    lengths = jnp.array([T, 4])
    last = lag.adjoint_profile(cell, params, xs, cotangents[-1], lengths=lengths)
    by_loss = lag.adjoint_profile(
        cell,
        params,
        xs,
        loss=lambda ys: jnp.sum(cotangents[-1] * jnp.stack([ys[T - 1, 0], ys[3, 1]])),
        lengths=lengths,
    )
    alone = lag.adjoint_profile(cell, params, jax.tree.map(lambda leaf: leaf[:4, 1], xs), cotangents[-1, 1])
    np.testing.assert_allclose(last.log_norm_joint, by_loss.log_norm_joint, rtol=0, atol=1e-11)
    np.testing.assert_allclose(last.log_norm_joint[:4, 1], alone.log_norm_joint, rtol=0, atol=1e-11)
    assert np.isnan(last.log_norm_joint[4:, 1]).all()


@cells
def test_parameter(cell):
    params, xs, _, cotangents = drawn(cell)
    by_step, _ = gradients(cell, cotangents)
    profile = lag.parameter_profile(cell, params, xs, cotangents)
    total = [sum(leaves) for leaves in zip(*by_step, strict=True)]
    got = jax.tree.leaves(profile.gradient)
    assert len(got) == len(total) == len(jax.tree.leaves(profile.log_norm))
    for one, other in zip(got, total, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=ATOL * np.max(np.abs(other)))
    # A row by itself: then the norms of its terms are those of the loop's gradients.
    one_row = jnp.zeros_like(cotangents).at[:, 1].set(cotangents[:, 1])
    by_step, _ = gradients(cell, one_row)
    joint = np.sqrt([sum(np.sum(np.abs(leaf) ** 2) for leaf in leaves) for leaves in by_step[::-1]])
    assert_norms(profile.log_norm_joint[:, 1], joint)


@cells
def test_carousel(cell):
    params, xs, _, cotangents = drawn(cell)
    held = gradients(cell, cotangents, hold=jax.lax.stop_gradient)[1]
    share = lag.carousel_share(cell, params, xs, cotangents)
    assert_norms(share.log_norm, joint_norms(held))
    assert_norms(share.log_norm_whole, joint_norms(gradients(cell, cotangents)[1]))


@cells
def test_matrix(cell):
    params, xs, _, cotangents = drawn(cell)
    anchors = (2, T - 1)
    matrix = lag.lag_matrix(cell, params, xs, cotangents, anchors=anchors)
    for log_norm, anchor in zip(matrix.log_norm, anchors, strict=True):
        _, changes = gradients(cell, cotangents * (jnp.arange(T) == anchor).reshape(T, 1, 1))
        assert_norms(log_norm, joint_norms(changes)[::-1])


def numbers(state):
    """A state of one row as real numbers, complex leaves as real and imaginary parts."""
    return jnp.concatenate([f(leaf).ravel() for leaf in state for f in parts_of(leaf)])


def parts_of(leaf):
    return (jnp.real, jnp.imag) if leaf.dtype.kind == "c" else (jnp.real,)


def step_jacobians(cell, steps):
    """J_t of every step of one row, by forward-mode autodiff, in the real numbers of its state."""
    params, _, carry, _ = drawn(cell)
    carry = jax.tree.map(lambda leaf: leaf[0], carry)
    xs = inputs(cell, np.random.default_rng(4), (steps,))
    half = [leaf.dtype.kind == "c" for leaf in smooth(carry)]

    def state_from(numbers):
        leaves, start = [], 0
        for like, is_complex in zip(smooth(carry), half, strict=True):
            parts = [numbers[start + at * like.size : start + (at + 1) * like.size] for at in range(1 + is_complex)]
            leaves.append((jax.lax.complex(*parts) if is_complex else parts[0]).reshape(like.shape))
            start += like.size * (1 + is_complex)
        return leaves

    @jax.jit
    def look(carry, x):
        def after(vector):
            return cell.step(params, with_smooth(carry, state_from(vector)), x)[0]

        vector = numbers(smooth(carry))
        return after(vector), jax.jacfwd(lambda vector: numbers(smooth(after(vector))))(vector)

    found = []
    for t in range(steps):
        carry, jacobian = look(carry, at(xs, t))
        found.append(np.asarray(jacobian))
    return params, xs, found


@cells
def test_jacobian(cell):
    params, xs, jacobians = step_jacobians(cell, T)
    profile = lag.jacobian_profile(cell, params, xs, lags=(0, 1, T - 1))
    for index, k in enumerate((0, 1, T - 1)):
        product = np.linalg.multi_dot([np.eye(len(jacobians[0]))] * 2 + jacobians[T - k :][::-1])
        assert_norms(profile.log_operator_norm[index], np.linalg.norm(product, 2))
        assert_norms(profile.log_frobenius_norm[index], np.linalg.norm(product))
    probed = lag.jacobian_profile(cell, params, xs, lags=(T - 1,), probes=400, key=jax.random.key(0))
    distance = probed.log_frobenius_norm[0] - profile.log_frobenius_norm[2]
    assert abs(float(distance)) < 4 * float(probed.frobenius_error[0])


@cells
def test_lyapunov(cell):
    """Whatever the frame, all exponents together are the mean of ln |det J_t|."""
    steps, burn_in = 40, 10
    params, xs, jacobians = step_jacobians(cell, steps)
    spectrum = lag.lyapunov_spectrum(cell, params, xs, burn_in=burn_in)
    expected = np.mean([np.linalg.slogdet(jacobian)[1] for jacobian in jacobians[burn_in:]])
    np.testing.assert_allclose(np.sum(spectrum.exponents), expected, rtol=1e-10)
    if isinstance(cell, ComplexDiagonal):  # every |λ| twice: a complex number is two real ones
        rates = np.repeat(-np.exp(np.asarray(params.log_decay)), 2)
        np.testing.assert_allclose(np.sum(spectrum.exponents), np.sum(rates), rtol=1e-12)


@cells
def test_memory(cell):
    """Against least squares by NumPy on the states of the plain loop."""
    steps, lags = 60, (0, 2)
    params, _, carry, _ = drawn(cell)
    rng = np.random.default_rng(5)
    xs, targets = inputs(cell, rng, (steps, B)), rng.normal(size=(steps, B, 1))
    if isinstance(cell, TokenReader):
        targets = np.asarray(xs == 1, float)[..., None]
    curve = lag.memory_curve(cell, params, xs, lags=lags, targets=jnp.asarray(targets), ridge=1e-3)
    run = jax.jit(lambda carry, x: cell.step(params, carry, x)[0])
    states = []
    for t in range(steps):
        carry = run(carry, at(xs, t))
        states.append(np.concatenate([np.asarray(f(leaf)) for leaf in smooth(carry) for f in parts_of(leaf)], axis=-1))
    states, start = np.stack(states), max(lags)
    fitted = start + (steps - 2 * start) // 2
    for r2, k in zip(curve.r2, lags, strict=True):
        pairs = [
            (states[part].reshape(-1, states.shape[-1]), np.roll(targets, k, axis=0)[part].reshape(-1, 1))
            for part in (slice(start, fitted), slice(fitted + start, None))
        ]
        np.testing.assert_allclose(r2, ridge_r2(*pairs, ridge=1e-3), rtol=1e-9)


def ridge_r2(fitted, decoded, ridge):
    mean, target_mean = (part.mean(axis=0) for part in fitted)
    s, x = fitted[0] - mean, fitted[1] - target_mean
    weight = np.sqrt(ridge * np.sum(s**2) / s.shape[1])
    rows = np.concatenate([s, weight * np.eye(s.shape[1])]), np.concatenate([x, np.zeros((s.shape[1], 1))])
    decoder = np.linalg.lstsq(*rows, rcond=None)[0]
    error = decoded[1] - target_mean - (decoded[0] - mean) @ decoder
    return 1 - np.sum(error**2) / np.sum((decoded[1] - decoded[1].mean(axis=0)) ** 2)


def test_a_complex_diagonal_decays_by_its_factors():
    cell = ComplexDiagonal()
    params, xs, _, cotangents = drawn(cell)
    log_norm = lag.adjoint_profile(cell, params, xs, cotangents[-1]).log_norm.z
    at_last = np.asarray(cotangents[-1]) @ np.asarray(params.readout).T  # ∂L/∂z but for its conjugate
    kept = np.exp(-np.exp(np.asarray(params.log_decay)) * np.arange(T)[:, None, None])
    np.testing.assert_allclose(log_norm, np.log(np.linalg.norm(at_last * kept, axis=-1)), rtol=0, atol=1e-12)


def test_the_law_is_differentiable():
    """The gradient of ln A(20) with respect to the parameters is a central difference."""
    cell = recurrax.LSTM(3)
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: jnp.asarray(0.6 * rng.normal(size=leaf.shape)), cell.init(jax.random.key(0), 2))
    xs = jnp.asarray(rng.normal(size=(24, 2)))
    log_norm = jax.jit(lambda params: lag.adjoint_profile(cell, params, xs).log_norm_joint[20])
    gradient = jax.jit(jax.grad(log_norm))(params)
    direction = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), params)
    step = 1e-5
    moved = [log_norm(jax.tree.map(lambda a, b, s=s: a + s * b, params, direction)) for s in (step, -step)]
    along = sum(jax.tree.leaves(jax.tree.map(jnp.vdot, gradient, direction)))
    np.testing.assert_allclose(along, (moved[0] - moved[1]) / (2 * step), rtol=1e-8)


@pytest.mark.parametrize(
    ("cell", "change", "message"),
    [
        (Counter(), {"field": "count"}, "field: expected None or one of the carry's h, got 'count'"),
        (GatedOutput(), {"field": "c"}, "field: expected None or one of the carry's h, got 'c'"),
        (TokenReader(), {"carry": [jnp.zeros((B, 3), complex)]}, r"carry\[0\]: expected a floating dtype, got complex"),
        (TokenReader(), {"xs": {}}, r"xs: expected an array \(T, \*batch, D\) or a pytree of arrays, got dict"),
        (
            TokenReader(),
            {"xs": {"token": "a"}},
            r"xs: expected an array \(T, \*batch, D\) or a pytree of arrays, got dict",
        ),
        (
            GatedOutput(),
            {"xs": {"x": jnp.ones((5, 2)), "gap": jnp.ones(6)}},
            "xs: expected leaves that share their first axis",
        ),
    ],
)
def test_refuses(cell, change, message):
    params, xs, _, _ = drawn(cell)
    with pytest.raises(ValueError, match=message):
        lag.carousel_share(**{"cell": cell, "params": params, "xs": xs, **change})


def test_tokens_have_no_linear_memory_of_their_own():
    params, xs, _, _ = drawn(TokenReader())
    with pytest.raises(ValueError, match="targets: expected what to decode"):
        lag.memory_curve(TokenReader(), params, xs, lags=(0,))
