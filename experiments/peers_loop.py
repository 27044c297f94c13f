"""How long does a whole training loop take here, its first steps with all that is compiled, and in other libraries?

Command: `python experiments/peers_loop.py`, about four minutes on two CPU cores that have nothing else to do; PyTorch
comes with `pip install ".[bench,experiments]"`.

Measured: the adding task, fresh batches, Adam, clipping by the global norm, float32. `recurrax` is
`recurrax.train.Training`, a program for a chunk of steps; Flax linen has a jitted function for a step, called in a
loop; PyTorch an eager loop, with its batches drawn beforehand, and as many threads as there are cores; "batch split"
has a device for each core. The loops take a chunk of steps in turn.

Expected: Flax's loop takes longer, PyTorch's fused LSTM about as long; the first chunk, which compiles, takes as long
as Flax's.
"""

import importlib
import importlib.util
import itertools
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from recurrax import study, tasks, train
from recurrax.study import timing
from recurrax.train.step import make_program

MAX_NORM, RATE = 1.0, 1e-3
Chunk = Callable[[], Any]


@dataclass(frozen=True)
class Settings(study.TimingSettings):
    """How long does a whole training loop take here, and in other libraries?"""

    cells: tuple[str, ...] = ("lstm", "gru", "elman")
    """Cells that the others have too."""
    hidden_size: int = 128
    """Units."""
    length: int = 100
    """Steps of a sequence."""
    batch: int = 32
    """Sequences of a training step."""
    chunk: int = 50
    """Training steps between two looks at the clock."""
    rounds: int = 20

    LEAST: ClassVar = {"hidden_size": 1, "length": 2, "batch": 1, "chunk": 1}

    def __post_init__(self):
        super().__post_init__()
        if others := set(self.cells) - {"lstm", "gru", "elman"}:
            raise ValueError(f"cells: expected lstm, gru and elman, which all libraries have, got {', '.join(others)}")

    @property
    def task(self) -> tasks.Adding:
        return tasks.Adding(self.length)


def recurrax_loop(settings: Settings, cell: Any, *, split: bool = False) -> Chunk:
    """Chunks of `recurrax.train`, its batches split over all devices if asked for."""
    task = settings.task
    model = train.Readout(cell, task.input_size, task.output_size, task.every_step)
    training = train.Training(
        lambda params, batch: task.loss(model.predict(params, batch.xs), batch),
        model.init,
        optax.adam(RATE),
        lambda key: task.batch(key, settings.batch),
        chunk=settings.chunk,
        max_norm=MAX_NORM,
        mesh=train.batch_mesh() if split else None,
    )
    program = make_program(training)
    state = program.start()

    def chunk() -> Any:
        nonlocal state
        state, metrics = program.run(state, settings.chunk)
        return metrics.loss

    return chunk


def linen_loop(settings: Settings, cell: Any) -> Chunk:
    """Steps as Flax's users write them, one program for each."""
    import flax.linen as nn

    task = settings.task
    layer = {"LSTM": nn.OptimizedLSTMCell, "GRU": nn.GRUCell, "Elman": nn.SimpleCell}[type(cell).__name__]
    layers, head = nn.RNN(layer(cell.hidden_size), time_major=True), nn.Dense(task.output_size)
    optimizer = optax.chain(optax.clip_by_global_norm(MAX_NORM), optax.adam(RATE))
    drawn = task.batch(jax.random.key(0), settings.batch)
    params = (
        layers.init(jax.random.key(1), drawn.xs),
        head.init(jax.random.key(2), jnp.zeros((settings.batch, cell.hidden_size))),
    )
    state, numbers = optimizer.init(params), itertools.count()

    @jax.jit
    def step(params: Any, state: Any, number: jax.Array) -> Any:
        batch = task.batch(jax.random.fold_in(jax.random.key(0), number), settings.batch)

        def loss(params: Any) -> jax.Array:
            outputs: Any = layers.apply(params[0], batch.xs)
            predicted: Any = head.apply(params[1], outputs[-1])
            return task.loss(predicted, batch)

        value, gradient = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, value

    def chunk() -> Any:
        nonlocal params, state
        for _ in range(settings.chunk):
            params, state, loss = step(params, state, jnp.int32(next(numbers)))
        return loss

    return chunk


def pytorch_loop(settings: Settings, cell: Any) -> Chunk:
    """PyTorch's loop, with as many threads as cores."""
    torch = importlib.import_module("torch")
    torch.set_num_threads(os.cpu_count() or 1)
    task = settings.task
    kind = {"LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU, "Elman": torch.nn.RNN}[type(cell).__name__]
    layer, head = kind(task.input_size, cell.hidden_size), torch.nn.Linear(cell.hidden_size, task.output_size)
    weights = [*layer.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(weights, RATE)
    batches = [task.batch(jax.random.key(number), settings.batch) for number in range(settings.chunk)]
    batches = [(torch.tensor(np.asarray(of.xs)), torch.tensor(np.asarray(of.targets))) for of in batches]

    def chunk() -> float:
        for xs, targets in batches:
            optimizer.zero_grad(set_to_none=True)
            loss = (head(layer(xs)[0][-1]).reshape(targets.shape) - targets).square().mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, MAX_NORM)
            optimizer.step()
        return loss.item()

    return chunk


LOOPS: dict[str, Callable[[Settings, Any], Chunk]] = {
    "recurrax": recurrax_loop,
    "recurrax, batch split": partial(recurrax_loop, split=True),
    "Flax linen": linen_loop,
}
if importlib.util.find_spec("torch"):
    LOOPS["PyTorch"] = pytorch_loop


def measure(settings: Settings, cell: Any, task: None, run: study.Run) -> study.Arrays:
    """Seconds (1,) of the first chunk with all before it, and ratios to recurrax's time of a chunk, (rounds,)."""
    chunks, arrays = {}, {}
    jax.block_until_ready(settings.task.batch(jax.random.key(0), settings.batch).xs)
    for name, loop in LOOPS.items():
        run.check()
        begun = time.perf_counter()
        chunks[name] = loop(settings, cell)
        jax.block_until_ready(chunks[name]())
        arrays[f"first {name}"] = np.array([time.perf_counter() - begun])
    times = timing.interleaved(chunks, settings.rounds)
    for name, seconds in times.items():
        arrays[f"ratio {name}"] = (seconds / times["recurrax"])[: settings.rounds]
    arrays["time"] = 1e3 * times["recurrax"][: settings.rounds] / settings.chunk
    return {**arrays, "seed": range(settings.rounds)}


EXPERIMENT = study.Experiment(
    "peers_loop",
    Settings,
    measure,
    numbers=(
        study.Numbers(
            "A training loop: {s.hidden_size} units, {s.length} steps, {s.batch} sequences",
            (
                study.Number("training step", "time", unit="ms", show="{:.2f}".format),
                *(
                    study.Number(f"{name} / recurrax", f"ratio {name}", show="{:.2f}".format)
                    for name in LOOPS
                    if name != "recurrax"
                ),
                *(
                    study.Number(f"first chunk, {name}", f"first {name}", unit="s", show="{:.1f}".format)
                    for name in LOOPS
                ),
            ),
        ),
    ),
    protocol=(
        "A chunk is {s.chunk} training steps; the loops take theirs in turn in {s.rounds} rounds, one more to warm up.",
        "The first chunk counts all that is drawn, traced and compiled for it, after a batch drawn before.",
    ),
    smoke={"cells": ("elman",), "hidden_size": 4, "length": 5, "batch": 2, "chunk": 2, "rounds": 2},
)  # fmt: skip

if __name__ == "__main__":
    # Before JAX starts: as many CPU devices as cores, so that a batch can be split over them.
    train.use_cpu_devices(train.cpu_cores())
    sys.exit(study.main(EXPERIMENT))
