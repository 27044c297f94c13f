"""A small run to be killed: `python survivor.py <root> [steps]` trains, saving after every chunk, and prints hashes.

The hashes are of the parameters and of the loss curve; a run that was cut and gone on with has to print the same.
"""

import hashlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax

from recurrax import runs, train


def training(steps):
    truth = jnp.array([1.0, -2.0, 0.5])

    def batch(key):
        xs = jax.random.normal(key, (8, 3))
        return xs, xs @ truth + 0.1 * jax.random.normal(jax.random.fold_in(key, 1), (8,))

    return train.Training(
        loss=lambda w, batch: jnp.mean((batch[0] @ w - batch[1]) ** 2),
        init=lambda key: jax.random.normal(key, (3,)),
        optimizer=optax.sgd(0.01, momentum=0.9),
        batch=batch,
        seeds=(0, 1),
        steps=steps,
        chunk=5,
        probes={"w": lambda w, key: w},
        probe_steps=(0, 12, steps),
    )


def hashes(fitted):
    """SHA-256 of all parameters and of all that was measured."""
    parts = {"params": fitted.state.params, "measured": (fitted.metrics, fitted.probe_steps, fitted.probes)}
    return {
        name: hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(part))).hexdigest()
        for name, part in parts.items()
    }


def main(root, steps=300):
    with runs.open_run(root, "survival", "small", {"steps": steps}) as run:
        if not run.finished:
            print("training", flush=True)
            fitted = train.fit_saved(training(steps), run, progress=False)
            run.save_summary(hashes(fitted))
        print(sorted(run.summary().items()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
