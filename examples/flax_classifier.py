"""A stacked bidirectional classifier in Flax
==========================================

Two layers of `recurrax.nnx` in both directions beside Flax's own, dropout between them. Sequences have lengths of their
own; padding reaches no output and no gradient.
"""

from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import nnx

import recurrax
from recurrax import tasks


class Bidirectional(nnx.Module):
    """One layer in each direction, their outputs side by side."""

    def __init__(self, size, input_size, rngs):
        self.forward = recurrax.nnx.RNN(recurrax.LSTM(size), input_size, rngs=rngs)
        self.backward = recurrax.nnx.RNN(recurrax.LSTM(size), input_size, reverse=True, rngs=rngs)

    def __call__(self, xs, lengths):
        return jnp.concatenate([layer(xs, seq_lengths=lengths) for layer in (self.forward, self.backward)], axis=-1)


class Classifier(nnx.Module):
    """Two bidirectional layers, the mean over the steps that count, and a linear readout."""

    def __init__(self, size, task, rngs):
        self.first = Bidirectional(size, task.input_size, rngs)
        self.dropout = nnx.Dropout(0.2, rngs=rngs)
        self.second = Bidirectional(size, 2 * size, rngs)
        self.head = nnx.Linear(2 * size, task.output_size, rngs=rngs)

    def __call__(self, xs, lengths):  # (B, T, D), (B,)
        features = self.second(self.dropout(self.first(xs, lengths)), lengths)
        return self.head(features.sum(axis=1) / lengths[:, None])  # outputs in the padding are zero


def draw(task, key, rows):
    """Keypad tones (B, T, D), batch first, cut to lengths of their own, and their digits (B,)."""
    batch = task.batch(key, rows)
    lengths = jax.random.randint(key, (rows,), 8, batch.xs.shape[0] + 1)
    return jnp.swapaxes(batch.xs, 0, 1), lengths, batch.targets


@partial(nnx.jit, static_argnames=("task", "rows"))
def step(model, optimizer, key, *, task, rows):
    """One update; the loss before it."""
    xs, lengths, digits = draw(task, key, rows)

    def loss(model):
        return optax.softmax_cross_entropy_with_integer_labels(model(xs, lengths), digits).mean()

    value, gradient = nnx.value_and_grad(loss)(model)
    optimizer.update(model, gradient)
    return value


def main(size=32, steps=150, rows=64):
    """Trains, then counts digits told rightly without dropout."""
    task = tasks.Tones(silence=16)
    model = Classifier(size, task, nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.adam(5e-3), wrt=nnx.Param)
    keys = jax.random.split(jax.random.key(1), steps + 1)
    losses = [float(step(model, optimizer, key, task=task, rows=rows)) for key in keys[1:]]
    model.eval()
    xs, lengths, digits = draw(task, keys[0], 500)
    accuracy = float((model(xs, lengths).argmax(axis=-1) == digits).mean())
    print(f"loss {losses[0]:.2f} at first, {losses[-1]:.3f} after {steps} steps")
    print(f"{accuracy:.0%} of 500 digits told rightly")
    return losses, accuracy


if __name__ == "__main__":
    main()

# %%
# On two CPU cores, with Python 3.11 and JAX 0.10.2, it prints::
#
#     loss 2.29 at first, 0.002 after 150 steps
#     100% of 500 digits told rightly
