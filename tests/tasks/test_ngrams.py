"""N-grams of small texts by hand and in plain Python."""

import math
from collections import Counter, defaultdict
from fractions import Fraction

import numpy as np
import pytest

from recurrax.tasks import Characters
from recurrax.tasks.ngrams import ngram_log_probabilities


def exact(train, held, size, order):
    """The same by counting strings, in fractions: (order, M - order + 1)."""
    followers = defaultdict(Counter)
    for place in range(len(train)):
        for back in range(min(place, order - 1) + 1):
            followers[train[place - back : place]][train[place]] += 1

    def p(context, symbol):
        shorter = p(context[1:], symbol) if context else Fraction(1, size)
        after = followers[context]
        if not after:
            return shorter
        return (after[symbol] + len(after) * shorter) / Fraction(sum(after.values()) + len(after))

    places = range(order - 1, len(held))
    return [[p(held[place - n + 1 : place], held[place]) for place in places] for n in range(1, order + 1)]


def test_abracadabra_by_hand():
    """Among 11 symbols a 5, b 2, r 2, c 1, d 1; a is followed by b twice, by c and d once, and ends the text."""
    letters = {letter: number for number, letter in enumerate("abcdr")}
    train, held = ([letters[letter] for letter in text] for text in ("abracadabra", "ab"))
    one, two = np.exp(ngram_log_probabilities(np.array(train), np.array(held), size=5, order=2))[:, 0]
    of_b = (2 + 5 / 5) / (11 + 5)
    assert one == pytest.approx(of_b, rel=1e-12)
    assert two == pytest.approx((2 + 3 * of_b) / (4 + 3), rel=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3, 8])
def test_a_small_text_in_fractions(order):
    rng = np.random.default_rng(0)
    train, held = ("".join("abcd"[i] for i in rng.choice(4, n, p=[0.5, 0.3, 0.15, 0.05])) for n in (60, 25))
    ids = [np.array(["abcd".index(letter) for letter in text], np.uint8) for text in (train, held)]
    got = ngram_log_probabilities(*ids, size=4, order=order)
    expected = [[math.log(p) for p in row] for row in exact(train, held, 4, order)]
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_the_shares_of_all_symbols_add_up_to_1():
    train = np.random.default_rng(1).integers(0, 3, 40)
    for context in ([0, 1], [2, 2]):
        logs = [ngram_log_probabilities(train, np.array([*context, symbol]), 3, order=3)[:, 0] for symbol in range(3)]
        np.testing.assert_allclose(np.exp(logs).sum(axis=0), 1, rtol=1e-12)


def test_landmarks_on_held_out_characters_are_those_of_the_same_targets():
    task = Characters(length=5, max_bytes=20_000)
    ids, held = task.corpus.ids, task.held_out_ids
    places = 40 + np.linspace(0, len(held) - 41, 9).astype(int)
    landmarks = task.held_out_landmarks(9, longest=40, order=3)
    text, other = ("".join(map(chr, part)) for part in (ids, held))
    probabilities = exact(text, other, len(task.corpus.vocabulary), 3)
    for n, row in enumerate(probabilities, 1):
        loss = -np.mean([math.log(row[place - 2]) for place in places])
        assert landmarks[f"{n}-gram"] == pytest.approx(loss, rel=1e-9)
    for context in (1, 7, 40):
        batch = task.after_context(context, 9, longest=40)
        np.testing.assert_array_equal(batch.targets, held[places])
        np.testing.assert_array_equal(
            np.asarray(batch.xs).argmax(axis=-1).T, [held[place - context : place] for place in places]
        )


def test_refuses_contexts_that_the_held_out_text_lacks():
    task = Characters(length=5, max_bytes=20_000)
    with pytest.raises(ValueError, match="context: expected at most the longest, 256, got 257"):
        task.after_context(257, 4)
    with pytest.raises(ValueError, match=r"batch_size: .* 0 characters that .* 3000 before them, got 1"):
        task.after_context(1, 1, longest=3000)
