"""A batch split over two devices gives the numbers of one."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import optax
import pytest

import recurrax
from recurrax import LSTM, tasks, train
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


def test_training_on_two_devices_is_training_on_one():
    task = tasks.Adding(length=8)
    model = train.Readout(LSTM(4), task.input_size, task.output_size, task.every_step)

    def losses(mesh):
        training = train.Training(
            loss=lambda params, batch: task.loss(model.predict(params, batch.xs), batch),
            init=model.init,
            optimizer=optax.adam(1e-2),
            batch=lambda key: task.batch(key, batch_size=4),
            seeds=(0, 1),
            steps=5,
            mesh=mesh,
        )
        return train.fit(training, progress=False).metrics.loss

    assert_close(losses(train.batch_mesh()), losses(None), "float32")


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
