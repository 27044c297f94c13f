"""Sentiment and Agreement: sentences read again in plain Python, landmarks by brute force."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recurrax.tasks import Agreement, Sentiment

pytestmark = pytest.mark.usefixtures("quick_compile")
ROWS = 8000


def read(task):
    batch = jax.jit(task.batch, static_argnums=1)(jax.random.key(5), ROWS)
    return np.asarray(batch.xs).argmax(axis=-1), np.asarray(batch.targets), batch


def share(values, expected):
    """Whether a fraction is within five standard deviations of a binomial one."""
    return abs(np.mean(values) - expected) < 5 * math.sqrt(expected * (1 - expected) / np.size(values))


def test_sentiment_by_reading_the_words():
    task = Sentiment(filler=4, gap=3)
    words, targets, _ = read(task)
    kinds = np.array(["noun"] * 8 + ["not"] * 4 + ["bad"] * 4 + ["good"] * 4 + ["filler"] * 8)[words]
    assert (kinds[0] == "noun").all()
    assert np.isin(kinds[1], ["not", "filler"]).all()
    assert np.isin(kinds[5], ["good", "bad"]).all()
    assert (np.delete(kinds, [0, 1, 5], axis=0) == "filler").all()
    negated, good = kinds[1] == "not", kinds[5] == "good"
    np.testing.assert_array_equal(targets, good != negated)
    assert share(negated, 0.25)
    assert share(good[negated], 0.5)
    assert share(words == 9, 0.25 / 4 / len(words))
    assert task.lag == len(words) - 1 - 1


def test_landmarks_of_sentiment_by_brute_force():
    cases = list(itertools.product([True, False, False, False], [True, False]))  # negated, good; equally likely

    def entropy(known):
        total = 0.0
        for case in cases:
            alike = [other for other in cases if known(other) == known(case)]
            total -= math.log(sum((a != b) == (case[0] != case[1]) for a, b in alike) / len(alike))
        return total / len(cases)

    landmarks = Sentiment().landmarks
    assert landmarks["nothing known"] == pytest.approx(entropy(lambda case: None))
    assert landmarks["nothing known"] == pytest.approx(entropy(lambda case: case[0])), "the negator alone says nothing"
    assert landmarks["polar word known"] == pytest.approx(entropy(lambda case: case[1]), rel=1e-12)
    assert landmarks["polar word known"] == pytest.approx(0.5623, abs=5e-5)
    assert entropy(lambda case: case) == 0


def test_agreement_by_reading_the_words():
    task = Agreement(clause=5)
    words, targets, batch = read(task)
    np.testing.assert_array_equal(targets[:-1], words[1:])
    assert (words[0] < 8).all()
    assert np.isin(words[1:5], [*range(8), *range(16, 20)]).all()
    assert (words[5] == 20).all()
    verbs = targets[-1]
    np.testing.assert_array_equal(verbs >= 12, words[0] >= 4)
    assert np.isin(verbs, range(8, 16)).all()
    assert share(words[1:5] < 8, 2 / 3)
    assert share(verbs % 4 == 1, 1 / 4)
    assert share(words[0] >= 4, 1 / 2)
    np.testing.assert_array_equal(np.asarray(batch.weights), targets != 20)


def test_landmarks_of_agreement_are_what_such_predictors_lose():
    task = Agreement(clause=4)
    words, targets, batch = read(task)
    clause = np.zeros(21)
    clause[[*range(8), *range(16, 20)]] = 1 / 12
    shares = np.tile(clause, (*targets.shape, 1))
    shares[-1] = 0
    shares[-1, :, 8:16] = 1 / 8
    loss = float(task.loss(jnp.log(jnp.asarray(shares) + 1e-30), batch))
    assert loss == pytest.approx(task.landmarks["number forgotten"], rel=1e-5)
    plural = words[0] >= 4
    shares[-1, :, 8:12] = np.where(plural, 0, 1 / 4)[:, None]
    shares[-1, :, 12:16] = np.where(plural, 1 / 4, 0)[:, None]
    knows = jnp.log(jnp.asarray(shares) + 1e-30)
    assert float(task.loss(knows, batch)) == pytest.approx(task.floor, rel=1e-5)
    gained = task.landmarks["number forgotten"] - task.floor
    assert gained * batch.weights[:, 0].sum() == pytest.approx(math.log(2))
    assert task.scores(knows, batch)["verb number"] == 1
    attracted = knows.at[-1].set(jax.nn.one_hot(8, 21))
    assert task.scores(attracted, batch)["verb number"] == pytest.approx(1 - plural.mean())
    assert task.scores(knows.at[-1].set(jax.nn.one_hot(3, 21)), batch)["verb number"] == 0


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Sentiment(filler=-1), "filler: expected an int of at least 0, got -1"),
        (lambda: Sentiment(gap=4).with_lag(4), "lag: expected an int of at least 5, got 4"),
        (lambda: Agreement(clause=1), "clause: expected an int of at least 2, got 1"),
    ],
)
def test_refuses_what_is_no_sentence(make, said):
    with pytest.raises(ValueError, match=said):
        make()
