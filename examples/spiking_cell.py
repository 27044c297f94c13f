"""A spiking cell of your own
==========================

Leaky integrate-and-fire units, their spikes differentiated by a surrogate. A cell that no library has needs nothing but
the contract's methods.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax

import recurrax
from recurrax import lag, tasks, train


@jax.custom_jvp
def spike(v):
    """1 where the potential is above the threshold, 0 elsewhere."""
    return (v > 0).astype(v.dtype)


@spike.defjvp
def _spike_jvp(primals, tangents):
    (v,), (dv,) = primals, tangents
    return spike(v), dv / (1 + 5 * jnp.abs(v)) ** 2  # a step has no slope, so a fast sigmoid lends its own


@dataclass(frozen=True)
class Spiking(recurrax.Cell):
    """v_t = β v_tm1 (1 - z_tm1) + x_t W + z_tm1 U,  z_t = [v_t > 1]; the layer above sees z and v."""

    hidden_size: int
    beta: float = 0.95

    def init(self, key, input_size, dtype=jnp.float32):
        w, u = jax.random.split(key)
        draw = jax.nn.initializers.lecun_normal()
        return {"W": draw(w, (input_size, self.hidden_size), dtype), "U": draw(u, (self.hidden_size,) * 2, dtype)}

    def initial_carry(self, params, batch_shape, dtype):
        return {name: jnp.zeros((*batch_shape, self.hidden_size), dtype) for name in ("v", "z")}

    def project(self, params, x):
        return x @ params["W"]

    def recur(self, params, carry, u):
        return carry["z"] @ params["U"]

    def pointwise(self, params, carry, u, v):
        potential = self.beta * carry["v"] * (1 - carry["z"]) + u + v
        return {"v": potential, "z": spike(potential - 1)}

    def output(self, params, carry, u):
        return jnp.concatenate([carry["z"], carry["v"]], axis=-1)


def main(hidden_size=64, steps=400):
    """Measures the cell on noise, then teaches it to name the first of twelve symbols."""
    cell = Spiking(hidden_size)
    params = cell.init(jax.random.key(0), input_size=2)
    xs = jax.random.normal(jax.random.key(1), (300, 16, 2))
    rate = recurrax.scan(cell, params, xs).outputs[..., :hidden_size].mean()
    reach = lag.vanish_lag(lag.adjoint_profile(cell, params, xs))
    print(f"fresh: {rate:.0%} of units spike at a step, all but a millionth of the gradient is gone after {reach:.0f}")

    task = tasks.Recall(length=12)
    model = train.Readout(cell, task.input_size, task.output_size, task.every_step)

    def loss(params, batch):
        return task.loss(model.predict(params, batch.xs), batch)

    training = train.Training(loss, model.init, optax.adam(3e-3), lambda key: task.batch(key, 64), steps=steps)
    losses = train.fit(training, progress=False).metrics.loss[:, 0]
    print(f"trained: loss {losses[0]:.2f} at first, {losses[-1]:.3f} after {steps} steps; guessing costs 1.39")
    return reach, losses


if __name__ == "__main__":
    main()

# %%
# On two CPU cores, with Python 3.11 and JAX 0.10.2, it prints::
#
#     fresh: 7% of units spike at a step, all but a millionth of the gradient is gone after 294
#     trained: loss 1.54 at first, 0.000 after 400 steps; guessing costs 1.39
