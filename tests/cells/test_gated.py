"""The frame of the gated cells: what it draws, its carry of zeros, and that it is no cell by itself."""

import dataclasses

import jax
import numpy as np
import pytest

import recurrax
from recurrax import GRU, LSTM, Elman, cells
from recurrax.cells.gated import Gated

KERNEL = [-0.34604675, 0.45793372, -1.10911596, -1.20728016, -1.89160883, 0.90429807, 0.32803035, 1.30476332]
FIRST_GATE = [0.94951296, -0.31372795, -0.31372795, -0.9495129]
BIAS = [0.19939354, -0.1877605, 0.68098587, 0.20604718, 0.2422026, 0.29669881]


@pytest.mark.parametrize(("cell", "gates"), [(Elman, 1), (GRU, 3), (LSTM, 4)])
def test_draws_what_it_drew_before_there_was_a_frame(cell, gates):
    """Recorded before, so that runs made then can be made again."""
    params = cell(2, bias_init="uniform").init(jax.random.key(11), 1)
    np.testing.assert_allclose(params.kernel.ravel(), KERNEL[: 2 * gates], rtol=0, atol=1e-6)
    np.testing.assert_allclose(params.recurrent_kernel[:, 0].ravel(), FIRST_GATE, rtol=0, atol=1e-6)
    bias = params.bias.at[1].add(-1) if cell is LSTM else params.bias  # less the forget bias
    np.testing.assert_allclose(bias.ravel()[:6], BIAS[: 2 * gates], rtol=0, atol=1e-6)


def test_draws_the_rest_as_before():
    chrono = LSTM(2, forget_bias="chrono", bias_init="uniform").init(jax.random.key(11), 1).bias
    expected = [-1.57025254, -4.19265747, 2.45063186, 4.21094418, 0.2422026, 0.29669881, 0.30782136, 0.61645412]
    np.testing.assert_allclose(chrono.ravel(), expected, rtol=0, atol=2e-6)
    inner = GRU(2, bias_init="uniform").init(jax.random.key(11), 1).recurrent_bias
    np.testing.assert_allclose(inner, [-0.67233157, -0.32236791], rtol=0, atol=1e-6)


def test_the_frame_is_no_cell():
    with pytest.raises(TypeError, match="abstract"):
        Gated(3)


@pytest.mark.parametrize("cell", [Elman, GRU, LSTM])
def test_own_fields_come_before_initialisers(cell):
    names = [field.name for field in dataclasses.fields(cell) if not field.kw_only]
    assert names[0] == "hidden_size"
    assert len(names) > 1
    with pytest.raises(TypeError, match="positional"):
        cell(3, *range(len(names)))


def test_a_new_cell_is_found_by_its_name(monkeypatch):
    new = type("Newest", (Elman,), {})
    monkeypatch.setattr(cells, "ALL", (*cells.ALL, new))
    assert recurrax.Newest is cells.named("newest") is new
    with pytest.raises(AttributeError, match="module 'recurrax' has no attribute 'Nwest'"):
        recurrax.Nwest  # noqa: B018
