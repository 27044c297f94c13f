"""One of several processes that train together: `python pair.py <root> [stop] [rows]`.

With "stop", process 1 gets a SIGTERM; with "rows", each trains a row of its own in the place of sharing batches.

Each process is given a folder of its own for results, of which only that of process 0 may come to be.
"""

import os
import signal
import sys

import jax
import optax

from recurrax import Elman, runs, tasks, train

STEPS = 12


def training(mesh=None):
    task = tasks.Adding(length=5)
    model = train.Readout(Elman(4), task.input_size, task.output_size, task.every_step)
    return train.Training(
        loss=lambda params, batch: task.loss(model.predict(params, batch.xs), batch),
        init=model.init,
        optimizer=optax.adam(1e-2),
        batch=lambda key: task.batch(key, batch_size=6),
        seeds=(0, 1),
        steps=STEPS,
        chunk=5,
        probes={"bias": lambda params, key: params.bias},
        probe_steps=(STEPS,),
        mesh=mesh,
    )


def main(root, stop=False, rows=False):
    jax.config.update("jax_disable_most_optimizations", True)
    assert runs.join_processes()
    mesh = train.mesh(rows=2) if rows else train.batch_mesh()
    with runs.open_run(f"{root}-{jax.process_index()}", "pair", "small", {"steps": STEPS}) as run:
        if stop and not runs.is_first_process():
            os.kill(os.getpid(), signal.SIGTERM)
        fitted = train.fit_saved(training(mesh), run, progress=False)
        run.save_arrays({"loss": fitted.metrics.loss, "bias": fitted.probes["bias"]})
        print(f"loss {fitted.metrics.loss[-1]}, {len(run.metrics())} lines")


if __name__ == "__main__":
    main(sys.argv[1], stop="stop" in sys.argv[2:], rows="rows" in sys.argv[2:])
