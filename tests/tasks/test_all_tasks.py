"""Laws every task keeps."""

from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recurrax import Elman, tasks, train
from tests import made_files
from tests.lags import at_least

LENGTH, ROWS = 20, 3
PAGE = Path(__file__).parents[2] / "docs" / "tasks.md"

pytestmark = pytest.mark.usefixtures("quick_compile")


NEEDS = {tasks.Digits: "sklearn"}
"""The package of an extra that brings a task's data."""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


@pytest.fixture(params=[*tasks.ALL, *made_files.MADE.values()], ids=lambda kind: kind.__name__)
def task(request, files):
    if request.param in NEEDS:
        pytest.importorskip(NEEDS[request.param], reason='data are missing: pip install "recurrax[data]"')
    made = request.param() if request.param in tasks.ALL else request.param(files)
    return at_least(LENGTH - 1, made)


def test_every_task_of_files_is_tried():
    assert {*made_files.MADE, tasks.JapaneseVowels} == set(tasks.OF_FILES)


@partial(jax.jit, static_argnums=(0, 2))
def batch_of(task, key, rows):
    """Compiled once for equal tasks."""
    return task.batch(key, rows)


def drawn(task, seed=0, rows=ROWS):
    return batch_of(task, jax.random.key(seed), rows)


def perfect(task, batch):
    """Predictions that know the targets."""
    if jnp.issubdtype(batch.targets.dtype, jnp.floating):
        return batch.targets
    return 100 * jax.nn.one_hot(batch.targets, task.output_size)


def rows_of(batch):
    """The bytes of each sequence and its targets."""
    axes = batch.batch_axes
    xs, targets = np.moveaxis(np.asarray(batch.xs), axes.xs, 0), np.moveaxis(np.asarray(batch.targets), axes.targets, 0)
    return [x.tobytes() + y.tobytes() for x, y in zip(xs, targets, strict=True)]


def test_keeps_the_contract(task):
    assert isinstance(task, tasks.Task)
    same = type(task)(**{field.name: getattr(task, field.name) for field in fields(task)})
    assert (task, hash(task)) == (same, hash(same))
    assert tasks.named(type(task).__name__.upper()) is type(task)
    assert type(task) in tasks.OF_FILES or type(task)()


def test_it_has_a_row_on_the_page_with_its_landmarks(task):
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith(f"| `{type(task).__name__}` |")]
    assert rows, f"docs/tasks.md: expected a row that begins with | `{type(task).__name__}` |"
    (row,) = rows
    if type(task) in tasks.ALL:
        said = row.split("|")[4]
        assert all(name.removeprefix("logistic regression ") in said for name in task.landmarks)


def test_shapes_follow_the_sizes_it_states(task):
    batch = drawn(task)
    assert jax.tree.leaves(batch.xs)[0].shape[1] == ROWS
    assert batch.every_step == task.every_step
    shape = (len(batch.targets), ROWS) if task.every_step else (ROWS,)
    loss = task.loss(jnp.zeros((*shape, task.output_size)), batch)
    assert loss.shape == ()
    assert np.isfinite(loss)
    assert all(np.isfinite(value) and value > 0 for value in task.landmarks.values())


def test_describes_itself_in_words_for_the_middle_of_a_sentence(task):
    for words in (task.describes, task.unit):
        assert words
        assert words[0].islower()
        assert not words.endswith(".")
        assert "\n" not in words
    assert at_least(40, task).describes.count("(") == 0


def test_lag_is_the_knob(task):
    least = at_least(1, task)
    for longer in (least.lag, least.lag + 1, least.lag + 33):
        again = least.with_lag(longer)
        assert again.lag == longer
        assert type(again) is type(task)
        assert again.with_lag(task.lag) == task
    with pytest.raises(ValueError, match=r"lag: expected an int of at least \d+, got 0"):
        task.with_lag(0)


def test_the_lag_fits_into_a_sequence(task):
    assert task.lag < len(jax.tree.leaves(drawn(task).xs)[0])


def test_a_readout_says_what_the_task_asks_for(task):
    model = train.Readout(Elman(4), task.input_size, task.output_size, task.every_step)

    def loss(key):
        batch = task.batch(key, ROWS)
        return task.loss(model.predict(model.init(key), batch.xs, batch.mask), batch)

    assert jax.eval_shape(loss, jax.random.key(0)).shape == ()


def test_held_out_batches_are_fixed_and_no_training_batch_holds_them(task):
    held_out = jax.jit(task.held_out, static_argnums=0)
    held = held_out(8)
    jax.tree.map(np.testing.assert_array_equal, held, held_out(8))
    known = set(rows_of(held))
    assert len(known) == 8
    for seed in range(20):
        assert not known <= set(rows_of(drawn(task, seed, rows=64)))


def test_a_batch_knows_the_axis_of_its_rows(task):
    batch, one = drawn(task), jax.eval_shape(lambda key: task.batch(key, 1), jax.random.key(0))
    lengths = jax.tree.map(lambda axis, leaf: leaf.shape[axis], batch.batch_axes, batch)
    assert jax.tree.leaves(lengths) == [ROWS] * len(jax.tree.leaves(batch))
    assert [leaf.size * ROWS for leaf in jax.tree.leaves(one)] == [leaf.size for leaf in jax.tree.leaves(batch)]
    weighted = replace(batch, weights=jnp.ones(batch.targets.shape[: 2 if task.every_step else 1]))
    assert weighted.batch_axes.weights == (1 if task.every_step else 0)
    np.testing.assert_allclose(
        task.loss(perfect(task, batch), weighted), task.loss(perfect(task, batch), batch), atol=1e-6
    )


def test_whoever_knows_the_targets_scores_1_and_whoever_knows_others_less(task):
    batch, other = drawn(task), drawn(task, seed=1)
    right, wrong = task.scores(perfect(task, batch), batch), task.scores(perfect(task, other), batch)
    assert right.keys() == wrong.keys()
    assert len(right) >= 1
    for name, score in right.items():
        assert score.shape == ()
        assert score == 1
        assert 0 <= wrong[name] < 1
    assert task.loss(perfect(task, batch), batch) == pytest.approx(0, abs=1e-6)


def test_an_unknown_task_is_refused_by_name():
    with pytest.raises(ValueError, match=r"task: unknown name 'paste'; expected one of Adding, Agreement"):
        tasks.named("paste")


def test_weights_choose_what_counts_in_a_score():
    logits = jnp.array([[[2.0, 0.0], [0.0, 1.0]], [[0.0, 3.0], [0.0, 1.0]]])  # (T, B, classes)
    batch = tasks.Batch(jnp.zeros((2, 2, 1)), jnp.array([[0, 1], [0, 0]]), every_step=True)
    assert tasks.accuracy(logits, batch) == 0.5
    assert tasks.exact_match(logits, batch) == 0.0
    first = replace(batch, weights=jnp.array([[1.0, 1.0], [0.0, 0.5]]))
    assert tasks.accuracy(logits, first) == pytest.approx(2 / 2.5)
    assert tasks.exact_match(logits, first) == 0.5
