"""A target ends a row, skips its work, and changes no number before."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from recurrax import runs, train

STEPS, CHUNK, WINDOW, GOAL = 60, 8, 5, 0.02


def batch(key):
    xs = jax.random.normal(key, (8, 3))
    return xs, xs @ jnp.array([1.0, -2.0, 0.5])


def loss(params, batch):
    return jnp.mean((batch[0] @ params - batch[1]) ** 2)


def training(**changes):
    settings = dict(
        loss=loss, init=lambda key: jax.random.normal(key, (3,)), optimizer=optax.adam, batch=batch, steps=STEPS,
        chunk=CHUNK, stop=train.Target(GOAL, WINDOW),
        rows=[train.Row(seed, None, {"learning_rate": rate}) for seed in (0, 1) for rate in (0.2, 0.1, 0.001)],
    )  # fmt: skip
    return train.Training(**(settings | changes))


@pytest.fixture(scope="module")
def stopped():
    return train.fit(training(), progress=False)


@pytest.fixture(scope="module")
def going_on():
    return train.fit(training(stop=None), progress=False)


def expected_stops(losses):
    """By the definition, in plain Python: after which step the mean of the last losses is first low enough."""
    stops = []
    for curve in losses.T.astype(float).tolist():
        means = [sum(curve[end - WINDOW : end]) / WINDOW for end in range(WINDOW, len(curve) + 1)]
        stops.append(next((end + WINDOW for end, mean in enumerate(means) if mean <= GOAL), -1))
    return stops


def test_a_row_ends_when_its_mean_loss_is_low_enough_and_not_before(stopped, going_on):
    stops = expected_stops(going_on.metrics.loss)
    assert stopped.state.stopped_at.tolist() == stops
    assert -1 in stops
    assert len({stop for stop in stops if stop > 0}) > 1
    for row, stop in enumerate(stops):
        taken = STEPS if stop < 0 else stop
        np.testing.assert_array_equal(stopped.metrics.loss[:taken, row], going_on.metrics.loss[:taken, row])
        assert np.isnan(stopped.metrics.loss[taken:, row]).all()
        assert not stopped.metrics.clipped[taken:, row].any()


@pytest.mark.parametrize("changes", [{"chunk": 7}, {"chunk": 1}, {"chunk": STEPS}])
def test_the_chunk_does_not_matter_bit_for_bit(stopped, changes):
    other = train.fit(training(**changes), progress=False)
    jax.tree.map(np.testing.assert_array_equal, other.state, stopped.state)
    jax.tree.map(np.testing.assert_array_equal, other.metrics, stopped.metrics)


def test_going_on_from_any_chunk_gives_the_same_bits(stopped):
    parts = list(train.chunks(training()))
    for part in parts[:-1]:
        state = jax.tree.map(jnp.asarray, jax.tree.map(np.asarray, part.state))
        tail = train.fit(training(), state, progress=False)
        jax.tree.map(np.testing.assert_array_equal, tail.state, stopped.state)
        np.testing.assert_array_equal(tail.metrics.loss, stopped.metrics.loss[int(part.state.step) :])


def test_side_by_side_rows_end_as_one_after_another(stopped):
    beside = train.fit(training(vmap=True), progress=False)
    assert beside.state.stopped_at.tolist() == stopped.state.stopped_at.tolist()
    np.testing.assert_allclose(beside.metrics.loss, stopped.metrics.loss, rtol=1e-4, atol=1e-6)


def test_a_metric_can_be_the_target(stopped):
    def half(params, batch):
        return {"half": loss(params, batch) / 2}

    other = train.fit(training(metrics=half, stop=train.Target(GOAL / 2, WINDOW, "half")), progress=False)
    assert other.state.stopped_at.tolist() == stopped.state.stopped_at.tolist()
    with pytest.raises(ValueError, match="metrics: expected a function that gives 'half', as stop needs it, got None"):
        training(stop=train.Target(1.0, metric="half"))
    with pytest.raises(ValueError, match=r"metrics: expected 'whole', as stop needs it, got \{'half'"):
        train.fit(training(metrics=half, stop=train.Target(1.0, metric="whole")), progress=False)


def test_no_row_ends_before_its_window_is_full():
    fitted = train.fit(training(stop=train.Target(1e9, WINDOW), steps=2 * WINDOW), progress=False)
    assert fitted.state.stopped_at.tolist() == [WINDOW] * len(training().rows)


def test_steps_that_are_not_taken_are_not_computed():
    done = []

    def counted(params, batch):
        jax.debug.callback(lambda: done.append(None))
        return loss(params, batch)

    fast = [train.Row(seed, None, {"learning_rate": 0.2}) for seed in (0, 1)]
    fitted = train.fit(training(loss=counted, rows=fast, chunk=STEPS), progress=False)
    jax.effects_barrier()
    assert (fitted.state.stopped_at > 0).all()
    assert len(done) == fitted.state.stopped_at.sum() < 2 * STEPS


def test_when_all_have_ended_only_probes_are_left():
    fast = [train.Row(seed, None, {"learning_rate": 0.2}) for seed in (0, 1)]
    watched = dict(rows=fast, probes={"w": lambda w, key: w}, probe_steps=(0, STEPS - 1, STEPS))
    parts = list(train.chunks(training(**watched)))
    last = max(parts[-3].state.stopped_at.tolist())
    assert int(parts[-3].state.step) == -(-last // CHUNK) * CHUNK
    assert [int(part.state.step) for part in parts[-2:]] == [STEPS - 1, STEPS]
    fitted = train.fit(training(**watched), progress=False)
    assert fitted.metrics.loss.shape == (STEPS, 2)
    assert fitted.probe_steps.tolist() == [0, STEPS - 1, STEPS]
    np.testing.assert_array_equal(fitted.probes["w"][1], fitted.state.params)
    np.testing.assert_array_equal(fitted.probes["w"][2], fitted.state.params)


def test_a_saved_run_has_lines_for_the_steps_taken_and_comes_back_whole(stopped, tmp_path):
    fast = training(rows=training().rows[:2])
    uncut = train.fit(fast, progress=False)
    for _ in range(2):
        with runs.open_run(tmp_path, "stop", "small", {}) as run:
            saved = train.fit_saved(fast, run, progress=False)
            jax.tree.map(np.testing.assert_array_equal, saved, uncut)
            assert [line["step"] for line in run.metrics()] == list(range(uncut.state.stopped_at.max()))
            (run.path / "run.json").unlink()
            (run.path / "run.json").write_text("{}")


def test_a_row_that_failed_has_ended_too():
    def poisoned(params, batch):
        return loss(params, batch) + jnp.where(params[0] > 50, jnp.nan, 0.0)

    rows = [
        train.Row(0, None, {"learning_rate": 0.2}),
        train.Row(0, lambda key: jnp.full(3, 100.0), {"learning_rate": 0.2}),
    ]
    fitted = train.fit(training(loss=poisoned, rows=rows, continue_others=True), progress=False)
    assert fitted.state.failed_at.tolist() == [-1, 0]
    assert fitted.state.stopped_at[0] > 0
    assert fitted.state.stopped_at[1] == -1


@pytest.mark.parametrize(
    ("target", "said"), [((np.nan,), "loss: expected a number"), ((1.0, 0), "window: expected an int")]
)
def test_refuses_a_target_that_cannot_be_meant(target, said):
    with pytest.raises(ValueError, match=said):
        train.Target(*target)


def test_metrics_are_what_the_function_gives_of_the_parameters_before_the_step():
    def scores(params, batch):
        return {"norm": jnp.sum(params**2), "error": loss(params, batch), "many": {"rows": len(batch[0])}}

    fitted = train.fit(training(metrics=scores, stop=None, steps=20), progress=False)
    np.testing.assert_allclose(fitted.metrics.scores["error"], fitted.metrics.loss, rtol=1e-6)
    assert (fitted.metrics.scores["many"]["rows"] == 8).all()
    start = jax.random.normal(train.init_key(0), (3,))
    np.testing.assert_allclose(fitted.metrics.scores["norm"][0, 0], np.sum(np.asarray(start) ** 2), rtol=1e-6)
    with pytest.raises(ValueError, match=r"metrics: expected scalars, got shape \(3,\) in \['w'\]"):
        train.fit(training(metrics=lambda w, batch: {"w": w}), progress=False)
