"""Trainings over four CPU devices: `python split.py <root> <steps>` goes on with those of a run's folder."""

import sys

import optax
from own import Leaky

from recurrax import LSTM, runs, tasks, train

CELLS = {"LSTM": LSTM(3), "Leaky": Leaky(3)}
"""A cell of the library's and one as a user writes it."""
TASK = tasks.Adding(length=5)
STEPS, CHUNK = 24, 7
ROWS = [train.Row(seed, None, {"learning_rate": rate}) for seed in (0, 1, 2) for rate in (3e-3, 1e-1)][:5]


def training(cell, mesh=None, **changes):
    """Five rows, of which some reach the target and some do not."""
    model = train.Readout(cell, TASK.input_size, TASK.output_size, TASK.every_step)

    settings = dict(
        loss=lambda params, batch: TASK.loss(model.predict(params, batch.xs), batch), init=model.init,
        optimizer=optax.adam, batch=lambda key: TASK.batch(key, 4), rows=ROWS, steps=STEPS, chunk=CHUNK, mesh=mesh,
        vmap=False, stop=train.Target(0.3, 3), metrics=lambda params, batch: {"input": batch.xs.mean()},
        probes={"kernel": lambda params, key: params.cell.kernel}, probe_steps=(0, 5, STEPS),
    )  # fmt: skip
    return train.Training(**(settings | changes))


def go_on(root, name, steps, mesh=None):
    """The training of a cell, to so many steps, in the run's folder."""
    with runs.open_run(root, "split", "small", {}) as run:
        kept = training(CELLS[name], mesh, steps=steps, probe_steps=(0, 5))
        return train.fit_saved(kept, run, name, progress=False)


if __name__ == "__main__":
    train.use_cpu_devices(4)
    root, steps = sys.argv[1], int(sys.argv[2])
    go_on(root, "LSTM", steps, train.mesh(rows=4))
    go_on(root, "Leaky", steps, train.mesh(rows=2, batch=2))
