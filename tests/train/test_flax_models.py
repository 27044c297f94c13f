"""Flax models in training loops: stacks with dropout, cut and gone on with bit for bit."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx
from flax.errors import InvalidRngError
from tolerances import assert_same_bits

import recurrax
from recurrax import runs, tasks, train

pytestmark = pytest.mark.usefixtures("quick_compile")

TASK = tasks.Adding(length=6)
XS = jax.ShapeDtypeStruct((6, 4, 2), jnp.float32)
LOWER = {"recurrent_dropout": 0.2, "time_major": True}
UPPER = {"dropout": 0.2, "time_major": True}


class Linen(linen.Module):
    @linen.compact
    def __call__(self, xs, *, train):
        xs = recurrax.linen.RNN(recurrax.Elman(4), **LOWER)(xs, deterministic=not train)
        xs = recurrax.linen.RNN(recurrax.Elman(4), **UPPER)(xs, deterministic=not train)
        return linen.Dense(1)(linen.Dropout(0.1, deterministic=not train)(xs[-1]))


class NNX(nnx.Module):
    def __init__(self, rngs):
        lower = recurrax.nnx.RNN(recurrax.Elman(4), 2, **LOWER, rngs=rngs)
        self.layers = nnx.Sequential(lower, recurrax.nnx.RNN(recurrax.Elman(4), 4, **UPPER, rngs=rngs))
        self.dropout, self.readout = nnx.Dropout(0.1, rngs=rngs), nnx.Linear(4, 1, rngs=rngs)

    def __call__(self, xs):
        return self.readout(self.dropout(self.layers(xs)[-1]))


def of_linen():
    return train.of_linen(
        Linen(), lambda predict, batch: TASK.loss(predict(batch.xs, train=True), batch), XS, train=True
    )


def of_nnx():
    return train.of_nnx(NNX, lambda model, batch: TASK.loss(model(batch.xs), batch))


def training(make, steps):
    init, loss = make()
    batch = train.keyed(lambda key: TASK.batch(key, batch_size=8))
    return train.Training(loss, init, optax.adam(1e-2), batch, steps=steps, chunk=4)


@pytest.mark.parametrize("make", [of_linen, of_nnx])
def test_a_stack_with_dropout_goes_on_bit_for_bit(make, tmp_path, monkeypatch):
    """Ended after its first chunk, the same command gives the bits of the uncut run."""
    whole = train.fit(training(make, 8), progress=False)
    assert np.all(np.isfinite(whole.metrics.loss))
    assert len(np.unique(whole.metrics.loss)) == 8

    def opened():
        return runs.open_run(tmp_path, "adding", "flax", {"steps": 8})

    save = runs.checkpoint.save

    def save_and_end(*args, **options):
        save(*args, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, contextlib.suppress(KeyboardInterrupt), opened() as run:
        patched.setattr(runs.checkpoint, "save", save_and_end)
        train.fit_saved(training(make, 8), run, progress=False)
    assert len(list(run.path.glob("checkpoints/step-*"))) == 1
    with opened() as run:
        resumed = train.fit_saved(training(make, 8), run, progress=False)
    assert_same_bits((resumed.state, resumed.metrics), (whole.state, whole.metrics))


@pytest.mark.parametrize("make", [of_linen, of_nnx])
def test_masks_follow_the_batch_s_key_alone(make):
    init, loss = make()
    params, batch = init(jax.random.key(0)), TASK.batch(jax.random.key(1), batch_size=8)
    loss = jax.jit(loss)
    first, again, other = (loss(params, train.Keyed(batch, jax.random.key(key))) for key in (2, 2, 3))
    assert first == again != other
    kind, message = (ValueError, "^batch: .*") if make is of_nnx else (InvalidRngError, "needs PRNG")
    with pytest.raises(kind, match=message):
        loss(params, batch)


def test_the_loss_is_that_of_the_model_with_these_parameters():
    init, loss = train.of_nnx(lambda rngs: nnx.Linear(2, 1, rngs=rngs), lambda model, xs: jnp.sum(model(xs)))
    params, xs = init(jax.random.key(0)), jnp.ones((3, 2))
    np.testing.assert_allclose(
        loss(params, xs), jnp.sum(xs @ params["kernel"] + params["bias"].reshape(1, 1)), rtol=1e-6
    )
    module = linen.Dense(1)
    init, loss = train.of_linen(module, lambda predict, xs: jnp.sum(predict(xs)), xs)
    params = init(jax.random.key(0))
    assert loss(params, xs) == jnp.sum(module.apply({"params": params}, xs))


def test_running_means_are_refused_in_one_sentence():
    norm = linen.BatchNorm(use_running_average=False)
    with pytest.raises(ValueError, match=r"^module: expected a model .* parameters, got batch_stats too$"):
        train.of_linen(norm, lambda predict, xs: jnp.sum(predict(xs)), jnp.ones((3, 2)))
    with pytest.raises(ValueError, match=r"^make_model: expected a model .*parameters, got BatchStat too$"):
        train.of_nnx(lambda rngs: nnx.BatchNorm(2, rngs=rngs), lambda model, xs: jnp.sum(model(xs)))
