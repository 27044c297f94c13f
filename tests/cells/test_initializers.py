"""What initialisation draws: per gate, with the bounds and variances its name promises."""

import dataclasses
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tolerances import RTOL

import recurrax
from recurrax import GRU, LSTM, Elman, cells
from recurrax.cells import initializers

KEY = jax.random.key(7)


def gates_of(kernel):
    return np.moveaxis(np.asarray(kernel, np.float64), 1, 0)


@pytest.mark.parametrize("cell", [Elman(8), LSTM(8), GRU(8), GRU(8, reset_after=False)], ids=repr)
def test_every_gate_is_orthogonal_by_itself(cell):
    gates = gates_of(cell.init(KEY, 3).recurrent_kernel)
    for U in gates:
        np.testing.assert_allclose(U.T @ U, np.eye(8), atol=1e-6)
    for first, second in pairwise(gates):
        assert np.max(np.abs(first - second)) > 0.1, "each gate has a draw of its own"


@pytest.mark.parametrize(("name", "fan_in", "size"), [("orthogonal", 3, 8), ("orthogonal", 8, 3)])
def test_a_rectangular_gate_has_orthonormal_rows_or_columns(name, fan_in, size):
    for W in gates_of(initializers.kernel(name, KEY, fan_in, 2, size, jnp.float32)):
        product = W @ W.T if fan_in < size else W.T @ W
        np.testing.assert_allclose(product, np.eye(min(fan_in, size)), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "bound", "variance"),
    [
        ("glorot", np.sqrt(6 / (200 + 50)), 2 / (200 + 50)),
        ("uniform", 1 / np.sqrt(50), 1 / (3 * 50)),
        # A normal cut at two deviations and stretched back to variance 1/fan_in reaches 2/0.8796 of one.
        ("lecun", 2 / 0.87962566103423978 / np.sqrt(200), 1 / 200),
    ],
)
def test_bounds_and_variances_are_those_of_one_gate(name, bound, variance):
    gates, fan_in, size = 3, 200, 50
    for W in gates_of(initializers.kernel(name, KEY, fan_in, gates, size, jnp.float32)):
        assert np.max(np.abs(W)) <= bound * (1 + 1e-6)
        assert np.max(np.abs(W)) >= 0.95 * bound
        # 10,000 draws: the mean is within 5 deviations, the variance within 10 %.
        assert abs(np.mean(W)) < 5 * np.sqrt(variance / W.size)
        np.testing.assert_allclose(np.var(W), variance, rtol=0.1)


def test_identity():
    for W in gates_of(initializers.kernel("identity", KEY, 4, 2, 4, jnp.float32)):
        np.testing.assert_array_equal(W, np.eye(4))


DRAWN = [cell for cell in cells.ALL if "recurrent_init" in {field.name for field in dataclasses.fields(cell)}]
DRAWN.remove(recurrax.CoRNN)  # whose kernel (2H, 1, H) has no eigenvalues


@pytest.mark.parametrize("radius", [0.9, 1.25])
@pytest.mark.parametrize("kind", DRAWN, ids=lambda kind: kind.__name__)
def test_every_gate_has_the_spectral_radius_asked_for(kind, radius, quick_compile):
    heads = {"heads": 2} if kind is recurrax.SLSTM else {}
    cell = kind(12, recurrent_init="spectral", spectral_radius=radius, **heads)
    kernel = np.asarray(cell.init(KEY, 3).recurrent_kernel, np.float64)
    size = kernel.shape[-1]
    gates = np.moveaxis(kernel.reshape(-1, size, kernel.shape[-2], size), 2, 1).reshape(-1, size, size)
    assert len(gates) >= len(heads) + 1
    radii = [np.abs(np.linalg.eigvals(gate)).max() for gate in gates]
    # A few roundings of float32, times what eigenvalues of a drawn matrix feel of its entries.
    np.testing.assert_allclose(radii, radius, rtol=RTOL["float32"])


def test_the_spectral_radius_of_matrices_that_powers_do_not_tell_at_once(x64):
    rotation = np.array([[0.6, -0.8], [0.8, 0.6]])  # its powers turn and never settle
    transient = np.array([[0.5, 100.0], [0.0, 0.4]])  # its powers grow first
    for matrix, radius in ((rotation, 1.0), (transient, 0.5)):
        scaled = initializers.with_radius(jnp.asarray(matrix), 0.7)
        np.testing.assert_allclose(scaled, matrix * 0.7 / radius, rtol=RTOL["float64"])


def test_biases():
    np.testing.assert_array_equal(Elman(3).init(KEY, 2).bias, 0)
    bias = np.asarray(Elman(400, bias_init="uniform", recurrent_init="identity").init(KEY, 2).bias)
    assert 0.9 / 20 < np.max(np.abs(bias)) <= 1 / 20


def test_torch_draws_what_pytorch_draws():
    """Every parameter U(±1/√H), biases twice: a sum of two exceeds the bound of one in a quarter of all draws."""
    torch = {"kernel_init": "torch", "recurrent_init": "torch", "bias_init": "torch"}
    for cell in (Elman(400, **torch), GRU(400, **torch), LSTM(400, forget_bias=0.0, **torch)):
        params = cell.init(KEY, 2)
        once = [params.kernel, params.recurrent_kernel]
        twice = [*params.bias]
        if isinstance(cell, GRU):  # whose candidate keeps its two biases apart
            once += [twice.pop(), params.recurrent_bias]
            assert np.abs(np.corrcoef(once[-2], once[-1])[0, 1]) < 0.3
        for drawn in map(np.asarray, once):
            assert 0.9 / 20 < np.max(np.abs(drawn)) <= 1 / 20
        for drawn in map(np.asarray, twice):
            assert np.max(np.abs(drawn)) <= 2 / 20
            assert 0.15 < np.mean(np.abs(drawn) > 1 / 20) < 0.35
    assert GRU(3, reset_after=False, **torch).init(KEY, 2).recurrent_bias is None


@pytest.mark.parametrize("forget_bias", [0.0, 1.0, -2.5, 3])
def test_the_forget_bias_is_added_to_f_alone(forget_bias):
    bias = LSTM(3, forget_bias=forget_bias).init(KEY, 2).bias
    np.testing.assert_array_equal(bias, np.outer([0, 1, 0, 0], [forget_bias] * 3))


def test_the_forget_bias_is_added_to_what_is_drawn():
    plain = LSTM(3, forget_bias=0.0, bias_init="uniform").init(KEY, 2).bias
    raised = LSTM(3, forget_bias=2.0, bias_init="uniform").init(KEY, 2).bias
    np.testing.assert_allclose(raised - plain, np.outer([0, 1, 0, 0], [2.0] * 3), atol=1e-6)


def test_the_input_bias_is_added_to_i_alone():
    bias = LSTM(3, forget_bias=2.0, input_bias=-2.0).init(KEY, 2).bias
    np.testing.assert_array_equal(bias, np.outer([-2, 2, 0, 0], [1.0] * 3))


@pytest.mark.parametrize("without", [{"input_gate": False}, {"coupled": True}])
def test_an_input_bias_of_no_gate_is_refused(without):
    with pytest.raises(ValueError, match=r"^input_bias: expected 0 where gate i has no parameters, got -1\.0"):
        LSTM(3, input_bias=-1.0, **without)


def test_the_update_bias_is_added_to_z_alone():
    np.testing.assert_array_equal(GRU(3, update_bias=2.0).init(KEY, 2).bias, np.outer([0, 1, 0], [2.0] * 3))


def test_a_gain_multiplies_the_recurrent_kernel_alone():
    one, doubled = Elman(4).init(KEY, 2), Elman(4, recurrent_gain=2.0).init(KEY, 2)
    np.testing.assert_array_equal(doubled.recurrent_kernel, 2 * one.recurrent_kernel)
    np.testing.assert_array_equal(doubled.kernel, one.kernel)


def test_chrono_of_the_one_gate_of_a_coupled_lstm():
    """1 - f takes b_i = -b_f by itself."""
    coupled = LSTM(5, forget_bias="chrono", coupled=True).init(KEY, 2).bias
    np.testing.assert_array_equal(coupled[0], LSTM(5, forget_bias="chrono").init(KEY, 2).bias[1])


def test_a_projection_has_its_own_sizes():
    params = LSTM(6, projection_size=2, peepholes=True, bias_init="uniform").init(KEY, 3)
    shapes = [leaf.shape for leaf in params]
    assert shapes == [(3, 4, 6), (2, 4, 6), (4, 6), (3, 6), (6, 2)]
    for U in gates_of(params.recurrent_kernel):
        np.testing.assert_allclose(U @ U.T, np.eye(2), atol=1e-6)
    assert np.all(params.peephole != 0)


@pytest.mark.parametrize("t_max", [50, 1000])
def test_chrono_spans_its_time_scales_once(t_max):
    """T = 1/(1-σ(b_f)) - 1 is uniform on (1, t_max-1); two biases drawn so would square it (mean near t_max²/4)."""
    cell = LSTM(40, forget_bias="chrono", t_max=t_max, recurrent_init="identity")
    bias = jax.jit(jax.vmap(lambda key: cell.init(key, 2).bias))(jax.random.split(KEY, 100))
    b_i, b_f, b_g, b_o = np.asarray(jnp.moveaxis(bias, 1, 0), np.float64).reshape(4, -1)
    np.testing.assert_array_equal(b_i, -b_f)
    np.testing.assert_array_equal([b_g, b_o], 0)
    span = 1 + np.exp(b_f)  # 1/(1-σ(b_f))
    assert span.min() >= 2
    assert span.max() <= t_max
    deviation = (t_max - 2) / np.sqrt(12 * b_f.size)
    assert abs(span.mean() - (1 + t_max / 2)) < 5 * deviation
    np.testing.assert_allclose(span.var(), (t_max - 2) ** 2 / 12, rtol=0.1)


@pytest.mark.parametrize("cell", [cell(3) for cell in (Elman, GRU, LSTM)], ids=repr)
def test_shapes_and_keys(cell):
    params, same, other = cell.init(KEY, 2), cell.init(KEY, 2), cell.init(jax.random.key(8), 2)
    gates = params.kernel.shape[1]
    assert params.kernel.shape == (2, gates, 3)
    np.testing.assert_array_equal(params.kernel, same.kernel)
    assert not np.array_equal(params.kernel, other.kernel)
    if hasattr(params, "recurrent_kernel"):
        assert (params.recurrent_kernel.shape, params.bias.shape) == ((3, gates, 3), (gates, 3))
        assert not np.array_equal(params.recurrent_kernel, other.recurrent_kernel)


def test_the_recurrent_bias_of_a_gru():
    assert GRU(3).init(KEY, 2).recurrent_bias.shape == (3,)
    assert GRU(3, reset_after=False).init(KEY, 2).recurrent_bias is None
