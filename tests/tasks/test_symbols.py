"""Recall, Copy and TemporalOrder: targets read again from the inputs in plain Python, landmarks by brute force."""

import itertools
import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recurrax.tasks import Copy, Recall, TemporalOrder

MANY = 4000

pytestmark = pytest.mark.usefixtures("quick_compile")


def drawn(task, rows=MANY):
    """Symbols (T, B) as numbers, targets and the batch."""
    batch = jax.jit(task.batch, static_argnums=1)(jax.random.key(1), rows)
    xs = np.asarray(batch.xs)
    assert (np.sort(xs, axis=-1)[..., -1] == 1).all()
    assert (xs.sum(axis=-1) == 1).all()
    return xs.argmax(axis=-1), np.asarray(batch.targets), batch


def uniform(values, count):
    """Whether counts of equally likely values are within five standard deviations of binomial ones."""
    counts = np.bincount(np.ravel(values), minlength=count)
    expected = np.size(values) / count
    return len(counts) == count and (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()


def loss_of(task, batch, shares):
    """The loss of whoever gives these probabilities."""
    return float(task.loss(jnp.log(jnp.asarray(shares, jnp.float32) + 1e-30), batch))


@pytest.mark.parametrize("classes", [2, 4, 5])
def test_recall_asks_for_the_first_input(classes):
    task = Recall(length=7, classes=classes)
    ids, targets, batch = drawn(task)
    np.testing.assert_array_equal(ids[0], targets)
    assert (ids[1:] >= classes).all()
    assert uniform(targets, classes)
    assert uniform(ids[1:] - classes, classes)
    assert loss_of(task, batch, np.full((MANY, classes), 1 / classes)) == pytest.approx(task.landmarks["nothing known"])


def test_half_of_the_symbols_excluded_is_worth_what_the_landmark_says():
    task = Recall(length=5, classes=4)
    _, targets, batch = drawn(task)
    same_half = (np.arange(4) // 2)[None] == (targets // 2)[:, None]
    assert loss_of(task, batch, same_half / 2) == pytest.approx(
        task.landmarks["half of the symbols excluded"], rel=1e-6
    )
    for classes in (2, 3):
        assert list(Recall(classes=classes).landmarks) == ["nothing known"]


def test_on_the_ladder_every_lag_is_asked_for_and_judged_at_the_longest():
    task = Recall(length=9, ladder=True)
    ids, targets, _ = drawn(task)
    symbol = ids < 4
    assert (symbol.sum(axis=0) == 1).all()
    places = symbol.argmax(axis=0)
    assert uniform(places, 8), "all steps but the last"
    np.testing.assert_array_equal(ids[places, np.arange(MANY)], targets)
    held = task.held_out(16)
    np.testing.assert_array_equal(np.asarray(held.xs[0]).argmax(axis=-1), held.targets)
    jax.tree.map(np.testing.assert_array_equal, held, replace(task, ladder=False).held_out(16))


@pytest.mark.parametrize(("delay", "count"), [(1, 1), (1, 3), (6, 3), (4, 1)])
def test_copy_asks_for_the_symbols_in_order_from_the_sign_on(delay, count):
    task = Copy(delay=delay, count=count, classes=5)
    ids, targets, batch = drawn(task)
    assert len(ids) == 2 * count + delay - 1
    sign = count + delay - 1
    np.testing.assert_array_equal(ids[sign], 6)
    blanks = np.delete(ids[count:], delay - 1, axis=0)
    assert (blanks == 5).all()
    np.testing.assert_array_equal(targets[sign:], ids[:count])
    assert uniform(ids[:count], 5)
    expected = np.where(np.arange(len(ids))[:, None] >= sign, 1, 0)
    np.testing.assert_array_equal(batch.weights, np.broadcast_to(expected, targets.shape))
    assert task.lag == sign


def test_landmarks_of_copy_by_brute_force_over_all_sequences():
    task = Copy(delay=2, count=2, classes=3)
    sequences = np.array(list(itertools.product(range(3), repeat=2))).T  # (2, 9)
    batch = task.batch(jax.random.key(0), 9)
    targets = np.asarray(batch.targets).copy()
    targets[task.lag :] = sequences
    batch = replace(batch, targets=jnp.asarray(targets))
    nothing = np.full((*targets.shape, 3), 1 / 3)
    assert loss_of(task, batch, nothing) == pytest.approx(task.landmarks["nothing known"], rel=1e-6)
    but_one = nothing.copy()
    but_one[-1] = np.eye(3)[sequences[1]]
    assert loss_of(task, batch, but_one) == pytest.approx(task.landmarks["all but one known"], rel=1e-6)
    score = task.scores(jnp.asarray(but_one), batch)
    assert score["accuracy"] == pytest.approx(0.5 + 0.5 / 3)
    assert score["exact match"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("length", [3, 10, 23])
def test_temporal_order_asks_for_the_order_of_two_symbols(length):
    task = TemporalOrder(length)
    ids, targets, batch = drawn(task)
    symbol = ids < 2
    assert (symbol.sum(axis=0) == 2).all()
    p, q = symbol.argmax(axis=0), length - 1 - symbol[::-1].argmax(axis=0)
    every = np.arange(MANY)
    np.testing.assert_array_equal(targets, 2 * ids[p, every] + ids[q, every])
    for places, first, last in ((p, length // 10, length // 5), (q, 2 * length // 5, length // 2)):
        assert places.min() >= first
        assert uniform(places - first, last - first + 1)
    assert uniform(targets, 4)
    assert task.lag == length - 1 - p.min()
    assert loss_of(task, batch, np.full((MANY, 4), 0.25)) == pytest.approx(math.log(4))
    knows_first = (np.arange(4) // 2)[None] == ids[p, every][:, None]
    assert loss_of(task, batch, knows_first / 2) == pytest.approx(task.landmarks["one symbol known"], rel=1e-6)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Recall(length=1), "length: expected an int of at least 2, got 1"),
        (lambda: Recall(classes=1), "classes: expected an int of at least 2, got 1"),
        (lambda: Copy(delay=0), "delay: expected an int of at least 1, got 0"),
        (lambda: Copy(count=5).with_lag(4), "lag: expected an int of at least 5, got 4"),
        (lambda: TemporalOrder(2), "length: expected an int of at least 3, got 2"),
        (lambda: TemporalOrder(9).batch(jax.random.key(0), 0), "batch_size: expected an int of at least 1, got 0"),
    ],
)
def test_refuses_what_is_no_task(make, said):
    with pytest.raises(ValueError, match=said):
        make()
