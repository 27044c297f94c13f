"""Padding never matters, bit for bit, in outputs and in every gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo
from tolerances import assert_close, assert_same_bits
from walks import draw

import recurrax
from recurrax import GRU, LSTM, Elman
from recurrax.check.trial import poisoned, valid_steps, value, value_and_grad

pytestmark = pytest.mark.usefixtures("quick_compile", "plain_style")

T, BATCH, D = 6, (4,), 2
CELLS = [Elman(3), LSTM(3), GRU(3), GRU(3, reset_after=False), zoo.gates.PeepholeLSTM(3)]


def with_rows(cell):
    given = draw(cell, T, BATCH, D)
    mask = np.ones((T, *BATCH), bool)
    mask[2, 0] = mask[0, 2] = False
    return given._replace(lengths=np.array([6, 0, 3, 1]), mask=mask)


@pytest.mark.parametrize(
    ("cell", "implementation"), [*((cell, "fused") for cell in CELLS), (LSTM(3), "reference")], ids=repr
)
def test_padding_changes_nothing(cell, implementation):
    given = with_rows(cell)
    expected = value_and_grad(cell, poisoned(given, 0.0), implementation=implementation)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(expected))
    for poison in (1e30, -1e30, np.inf, -np.inf, np.nan):
        assert_same_bits(value_and_grad(cell, poisoned(given, poison), implementation=implementation), expected)
    padding = ~valid_steps(given)
    np.testing.assert_array_equal(expected.result.outputs[padding], 0)
    np.testing.assert_array_equal(expected.xs[padding], 0)
    assert np.all(np.any(expected.xs != 0, axis=-1) == ~padding)


@pytest.mark.parametrize("implementation", ["fused", "reference"])
def test_a_length_of_zero_gives_the_carry_it_started_with(implementation):
    cell = LSTM(3)
    given = with_rows(cell)
    pulled = value_and_grad(cell, given, implementation=implementation)
    assert_same_bits(jax.tree.map(lambda leaf: leaf[1], pulled.result.carry), jax.tree.map(lambda c: c[1], given.carry))
    np.testing.assert_array_equal(pulled.result.outputs[:, 1], 0)
    through = jax.tree.map(lambda leaf: leaf[1], (pulled.carry, given.cotangents.carry))
    assert_same_bits(*through)


def test_what_the_cotangent_holds_at_padding_does_not_matter():
    cell = GRU(3)
    given = with_rows(cell)
    noisy = given.cotangents._replace(
        outputs=np.where(valid_steps(given)[..., None], given.cotangents.outputs, np.float32(1e9))
    )
    assert_same_bits(value_and_grad(cell, given._replace(cotangents=noisy)), value_and_grad(cell, given))


def test_lengths_are_a_mask():
    cell = LSTM(3)
    given = draw(cell, T, BATCH, D)._replace(lengths=np.array([6, 0, 3, 1]))
    as_mask = given._replace(lengths=None, mask=valid_steps(given))
    assert_same_bits(value(cell, given), value(cell, as_mask))


def test_full_lengths_are_no_lengths():
    cell = LSTM(3)
    given = draw(cell, T, BATCH, D)
    assert_close(value(cell, given._replace(lengths=np.full(BATCH, T))), value(cell, given), "float32")


def test_a_row_ends_where_its_length_says():
    """The carry after length n is the carry after the first n steps alone."""
    cell = GRU(3)
    given = draw(cell, T, BATCH, D)
    cut_short = value(cell, given._replace(lengths=np.full(BATCH, 4)))
    alone = value(cell, given._replace(xs=given.xs[:4]))
    assert_close(cut_short.carry, alone.carry, "float32")
    assert_close(cut_short.outputs[:4], alone.outputs, "float32")


@pytest.mark.parametrize("rows", [3, 9])
def test_padded_outputs_are_zero_without_a_derivative(rows):
    """The forward program alone, for few rows and for many."""
    cell, lengths = LSTM(3), np.arange(rows) % 4
    outputs = recurrax.scan(cell, cell.init(jax.random.key(0), 2), jnp.ones((4, rows, 2)), lengths=lengths).outputs
    valid = np.arange(4)[:, None] < lengths
    np.testing.assert_array_equal(np.any(outputs != 0, axis=-1), valid)
