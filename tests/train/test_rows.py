"""Rows that differ in seed, draw, rate or clip: each trains as it would alone, all in one program."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from recurrax import LSTM, Elman, tasks, train

STEPS = 15
TRUTH = np.array([1.0, -2.0, 0.5], np.float32)


def batch(key):
    xs = jax.random.normal(key, (8, 3))
    return xs, xs @ TRUTH


def loss(params, batch):
    return jnp.mean((batch[0] @ params - batch[1]) ** 2)


def normal(key):
    return jax.random.normal(key, (3,))


def zeros(key):
    return jnp.zeros(3)


ROWS = (
    train.Row(4, normal, {"learning_rate": 0.1}),
    train.Row(4, zeros, {"learning_rate": 0.1}, max_norm=0.5),
    train.Row(9, normal, {"learning_rate": 0.02}),
    train.Row(4, normal, {"learning_rate": 0.1}, max_norm=0.5),
)


def training(**changes):
    settings = dict(loss=loss, init=None, optimizer=optax.adam, batch=batch, rows=ROWS, steps=STEPS, chunk=6)
    return train.Training(**(settings | changes))


def alone(row, **changes):
    """The training of one row in plain terms."""
    settings = dict(
        init=row.init, optimizer=optax.adam(row.arguments["learning_rate"]), rows=(), seeds=(row.seed,),
        max_norm=row.max_norm or np.inf,
    )  # fmt: skip
    return train.fit(training(**(settings | changes)), progress=False)


@pytest.fixture(scope="module")
def fitted():
    return train.fit(training(), progress=False)


@pytest.mark.parametrize("number", range(len(ROWS)))
def test_a_row_trains_as_it_would_alone(fitted, number):
    one = alone(ROWS[number])
    np.testing.assert_allclose(fitted.metrics.loss[:, number], one.metrics.loss[:, 0], rtol=1e-5)
    np.testing.assert_allclose(fitted.state.params[number], one.state.params[0], rtol=1e-5)
    np.testing.assert_array_equal(fitted.metrics.clipped[:, number], one.metrics.clipped[:, 0])


def test_rows_of_one_seed_see_the_same_batches_and_draw_the_same_parameters():
    seen = train.fit(
        training(metrics=lambda params, batch: {"first": batch[0][0, 0]}, probes={"key": lambda w, key: key_bits(key)},
                 probe_steps=(0,)),
        progress=False,
    )  # fmt: skip
    first, keys = seen.metrics.scores["first"], seen.probes["key"][0]
    for other in (1, 3):
        np.testing.assert_array_equal(first[:, 0], first[:, other])
        np.testing.assert_array_equal(keys[0], keys[other])
    assert (first[:, 0] != first[:, 2]).all()
    start = next(train.chunks(training(probes={"w": lambda w, key: w}, probe_steps=(0,)))).probes["w"]
    np.testing.assert_array_equal(start[0], normal(train.init_key(4)))
    np.testing.assert_array_equal(start[3], start[0])
    np.testing.assert_array_equal(start[1], np.zeros(3))


def key_bits(key):
    return jax.random.key_data(key)


def test_side_by_side_is_one_after_another(fitted):
    beside = train.fit(training(vmap=True), progress=False)
    np.testing.assert_allclose(beside.metrics.loss, fitted.metrics.loss, rtol=1e-5)


def test_resuming_gives_the_same_bits_and_other_rows_are_refused(fitted):
    head = next(train.chunks(training()))
    tail = train.fit(training(), jax.tree.map(jnp.asarray, jax.tree.map(np.asarray, head.state)), progress=False)
    jax.tree.map(np.testing.assert_array_equal, tail.state, fitted.state)
    faster = (*ROWS[:3], train.Row(4, normal, {"learning_rate": 0.2}, max_norm=0.5))
    with pytest.raises(ValueError, match=r"state: its rows have Settings\(.*, not Settings\(.*"):
        train.fit(training(rows=faster), head.state, progress=False)


@pytest.fixture
def compiled(monkeypatch):
    """Names of the functions that XLA compiles meanwhile."""
    names = []

    def count(event, seconds, **details):
        if event.endswith("backend_compile_duration"):
            names.append(details["fun_name"])

    jax.monitoring.register_event_duration_secs_listener(count)
    yield names
    jax.monitoring.clear_event_listeners()


def arm(cell, task, scale):
    """A training of one step on a task, its parameters drawn `scale` times as large as is usual."""
    model = train.Readout(cell, task.input_size, task.output_size, task.every_step, implementation="reference")
    return train.Training(
        loss=lambda params, batch: task.loss(model.predict(params, batch.xs), batch),
        init=lambda key: jax.tree.map(lambda leaf: scale * leaf, model.init(key)),
        optimizer=optax.adam(1e-3),
        batch=lambda key: task.batch(key, 2),
        steps=1,
        chunk=2,
    )


@pytest.mark.usefixtures("quick_compile")
def test_arms_that_draw_differently_compile_once_per_kind_of_cell_and_length(compiled):
    """24 configurations over 13 lengths are 39 programs by the same rule; here 5 over 2 are 4."""
    kinds = [Elman(2), Elman(2)], [LSTM(2, forget_bias=0.0), LSTM(2, forget_bias=1.0), LSTM(2, forget_bias=3.0)]
    for length in (3, 4):
        for number, cell in enumerate(cell for kind in kinds for cell in kind):
            train.fit(arm(cell, tasks.Adding(length), 1 + 0.1 * number), progress=False)
    assert compiled.count("jit(run)") == len(kinds) * 2


def test_what_computes_something_else_is_another_program(compiled):
    def first_loss(scale):
        scaled = training(loss=lambda w, batch: scale * loss(w, batch), rows=ROWS[:1], steps=1)
        return train.fit(scaled, progress=False).metrics.loss[0, 0]

    one, two, again = (first_loss(scale) for scale in (1.0, 2.0, 1.0))
    np.testing.assert_allclose(two, 2 * one, rtol=1e-6)
    assert again == one
    assert compiled.count("jit(run)") == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rows": (), "init": None}, "init: expected in row 0, since the training has none"),
        ({"seeds": (1, 2)}, r"seeds: expected none beside rows, which have their own, got \[1, 2\]"),
        ({"rows": (train.Row(-1, zeros),)}, r"rows: expected a seed in 0..2\^32-1 in row 0, got -1"),
        ({"optimizer": optax.adam(0.1)}, "optimizer: expected a function of learning_rate, such as optax.adam"),
        (
            {"rows": (*ROWS, train.Row(0, zeros))},
            r"rows: expected numbers for the arguments \['learning_rate'\] in row 4, got \{\}",
        ),
        (
            {"rows": (train.Row(0, zeros, {"learning_rate": np.nan}),)},
            r"rows: expected numbers for the arguments .* in row 0, got \{'learning_rate': nan\}",
        ),
        ({"rows": (train.Row(0, zeros, max_norm=0.0),)}, "rows: expected a positive max_norm in row 0, got 0.0"),
    ],
)
def test_refuses_rows_that_cannot_be_meant(changes, said):
    with pytest.raises(ValueError, match=said):
        training(**changes)


def test_refuses_parameters_of_two_shapes():
    rows = (ROWS[0], train.Row(0, lambda key: jnp.zeros(2), {"learning_rate": 0.1}))
    with pytest.raises(ValueError, match=r"rows: expected parameters of the same shapes, .*3.* in row 0, .*2.* row 1"):
        train.fit(training(rows=rows), progress=False)


def test_a_row_that_fails_is_named_by_its_place_where_seeds_repeat():
    rows = tuple(train.Row(4, normal, {"learning_rate": rate}) for rate in (0.1, 1e30))
    with pytest.raises(train.NonFiniteError, match="not finite: row 1, seed 4, at step 1 in "):
        train.fit(training(rows=rows, optimizer=optax.sgd), progress=False)
