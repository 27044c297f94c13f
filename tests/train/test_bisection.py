import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from recurrax import train

LAGS = train.lag_grid(8, 256)


def test_brackets_the_lag_at_which_each_row_begins_to_fail():
    truth = np.random.default_rng(0).uniform(4, 400, 200)
    found = train.failing_lag(lambda lag, rows: lag <= truth[rows], len(truth), LAGS)
    assert (found.solved <= truth).all()
    assert (truth < found.failed).all()
    for low, high in zip(found.solved, found.failed, strict=True):
        assert (low, high) in [*zip((0, *LAGS), (*LAGS, np.inf), strict=True)]
    # Half of the grid's ratio of √2, and a little for its rounding; beyond the grid, ranked first or last.
    within = (truth >= LAGS[0]) & (truth < LAGS[-1])
    assert (np.abs(np.log2(found.middle[within] / truth[within])) < 0.3).all()
    assert (found.middle[truth < LAGS[0]] == 0).all()
    assert np.isinf(found.middle[truth >= LAGS[-1]]).all()


def test_asks_about_each_lag_once_and_about_each_row_seldom():
    asked = []

    def solves(lag, rows):
        asked.append((lag, rows.tolist()))
        return lag <= np.arange(0, 300, 10)[rows]

    train.failing_lag(solves, 30, LAGS)
    lags = [lag for lag, _ in asked]
    assert len(set(lags)) == len(lags) <= len(LAGS)
    counts = np.bincount([row for _, rows in asked for row in rows])
    assert counts.max() <= np.ceil(np.log2(len(LAGS) + 1))
    assert counts.min() >= 1


def test_over_real_trainings_each_row_fails_where_its_rate_says():
    """Descent on (w - 1)² / lag from 0: the loss times lag is (1 - 2 rate / lag)^(2 step), and 30 losses are seen.

    It comes to 0.01 if lag <= 2 rate / (1 - 0.01^(1/58)) = 26.2 rate.
    """
    rates = np.array([0.02, 0.1, 0.4, 0.2])

    def solves(lag, rows):
        training = train.Training(
            loss=lambda w, ones: jnp.mean((w - ones) ** 2) / lag,
            init=lambda key: jnp.zeros(()),
            optimizer=optax.sgd,
            batch=lambda key: jnp.ones(2) + 0 * jax.random.uniform(key),
            rows=[train.Row(0, None, {"learning_rate": rates[row]}) for row in rows],
            steps=30,
            stop=train.Target(0.01 / lag),
        )
        return train.fit(training, progress=False).state.stopped_at >= 0

    assert train.failing_lag(solves, len(rates), train.lag_grid(1, 8)).texts() == ["< 1", "2 to 3", "> 8", "4 to 6"]


@pytest.mark.parametrize("lags", [(), (4, 4), (5, 3), (0, 1)])
def test_refuses_lags_that_do_not_increase(lags):
    with pytest.raises(ValueError, match="lags: expected positive ints, each above the one before"):
        train.failing_lag(lambda lag, rows: rows > 0, 2, lags)


def test_refuses_what_is_no_grid_and_no_answer():
    with pytest.raises(ValueError, match="expected 1 <= shortest <= longest, got 9 and 8"):
        train.lag_grid(9, 8)
    with pytest.raises(ValueError, match=r"solves: expected an answer for each of 3 rows, got shape \(1,\)"):
        train.failing_lag(lambda lag, rows: np.array([True]), 3, LAGS)
