"""The grammar written again as words and their followers, all its strings enumerated."""

import itertools
import math
from collections import Counter

import jax
import numpy as np
import pytest

from recurrax.tasks import Reber

pytestmark = pytest.mark.usefixtures("quick_compile")

GRAMMAR = {
    "start": "T:one P:two",
    "one": "S:one X:three",
    "two": "T:two V:four",
    "three": "X:two S:end",
    "four": "P:three V:end",
}


def strings(length, state="start"):
    """Every way from a state to the end in that many symbols."""
    if state == "end":
        return [""] if length == 0 else []
    if length == 0:
        return []
    edges = (edge.split(":") for edge in GRAMMAR[state].split())
    return [symbol + rest for symbol, following in edges for rest in strings(length - 1, following)]


def embedded(inner):
    return [f"B{o}B{middle}E{o}E" for o in "TP" for middle in strings(inner - 2)]


def loss_of_the_best(texts, forgets=False):
    """Mean nats per symbol of who knows all strings and what came before, without the outer symbol if it forgets."""
    total = 0.0
    for place in range(1, len(texts[0])):
        seen = [text[0] + text[2:place] if forgets and place > 1 else text[:place] for text in texts]
        said = [before + text[place] for before, text in zip(seen, texts, strict=True)]
        before, after = Counter(seen), Counter(said)
        total -= sum(math.log(after[text] / before[text[:-1]]) for text in said)
    return total / len(texts) / (len(texts[0]) - 1)


@pytest.mark.parametrize("inner", [5, 6, 9])
def test_landmarks_by_brute_force_over_all_strings(inner):
    texts, task = embedded(inner), Reber(inner)
    assert len(set(texts)) == len(texts)
    assert task.floor == pytest.approx(loss_of_the_best(texts), rel=1e-12)
    assert task.landmarks["outer symbol forgotten"] == pytest.approx(loss_of_the_best(texts, forgets=True), rel=1e-12)
    assert task.landmarks["nothing known"] == math.log(7)


def test_all_strings_of_a_length_are_drawn_and_equally_often():
    task, rows = Reber(inner=9), 40_000
    batch = jax.jit(task.batch, static_argnums=1)(jax.random.key(2), rows)
    read = np.concatenate([np.asarray(batch.xs).argmax(axis=-1), np.asarray(batch.targets)[-1:]])
    np.testing.assert_array_equal(read[1:], batch.targets)
    drawn = Counter("".join("BTPSXVE"[symbol] for symbol in column) for column in read.T)
    texts = embedded(9)
    assert set(drawn) == set(texts)
    expected = rows / len(texts)
    assert max(abs(drawn[text] - expected) for text in texts) < 5 * math.sqrt(expected)


def test_the_outer_symbol_is_asked_for_after_the_inner_string():
    task = Reber(inner=7)
    batch = jax.jit(task.batch, static_argnums=1)(jax.random.key(0), 50)
    read = np.asarray(batch.xs).argmax(axis=-1)
    asked = len(read) - 2  # whatever is read there, E
    assert (read[asked] == "BTPSXVE".index("E")).all()
    np.testing.assert_array_equal(batch.targets[asked], read[asked - task.lag])
    scores = task.scores(100 * jax.nn.one_hot(batch.targets.at[-2].set(1), 7), batch)
    ts = float((batch.targets[-2] == 1).mean())
    assert scores["outer symbol"] == pytest.approx(ts)
    assert scores["accuracy"] == pytest.approx(1 - (1 - ts) / len(batch.targets))


def test_how_many_strings_there_are():
    known = [len(strings(inner - 2)) for inner in range(5, 13)]
    exact = [round(math.exp(Reber(inner).floor * (inner + 3)) / 2) for inner in range(5, 13)]
    assert exact == known
    assert all(later >= sooner for sooner, later in itertools.pairwise(known))
    long = Reber(inner=256).floor
    assert 0 < long < math.log(2), "a symbol is a fair coin at the most"


def test_refuses_what_no_string_has():
    with pytest.raises(ValueError, match="inner: expected an int of at least 5, got 4"):
        Reber(inner=4)
