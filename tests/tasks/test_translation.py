"""Dates and NumberWords: sources read again in plain Python, landmarks over all of them, and free-running decoding."""

import calendar
import datetime
import math
from collections import Counter
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recurrax import Elman, train
from recurrax.tasks import Dates, NumberWords
from recurrax.tasks.dates import characters
from recurrax.tasks.number_words import WORDS, in_words

FORMS = ("%d %B %Y", "%b %d, %Y", "%d.%m.%Y", "%m/%d/%Y")
ROWS = 4000

pytestmark = pytest.mark.usefixtures("quick_compile")
draw = jax.jit(lambda task, key, rows: task.batch(key, rows), static_argnums=(0, 2))


def read(task, rows=ROWS):
    batch = draw(task, jax.random.key(7), rows)
    return np.asarray(batch.xs).argmax(axis=-1), np.asarray(batch.targets), batch


def parsed(text):
    """The form and day of a text."""
    for form in FORMS:
        try:
            return form, datetime.datetime.strptime(text, form).date()
        except ValueError:
            continue
    raise AssertionError(text)


def test_dates_read_by_the_standard_library():
    ids, targets, _ = read(Dates(pad=2))
    known = "_" + characters()
    texts = ["".join(known[symbol] for symbol in column) for column in ids[:17].T]
    assert all(text == text.strip("_").rjust(17, "_") for text in texts)
    found = [parsed(text.strip("_")) for text in texts]
    said = ["".join(map(str, column)) for column in targets[-8:].T]
    assert [f"{day:%Y%m%d}" for _, day in found] == said
    counts = Counter(form for form, _ in found)
    assert max(abs(counts[form] - ROWS / 4) for form in FORMS) < 5 * math.sqrt(ROWS / 4)
    assert {day.year for _, day in found} == set(range(1900, 2000))


def test_the_answer_is_read_one_step_after_it_is_said():
    task = Dates(pad=2)
    ids, targets, batch = read(task, rows=50)
    sign = 1 + len(characters())
    assert (ids[17:19] == 0).all()
    assert (ids[19] == sign).all()
    np.testing.assert_array_equal(ids[20:] - sign - 1, targets[19:-1])
    np.testing.assert_array_equal(batch.weights[:, 0], [0] * 19 + [1] * 8)
    np.testing.assert_array_equal(batch.xs[20:], task.encode(batch.targets[19:-1]))
    assert task.lag == len(ids) - 1


def test_a_source_reversed_is_the_same_from_its_end():
    forward, backward = (read(Dates(pad=2, reverse=reverse), rows=50)[0] for reverse in (False, True))
    for one, other in zip(forward[:17].T, backward[:17].T, strict=True):
        source = one[one > 0]
        np.testing.assert_array_equal(other[-len(source) :], source[::-1])
        assert (other[: -len(source)] == 0).all()
    np.testing.assert_array_equal(forward[17:], backward[17:])


def test_landmarks_of_dates_over_the_whole_century():
    days = [datetime.date(1900, 1, 1) + datetime.timedelta(number) for number in range(36524)]
    assert days[-1] == datetime.date(1999, 12, 31)
    texts = [f"{day:%Y%m%d}" for day in days]
    landmarks = Dates().landmarks
    # Digit by digit, each from the frequencies of what follows the digits before it.
    total = 0.0
    for place in range(8):
        before, both = Counter(text[:place] for text in texts), Counter(text[: place + 1] for text in texts)
        total -= sum(n * math.log(n / before[text[:place]]) for text, n in both.items()) / len(texts)
        if place == 3:
            of_year = total
        if place == 5:
            of_month = total
    assert landmarks["nothing read"] == pytest.approx(total / 8, rel=1e-12)
    assert landmarks["nothing read"] == pytest.approx(1.3132, abs=5e-5)
    assert landmarks["year known"] == pytest.approx((total - of_year) / 8, rel=1e-9)
    assert landmarks["year known"] == pytest.approx(0.7375, abs=1e-4)
    assert landmarks["year and month known"] == pytest.approx((total - of_month) / 8, rel=1e-9)
    in_leap = sum(366 * math.log(366) if calendar.isleap(year) else 365 * math.log(365) for year in range(1900, 2000))
    assert landmarks["year known"] == pytest.approx(in_leap / 36524 / 8, rel=1e-12)


def spelled(number):
    """A number below a million in words, by recursion."""
    names = {word: value for value, word in enumerate(WORDS[:20])}
    names |= {word: 10 * tens for tens, word in enumerate(WORDS[20:28], 2)}
    exact = {value: word for word, value in names.items()}
    if number in exact:
        return [exact[number]]
    for size, word in ((1000, "thousand"), (100, "hundred")):
        if number >= size:
            rest = number % size
            return spelled(number // size) + [word] + (spelled(rest) if rest else [])
    return [exact[number - number % 10], exact[number % 10]]


def test_numbers_in_words_by_recursion():
    numbers = [0, 1, 10, 19, 20, 21, 99, 100, 101, 110, 999, 1000, 1001, 10_000, 19_020, 100_000, 300_300, 777_777]
    numbers += [999_999, *np.random.default_rng(0).integers(0, 10**6, 300).tolist()]
    said = np.asarray(in_words(jnp.array(numbers)))
    for number, column in zip(numbers, said.T, strict=True):
        assert [WORDS[word - 1] for word in column if word] == spelled(number)
    assert len(spelled(777_777)) == len(said) == 9


def test_number_words_and_their_digits():
    ids, targets, batch = read(NumberWords(pad=1))
    numbers = [int("".join(map(str, column))) for column in targets[-6:].T]
    for number, column in zip(numbers[:300], ids[:9].T, strict=False):
        words = [WORDS[word - 1] for word in column if word]
        assert words == spelled(number)
        assert (column[: 9 - len(words)] == 0).all()
    counts = np.bincount(targets[-6:].ravel(), minlength=10)
    assert np.abs(counts - 6 * ROWS / 10).max() < 5 * math.sqrt(6 * ROWS / 10)
    task = NumberWords(pad=1)
    guesses = jnp.zeros((*targets.shape, 10))
    assert task.loss(guesses, batch) == pytest.approx(task.landmarks["nothing read"], rel=1e-6)
    known = guesses.at[-6:-3].set(100 * jax.nn.one_hot(batch.targets[-6:-3], 10))
    assert task.loss(known, batch) == pytest.approx(task.landmarks["thousands known"], rel=1e-6)


def test_exact_match_is_that_of_free_running_decoding():
    task, rows = NumberWords(pad=0), 8
    model = train.Readout(Elman(16), task.input_size, task.output_size, task.every_step)
    params = model.init(jax.random.key(0))
    params = params._replace(kernel=8 * params.kernel)  # so that what it says depends on what it reads
    batch = draw(task, jax.random.key(1), rows)
    predict = jax.jit(model.predict)

    def free_running():
        xs, said = batch.xs, []
        for place in range(-6, 0):
            said.append(jnp.argmax(predict(params, xs)[place], axis=-1))
            if place < -1:
                xs = xs.at[place + 1].set(task.encode(said[-1]))
        return jnp.stack(said)

    said = free_running()
    assert len(np.unique(said, axis=1).T) > 1
    # Answers that are what it says, but for one digit in the last three rows, each at another place.
    answers = said
    for row, place in ((5, 0), (6, 3), (7, 5)):
        answers = answers.at[place, row].set((said[place, row] + 1) % 10)
    targets = batch.targets.at[-6:].set(answers)
    told = replace(batch, xs=batch.xs.at[-5:].set(task.encode(answers[:-1])), targets=targets)
    right = float(jnp.mean(jnp.all(said == answers, axis=0)))
    assert task.scores(predict(params, told.xs), told)["exact match"] == right == 5 / 8


def test_refuses_a_lag_that_the_source_and_answer_alone_exceed():
    with pytest.raises(ValueError, match="lag: expected an int of at least 24, got 23"):
        Dates().with_lag(23)
    with pytest.raises(ValueError, match="pad: expected an int of at least 0, got -1"):
        NumberWords(pad=-1)
