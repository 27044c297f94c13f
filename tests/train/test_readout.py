import jax
import jax.numpy as jnp
import numpy as np
import pytest
from walks import KINDS

import recurrax
from recurrax import train


@pytest.mark.parametrize("cell", [cell(5) for cell in KINDS], ids=lambda cell: type(cell).__name__)
def test_is_a_linear_map_of_the_scan(cell):
    model = train.Readout(cell, input_size=3, output_size=2, every_step=True)
    params = model.init(jax.random.key(0))
    params = params._replace(bias=jnp.array([0.5, -1.0]))
    xs = jax.random.normal(jax.random.key(1), (4, 6, 3))
    outputs = np.asarray(recurrax.scan(cell, params.cell, xs).outputs, np.float64)
    expected = outputs @ np.asarray(params.kernel, np.float64) + np.array([0.5, -1.0])
    np.testing.assert_allclose(model.predict(params, xs), expected, atol=1e-6)
    last = train.Readout(cell, 3, 2, every_step=False)
    np.testing.assert_allclose(last.predict(params, xs), expected[-1], atol=1e-6)
    assert hash(last) == hash(train.Readout(cell, 3, 2, every_step=False))


def test_refuses_no_outputs():
    with pytest.raises(ValueError, match="output_size: expected a positive int, got 0"):
        train.Readout(recurrax.Elman(2), 1, 0, every_step=True).init(jax.random.key(0))


def test_symbols_are_looked_up_before_the_cell_sees_them():
    cell = recurrax.LSTM(5)
    plain, words = (train.Readout(cell, 3, 4, every_step=True, symbols=symbols) for symbols in (None, 7))
    params = words.init(jax.random.key(0))
    jax.tree.map(np.testing.assert_array_equal, params._replace(embedding=None), plain.init(jax.random.key(0)))
    ids = jax.random.randint(jax.random.key(1), (6, 2), 0, 7)
    one_hot = np.eye(7, dtype=np.float32)[np.asarray(ids)]
    expected = plain.predict(params._replace(embedding=None), jnp.asarray(one_hot @ np.asarray(params.embedding)))
    np.testing.assert_allclose(words.predict(params, ids), expected, atol=1e-6)
    # A symbol that does not occur gets no gradient, one that occurs does.
    slope = jax.grad(lambda params: jnp.sum(words.predict(params, ids) ** 2))(params).embedding
    occurs = np.isin(np.arange(7), ids)
    np.testing.assert_array_equal(np.abs(slope).sum(axis=1) > 0, occurs)


def test_embedded_symbols_have_about_the_norm_of_a_one_hot():
    params = train.Readout(recurrax.Elman(2), 50, 2, every_step=True, symbols=400).init(jax.random.key(0))
    # The mean of 400 x 50 squared normals of variance 1/50, times 50; five standard deviations.
    assert abs(float(jnp.mean(jnp.sum(params.embedding**2, axis=1))) - 1) < 5 * np.sqrt(2 / (400 * 50))


def test_refuses_symbols_that_are_none():
    with pytest.raises(ValueError, match="symbols: expected a positive int, got 0"):
        train.Readout(recurrax.Elman(2), 1, 1, every_step=True, symbols=0).init(jax.random.key(0))
    words = train.Readout(recurrax.Elman(2), 1, 1, every_step=True, symbols=3)
    with pytest.raises(ValueError, match=r"xs: expected whole numbers below 3, got float32 \(2, 1\)"):
        words.predict(words.init(jax.random.key(0)), jnp.ones((2, 1)))
