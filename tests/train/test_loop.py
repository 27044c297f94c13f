"""The training loop, on least squares with a closed form and on the library's own tasks."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from recurrax import Elman, tasks, train

TRUTH = np.array([1.0, -2.0, 0.5], np.float32)
STEPS, CHUNK = 23, 10


class Points:
    """Noisy linear regression that counts how often it is traced."""

    def __init__(self):
        self.traces = 0

    def batch(self, key):
        xs, noise = jax.random.normal(key, (8, 3)), jax.random.normal(jax.random.fold_in(key, 1), (8,))
        return xs, xs @ TRUTH + 0.1 * noise

    def loss(self, params, batch):
        self.traces += 1
        xs, ys = batch
        return jnp.mean((xs @ params["w"] - ys) ** 2)

    @staticmethod
    def init(key):
        return {"w": jax.random.normal(key, (3,))}


def training(points=None, **changes):
    points = points or Points()
    settings = dict(
        loss=points.loss, init=points.init, optimizer=optax.adam(0.1), batch=points.batch, seeds=(4, 9), steps=STEPS,
        chunk=CHUNK, max_norm=1.0,
    )  # fmt: skip
    return train.Training(**(settings | changes))


@pytest.fixture(scope="module")
def fitted():
    return train.fit(training(), progress=False)


def test_is_the_plain_loop_one_would_write(fitted):
    points, optimizer = Points(), optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.1))
    take = jax.jit(jax.value_and_grad(points.loss))
    for row, seed in enumerate((4, 9)):
        params = points.init(train.init_key(seed))
        state = optimizer.init(params)
        for step in range(STEPS):
            value, gradient = take(params, points.batch(train.batch_key(seed, step)))
            norm = np.linalg.norm(gradient["w"])
            np.testing.assert_allclose(fitted.metrics.loss[step, row], value, rtol=1e-4)
            np.testing.assert_allclose(fitted.metrics.log_gradient_norm[step, row], np.log(norm), atol=1e-4)
            assert fitted.metrics.clipped[step, row] == (norm > 1)
            update, state = optimizer.update(gradient, state)
            params = optax.apply_updates(params, update)
        np.testing.assert_allclose(fitted.state.params["w"][row], params["w"], rtol=1e-4)


def test_seeds_side_by_side_are_those_one_after_another_and_alone(fitted):
    beside = train.fit(training(vmap=True), progress=False)
    np.testing.assert_allclose(beside.metrics.loss, fitted.metrics.loss, rtol=1e-5)
    alone = train.fit(training(seeds=(9,)), progress=False)
    np.testing.assert_array_equal(alone.metrics.loss[:, 0], fitted.metrics.loss[:, 1])


def test_resuming_gives_what_the_uncut_run_gives_bit_for_bit(fitted):
    head = next(train.chunks(training()))
    assert int(head.state.step) == CHUNK
    saved = jax.tree.map(jnp.asarray, jax.tree.map(np.asarray, head.state))
    tail = train.fit(training(), saved, progress=False)
    np.testing.assert_array_equal(tail.metrics.loss, fitted.metrics.loss[CHUNK:])
    jax.tree.map(np.testing.assert_array_equal, tail.state, fitted.state)


def test_the_chunk_does_not_matter_bit_for_bit(fitted):
    other = train.fit(training(chunk=7), progress=False)
    jax.tree.map(np.testing.assert_array_equal, other.state, fitted.state)
    jax.tree.map(np.testing.assert_array_equal, other.metrics, fitted.metrics)


def test_nothing_is_traced_or_compiled_after_the_first_chunk():
    points, probed = Points(), []

    def probe(params, key):
        probed.append(None)
        return params["w"]

    def count(event, seconds, **details):
        if event.endswith("backend_compile_duration"):
            compiled.append(event)

    compiled, lengths, after_first = [], [], None
    jax.monitoring.register_event_duration_secs_listener(count)
    try:
        for part in train.chunks(training(points, probes={"w": probe}, probe_steps=(0, 3, 10, 17, STEPS))):
            lengths.append(len(part.metrics.loss))
            if len(lengths) == 2:
                after_first = points.traces, len(compiled)
    finally:
        jax.monitoring.clear_event_listeners()
    assert lengths == [0, 3, 7, 7, 3, 3]
    assert after_first[1] > 0
    assert (points.traces, len(compiled)) == after_first
    assert len(probed) == 1


def test_probes_see_the_parameters_of_their_step_and_always_the_same_key():
    probes = {"w": lambda params, key: params["w"], "key": lambda params, key: jax.random.uniform(key)}
    watched = train.fit(training(probes=probes, probe_steps=(12, 0, STEPS)), progress=False)
    assert watched.probe_steps.tolist() == [0, 12, STEPS]
    assert watched.probes["w"].shape == (3, 2, 3)
    start = [Points.init(train.init_key(seed))["w"] for seed in (4, 9)]
    np.testing.assert_array_equal(watched.probes["w"][0], start)
    np.testing.assert_array_equal(watched.probes["w"][-1], watched.state.params["w"])
    keys = watched.probes["key"]
    assert (keys == keys[0]).all()
    assert keys[0, 0] != keys[0, 1]


def test_a_chunk_is_what_its_steps_would_be_without_probes(fitted):
    watched = train.fit(training(probes={"w": lambda params, key: params["w"]}, probe_steps=(5,)), progress=False)
    np.testing.assert_array_equal(watched.metrics.loss, fitted.metrics.loss)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_gradient_norms_before_clipping_are_right_far_from_one(scale):
    run = training(
        loss=lambda params, direction: jnp.sum(params * direction) * scale,
        init=lambda key: jnp.zeros(2),
        batch=lambda key: jnp.array([3.0, 4.0]) + 0 * jax.random.uniform(key),
        optimizer=optax.sgd(0.0),
        steps=2,
    )
    metrics = train.fit(run, progress=False).metrics
    np.testing.assert_allclose(metrics.log_gradient_norm, np.full((2, 2), np.log(5 * scale)), rtol=1e-6)
    assert (metrics.clipped == (scale > 1)).all()


def test_in_float64_nothing_is_rounded_and_nothing_traced_again(x64):
    points = Points()
    run = training(
        points,
        init=lambda key: {"w": jnp.zeros(3, jnp.float64)},
        batch=None,
        batches=lambda seed, step: (np.eye(3), TRUTH.astype(float)),
        optimizer=optax.sgd(0.5),
        max_norm=np.inf,
        seeds=(0,),
    )
    remaining = train.chunks(run)
    parts = [next(remaining)]
    traces = points.traces
    parts += remaining
    # w - y shrinks by 1 - 2 * 0.5 / 3 per step.
    loss = (TRUTH.astype(float) ** 2).mean() * (2 / 3) ** (2 * np.arange(STEPS))
    np.testing.assert_allclose(np.concatenate([part.metrics.loss[:, 0] for part in parts]), loss, rtol=1e-12)
    assert parts[-1].state.params["w"].dtype == np.float64
    assert traces == points.traces


def test_learns_the_adding_problem_beyond_the_mean():
    task = tasks.Adding(length=6)
    model = train.Readout(Elman(16), task.input_size, task.output_size, task.every_step)
    run = training(
        loss=lambda params, batch: task.loss(model.predict(params, batch.xs), batch),
        init=model.init,
        batch=partial(task.batch, batch_size=32),
        optimizer=optax.adam(1e-2),
        steps=300,
        chunk=100,
    )
    losses = train.fit(run, progress=False).metrics.loss
    assert (losses[-50:].mean(axis=0) < task.landmarks["one addend known"]).all()


def test_log_spaced_steps_begin_and_end_where_they_should():
    steps = train.log_spaced(500, 8)
    assert steps[0] == 0
    assert steps[-1] == 500
    assert len(steps) <= 8
    assert train.log_spaced(0, 5) == (0,)
    assert train.log_spaced(2, 50) == (0, 1, 2)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("seeds", (), "seeds: expected distinct ints"),
        ("seeds", (1, 1), "seeds: expected distinct ints"),
        ("seeds", (-1,), "seeds: expected distinct ints"),
        ("steps", -1, "steps: expected an int of at least 0, got -1"),
        ("steps", 2.5, "steps: expected an int of at least 0, got 2.5"),
        ("chunk", 0, "chunk: expected an int of at least 1, got 0"),
        ("probe_steps", (STEPS + 1,), rf"probe_steps: expected ints in 0..{STEPS}"),
    ],
)
def test_refuses_settings_that_cannot_be_meant(field, value, said):
    with pytest.raises(ValueError, match=said):
        training(**{field: value})


def test_refuses_a_state_of_another_training(fitted):
    with pytest.raises(ValueError, match=r"state: it is of seeds \[4, 9\], not \[1\]"):
        train.fit(training(seeds=(1,)), fitted.state, progress=False)
    with pytest.raises(ValueError, match=r"state: it is at step 23, beyond the last, 5"):
        train.fit(training(steps=5), fitted.state, progress=False)
    with pytest.raises(ValueError, match=r"steps: nothing to do, the state is already at step 23"):
        train.fit(training(), fitted.state, progress=False)
