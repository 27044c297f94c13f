"""One mask per sequence, of units or of weights: closed forms of a diagonal linear cell, and what keys promise.

Of a diagonal kernel a unit's one weight is dropped by either wrapper.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tolerances import assert_close, assert_same_bits

import recurrax
from recurrax import GRU, LSTM, Dropout, Elman, IndRNN, MinGRU, Residual, Stack, WeightDrop, check_cell, lag, with_key
from recurrax.kernels import jaxprs

pytestmark = pytest.mark.usefixtures("quick_compile", "plain_style")

RATE, GAIN, T, ROWS = 0.25, 0.5, 3, 2048

either = pytest.mark.parametrize("kind", [Dropout, WeightDrop])


def diagonal(size):
    """An Elman cell h_t = GAIN h_tm1 + x_t, as parameters of `Dropout(Elman(size, "identity"))`."""
    params = Elman(size, activation="identity").init(jax.random.key(0), size)
    return params._replace(kernel=jnp.eye(size)[:, None], recurrent_kernel=GAIN * jnp.eye(size)[:, None])


def equations(eqns):
    """The equations of a trace and of what they call, but for loops, whose bodies are left out."""
    for eqn in eqns:
        yield eqn
        if eqn.primitive.name != "scan":
            yield from equations(jaxprs.inner_equations(eqn))


def keyed(cell, params, rows, key=1):
    return with_key(cell.initial_carry(params, (rows,), jnp.float32), jax.random.key(key))


@either
def test_a_unit_is_dropped_for_a_whole_sequence_and_no_unit_at_the_mean_of_others(kind):
    """h_3 from ones is 1 where the unit is dropped, else 1 + r + r² with r = GAIN/(1 - rate): nothing between."""
    cell, params = kind(Elman(2, activation="identity"), RATE), diagonal(2)
    h = recurrax.scan(cell, params, jnp.ones((T, ROWS, 2)), keyed(cell, params, ROWS)).outputs[-1]
    r = GAIN / (1 - RATE)
    dropped = np.isclose(h, 1.0)
    np.testing.assert_allclose(h, np.where(dropped, 1.0, 1 + r + r**2), rtol=1e-6)
    # Five standard errors of a binomial share; rows and units are independent, so that pairs are dropped at rate².
    for share, expected in ((dropped.mean(), RATE), (dropped.all(axis=1).mean(), RATE**2)):
        assert abs(share - expected) < 5 * np.sqrt(expected * (1 - expected) / ROWS)


@either
def test_the_mean_over_masks_of_one_step_is_the_cell_without_a_key(kind):
    cell, params = kind(Elman(2, activation="identity"), RATE), diagonal(2)
    carry = keyed(cell, params, ROWS)
    carry = carry._replace(cell=jax.tree.map(jnp.ones_like, carry.cell))
    mean = recurrax.scan(cell, params, jnp.ones((1, ROWS, 2)), carry).outputs.mean()
    # GAIN m/(1 - rate) has variance GAIN² rate/(1 - rate).
    assert abs(mean - (1 + GAIN)) < 5 * GAIN * np.sqrt(RATE / (1 - RATE) / (2 * ROWS))


def test_without_a_key_it_is_the_cell():
    cell, xs = Dropout(LSTM(4), RATE), jax.random.normal(jax.random.key(1), (5, 2, 3))
    params = cell.init(jax.random.key(0), 3)
    got, expected = recurrax.scan(cell, params, xs), recurrax.scan(LSTM(4), params, xs)
    assert_same_bits((got.outputs, got.carry.cell), tuple(expected))


def test_halves_are_the_whole_and_an_episode_keeps_its_row_s_mask():
    cell = Stack([Dropout(Elman(4), 0.5), Residual(WeightDrop(GRU(4), 0.5))])
    params, xs = cell.init(jax.random.key(0), 3), jax.random.normal(jax.random.key(1), (6, 3, 3))
    carry = keyed(cell, params, 3)
    whole = recurrax.scan(cell, params, xs, carry)
    first = recurrax.scan(cell, params, xs[:3], carry)
    second = recurrax.scan(cell, params, xs[3:], first.carry)
    assert_close(jnp.concatenate([first.outputs, second.outputs]), whole.outputs, "float32")
    resets = jnp.zeros((6, 3), bool).at[3].set(True)
    afresh = recurrax.scan(cell, params, xs, carry, resets=resets).outputs[3:]
    assert_close(afresh, recurrax.scan(cell, params, xs[3:], carry).outputs, "float32")
    other = recurrax.scan(cell, params, xs, keyed(cell, params, 3, key=2)).outputs
    assert float(jnp.abs(other - whole.outputs).max()) > 1e-2


@either
def test_an_instrument_measures_through_the_mask(kind):
    """|∂h_{T-1}/∂h_{T-1-k}| of a row is r^k over the units that are kept, 0 from lag 1 on over the others."""
    cell, params = kind(Elman(2, activation="identity"), RATE), diagonal(2)
    xs, carry = jnp.ones((4, 16, 2)), keyed(cell, params, 16)
    kept = ~np.isclose(recurrax.scan(cell, params, xs, carry).outputs[-1], 1.0)  # (16, 2)
    profile = lag.adjoint_profile(cell, params, xs, carry=carry)
    k = np.arange(1, 4)[:, None]
    squares = ((GAIN / (1 - RATE)) ** (2 * k)) * kept.sum(axis=1)
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(profile.log_norm_joint[1:], np.log(squares) / 2, atol=1e-5)
    assert profile.log_norm.key is None


def test_it_obeys_the_laws_with_keys():
    """`tests/long/cells.py` checks `WeightDrop` too."""
    assert check_cell(Dropout(Elman(4), 0.5), dtypes=("float32",)).broken == ()


@either
def test_a_mask_is_drawn_before_the_loop(kind):
    cell, xs = kind(LSTM(4), 0.5), jnp.ones((5, 2, 3))
    params = cell.init(jax.random.key(0), 3)
    carry = keyed(cell, params, 2)

    def loss(params):
        return jnp.sum(recurrax.scan(cell, params, xs, carry).outputs)

    found = list(equations(jax.make_jaxpr(jax.grad(loss))(params).jaxpr.eqns))
    loops = [eqn for eqn in found if eqn.primitive.name == "scan"]
    assert len(loops) == 2  # one forward, one backward
    assert any(eqn.primitive.name == "random_bits" for eqn in found)
    assert "random_bits" not in str(loops)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dropout(LSTM(2), 1.0), "rate: expected a float from 0 to below 1, got 1.0"),
        (lambda: Dropout(Stack([LSTM(2)]), 0.5), "cell: expected one layer"),
        (lambda: WeightDrop(LSTM(2), -0.5), "rate: expected a float from 0 to below 1, got -0.5"),
        (lambda: WeightDrop(Stack([LSTM(2)]), 0.5), "cell: expected one layer"),
        (lambda: WeightDrop(IndRNN(2), 0.5).init(jax.random.key(0), 2), "cell: expected one whose recur has a matrix"),
        (lambda: Dropout(MinGRU(2), 0.5).init(jax.random.key(0), 2), "cell: expected one whose recur reads the state"),
    ],
)
def test_what_cannot_be_dropped_is_refused(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()
