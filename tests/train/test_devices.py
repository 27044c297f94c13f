"""A batch split over two devices gives the numbers of one."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import recurrax
from recurrax import LSTM, Elman, tasks, train
from tests.tolerances import assert_close


def loss(params, xs):
    return jnp.sum(recurrax.scan(LSTM(4), params, jnp.moveaxis(xs, 1, 0)).outputs ** 2)


def test_value_and_gradients_of_a_split_batch():
    params = LSTM(4).init(jax.random.key(0), 3)
    xs = jax.random.normal(jax.random.key(1), (6, 9, 3))
    mesh = train.batch_mesh()
    assert mesh.size == 2
    split = jax.jit(jax.value_and_grad(train.split_loss(loss, mesh, axes=0, mean=False), (0, 1)))
    whole = jax.jit(jax.value_and_grad(loss, (0, 1)))(params, xs)
    got = split(train.replicate(mesh, params), train.split_batch(mesh, xs))
    assert got[1][1].sharding.spec[0] == "batch"
    assert_close(jax.device_get(got), jax.device_get(whole), "float32")


def form(kind):
    """What a mesh has to know of a task's batches: at which steps predictions are wanted, of what, and weights."""
    batch = jax.eval_shape(lambda key: kind().batch(key, 2), jax.random.key(0))
    return batch.every_step, jnp.issubdtype(batch.targets.dtype, jnp.floating), batch.weights is not None


FORMS = (tasks.Adding, tasks.Characters, tasks.Copy, tasks.Recall)
"""A task of every form of batch."""


def test_every_task_has_the_form_of_one_that_is_tried():
    drawn = set(tasks.ALL) - {tasks.Digits}  # whose data an extra brings
    assert {form(kind) for kind in drawn} == {form(kind) for kind in FORMS}


@pytest.mark.usefixtures("quick_compile")
@pytest.mark.parametrize("kind", FORMS, ids=lambda kind: kind.__name__)
def test_a_task_is_learned_alike_on_one_device_and_on_two(kind):
    """As the README says it: `Training(mesh=train.batch_mesh())`, and the batch knows the rest."""
    task = kind().with_lag(7)
    model = train.Readout(Elman(4), task.input_size, task.output_size, task.every_step)

    def fitted(mesh):
        training = train.Training(
            loss=lambda params, batch: task.loss(model.predict(params, batch.xs), batch),
            init=model.init,
            optimizer=optax.adam(1e-2),
            batch=lambda key: task.batch(key, batch_size=4),
            seeds=(0, 1),
            steps=5,
            mesh=mesh,
            metrics=lambda params, batch: task.scores(model.predict(params, batch.xs), batch),
        )
        return train.fit(training, progress=False).metrics

    one, two = fitted(None), fitted(train.batch_mesh())
    assert_close(two.loss, one.loss, "float32")
    assert_close(two.scores, one.scores, "float32")


def test_a_mesh_does_not_guess_what_is_cut():
    def mean(params, batch):
        return jnp.mean(params * batch["xs"])

    mesh, batch = train.batch_mesh(), {"xs": jnp.arange(24.0).reshape(3, 4, 2)}
    said = "batch_axes: expected with a mesh, .* since a batch of type dict does not say; got None"
    with pytest.raises(ValueError, match=said):
        train.split_loss(mean, mesh, mean=True)(1.0, batch)
    np.testing.assert_allclose(train.split_loss(mean, mesh, axes=1, mean=True)(1.0, batch), 11.5)
    uneven = {"xs": jnp.zeros((3, 4)), "targets": jnp.zeros((6, 3))}
    with pytest.raises(ValueError, match=r"batch_axes: expected axes of one length, .* got lengths \[4, 6\]"):
        train.split_loss(mean, mesh, axes={"xs": 1, "targets": 0}, mean=True)(1.0, uneven)


def test_devices_are_asked_for_before_jax_starts():
    code = (
        "import jax; from recurrax import train; train.use_cpu_devices(3); print(jax.local_device_count())\n"
        "try: train.use_cpu_devices(2)\n"
        "except RuntimeError as error: print(error)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines() == [
        "3",
        "use_cpu_devices(2) came after JAX had started: call it first, before any array is made",
    ]


@pytest.mark.parametrize("count", [0, 1.5])
def test_a_device_count_is_a_positive_int(count):
    with pytest.raises(ValueError, match="count"):
        train.use_cpu_devices(count)
