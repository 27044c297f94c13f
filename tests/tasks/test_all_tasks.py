"""Laws every task keeps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recurrax import tasks


@pytest.fixture(params=tasks.ALL, ids=lambda task: task.__name__)
def task(request):
    return request.param(length=12)


def test_keeps_the_contract(task):
    assert isinstance(task, tasks.Task)
    assert task == type(task)(length=12)
    assert hash(task) == hash(type(task)(length=12))
    assert tasks.named(type(task).__name__.upper()) is type(task)


def test_shapes_follow_the_sizes_it_states(task):
    batch = jax.jit(task.batch, static_argnums=1)(jax.random.key(0), 3)
    assert batch.xs.shape == (12, 3, task.input_size)
    assert batch.xs.dtype == jnp.float32
    shape = (12, 3, task.output_size) if task.every_step else (3, task.output_size)
    loss = task.loss(jnp.zeros(shape), batch)
    assert loss.shape == ()
    assert np.isfinite(loss)
    assert all(np.isfinite(value) and value > 0 for value in task.landmarks.values())


def test_an_unknown_task_is_refused_by_name():
    with pytest.raises(ValueError, match=r"task: unknown name 'copy'; expected one of Adding, Characters"):
        tasks.named("copy")
