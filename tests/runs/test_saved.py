import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from recurrax import LSTM, runs, tasks, train


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A run with two trainings, and what they gave."""
    task, cell = tasks.Adding(4), LSTM(2)
    model = train.Readout(cell, task.input_size, task.output_size, task.every_step, implementation="reference")
    training = train.Training(
        loss=lambda params, batch: task.loss(model.predict(params, batch.xs), batch),
        init=model.init,
        optimizer=optax.sgd(0.1),
        batch=lambda key: task.batch(key, 2),
        seeds=(3, 5),
        steps=6,
        chunk=3,
        probes={"bias": lambda params, key: params.bias, "cell": lambda params, key: params.cell},
        probe_steps=(0, 6),
        metrics=lambda params, batch: task.scores(model.predict(params, batch.xs), batch),
    )
    with runs.open_run(tmp_path_factory.mktemp("runs"), "demo", "small", {"cell": cell, "steps": 6}) as run:
        fitted = train.fit_saved(training, run, "lstm", progress=False)
        run.save_arrays({"loss": fitted.metrics.loss})
        run.append_metrics({"note": "by hand"})
    return run.path, model, fitted


def test_everything_comes_back(written):
    path, _, fitted = written
    loaded = runs.load(path)
    assert loaded.settings["steps"] == 6
    assert loaded.cell == repr(LSTM(2))
    assert loaded.record["status"] == "finished"
    assert loaded.lines == [{"note": "by hand"}]
    assert loaded.summary == {}
    np.testing.assert_array_equal(loaded.arrays["loss"], fitted.metrics.loss)
    (training,) = (loaded.trainings["lstm"],)
    assert training.seeds.tolist() == [3, 5]
    np.testing.assert_array_equal(training.metrics["loss"], fitted.metrics.loss)
    np.testing.assert_array_equal(training.metrics["scores.accuracy"], fitted.metrics.scores["accuracy"])
    np.testing.assert_array_equal(training.probes["bias"], fitted.probes["bias"])
    np.testing.assert_array_equal(training.probes["cell.kernel"], fitted.probes["cell"].kernel)
    assert training.probe_steps.tolist() == [0, 6]


def test_last_week_s_networks_can_be_measured(written):
    path, model, fitted = written
    training = runs.load(path).trainings["lstm"]
    like = jax.eval_shape(model.init, jax.random.key(0))
    assert sorted(training.states) == [3, 6]
    jax.tree.map(np.testing.assert_array_equal, training.params(like), fitted.state.params)
    second = training.params(like, step=6, row=1)
    xs = jax.random.normal(jax.random.key(0), (5, 2, 2))
    expected = model.predict(jax.tree.map(lambda leaf: leaf[1], fitted.state.params), xs)
    np.testing.assert_array_equal(model.predict(jax.tree.map(jnp.asarray, second), xs), expected)
    with pytest.raises(ValueError, match=r"step: expected one of those saved, \[3, 6\], got 4"):
        training.params(like, step=4)
    with pytest.raises(ValueError, match=r"like: expected parameters as saved, got shape \(2, 4, 2\) for .cell.kernel"):
        training.params(jax.tree.map(lambda leaf: jnp.zeros((7, *leaf.shape)), like))
    with pytest.raises(ValueError, match="like: expected all 5 saved parameters"):
        training.params(like._replace(bias=None))


def test_a_damaged_checkpoint_is_left_out_and_no_run_is_said_to_be_none(written, tmp_path):
    path, _, _ = written
    newest = max((path / "lstm" / "checkpoints").iterdir())
    whole = newest.read_bytes()
    newest.write_bytes(whole[:-1])
    try:
        assert sorted(runs.load(path).trainings["lstm"].states) == [3]
    finally:
        newest.write_bytes(whole)
    with pytest.raises(FileNotFoundError, match=r"expected a run's folder, got one without config.json"):
        runs.load(tmp_path)


def test_a_damaged_line_is_named_and_one_that_was_cut_short_left_out(tmp_path):
    with runs.open_run(tmp_path, "demo", "small", {"steps": 1}) as run:
        run.append_metrics({"step": 0})
    lines = run.path / "metrics.jsonl"
    lines.write_bytes(lines.read_bytes() + b'{"step": 1, "lo')
    assert runs.load(run.path).lines == [{"step": 0}]
    lines.write_bytes(b"{not json\n" + lines.read_bytes())
    with pytest.raises(ValueError, match=r"metrics.jsonl: expected a JSON object in every line, got .* in line 1"):
        runs.load(run.path)
