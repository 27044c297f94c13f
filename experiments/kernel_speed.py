"""How long does a training step of a recurrent layer take here, in other libraries, and against the machine's limits?

Command: `python experiments/kernel_speed.py`, about ten minutes on two CPU cores; peers come with
`pip install recurrax[bench,experiments]`. `--scaling` draws time, temporaries and compile time against T, B and H.

Measured: value and gradient of Σy² with respect to parameters and inputs, and the forward pass alone, float32,
batch-major inputs, in interleaved rounds of one process; minimum and median over rounds.

Expected: the fused scan beats every JAX peer's training step in most shapes, and PyTorch's fused CPU LSTM is the
contender to meet.
"""

import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import _command
import _contenders as contenders
import _kernel_speed_summary as summary
import jax
import jax.numpy as jnp
import numpy as np
from _command import Job, Measured

from recurrax import train

SMOKE = {"rounds": 2, "seconds": 0}


@dataclass(frozen=True)
class Config(_command.Common):
    """How long does a training step of a recurrent layer take here, elsewhere, and against the machine's limits?"""

    cells: tuple[Literal["LSTM", "GRU", "Elman"], ...] = ("LSTM", "GRU", "Elman")
    """Layers compared."""
    scaling: bool = False
    """Against T, B and H, recurrax alone, instead of against peers."""
    rounds: int = 5
    """Fewest rounds in which every contender runs once."""
    seconds: int = 10
    """Rounds go on for this long per cell and shape."""
    jobs: int = 1
    """Timings never run side by side."""

    def __post_init__(self):
        _command.check_least("rounds", self.rounds, 1)
        if self.jobs != 1:
            raise ValueError(f"jobs: expected 1, timings never run side by side, got {self.jobs}")

    @property
    def shapes(self) -> dict[str, contenders.Shape]:
        shapes = {
            f"{axis} {i}": shape for axis in contenders.SCALING for i, shape in enumerate(contenders.SCALING[axis])
        }
        shapes = shapes if self.scaling else contenders.SHAPES
        return {name: (2, 6, 3, 4) for name in list(shapes)[:2]} if self.smoke else shapes


class Contender(NamedTuple):
    """What is timed: `run` once and wait for it; compile time in s, temporaries in bytes, nan where unknown."""

    run: Callable[[], Any]
    compile_seconds: float
    temporaries: float


def loss_of(apply: contenders.Apply) -> Callable[[Any, jax.Array], jax.Array]:
    """Σy² of a contender."""
    return lambda params, x: jnp.sum(jnp.square(apply(params, x)))


def compiled(function: Callable[..., Any], params: Any, x: jax.Array) -> Contender:
    """A JAX function compiled for its arguments, timed while compiling."""
    begun = time.perf_counter()
    program = jax.jit(function).lower(params, x).compile()
    seconds = time.perf_counter() - begun
    memory = program.memory_analysis()
    temporaries = math.nan if memory is None else memory.temp_size_in_bytes
    return Contender(lambda: jax.block_until_ready(program(params, x)), seconds, temporaries)


def enter(name: str, cell: str, shape: contenders.Shape, training: bool) -> Contender:
    """The contender of that name, ready to run.

    Raises:
        contenders.Absent: it cannot take part.
    """
    if name == "PyTorch":
        return Contender(contenders.pytorch(cell, shape, training), math.nan, math.nan)
    batch, steps, inputs, _ = shape
    x = jax.random.normal(jax.random.key(1), (batch, steps, inputs))
    split = name == "recurrax, batch split"
    apply, params = contenders.JAX["recurrax" if split else name](cell, shape)
    loss = loss_of(apply)
    if split:
        devices = jax.local_device_count()
        if devices == 1 or batch % devices:
            raise contenders.Absent(f"a batch of {batch} cannot be split over {devices} device(s)")
        mesh = train.batch_mesh()
        loss = train.split_loss(loss, mesh, axes=0, mean=False)
        params, x = train.replicate(mesh, params), train.split_batch(mesh, x)
    return compiled(jax.value_and_grad(loss, (0, 1)) if training else loss, params, x)


def interleaved(running: Mapping[str, Contender], rounds: int, seconds: float) -> dict[str, np.ndarray]:
    """Seconds of every contender in every round; all run in turn, so a slow moment hits them alike.

    Each round has an order of its own: whoever came next after the large matrix product, or after PyTorch whose threads
    go on spinning for a while, would pay for them.
    """
    for contender in running.values():
        contender.run()
    times: dict[str, list[float]] = {name: [] for name in running}
    order = np.random.default_rng(0)
    end = time.perf_counter() + seconds
    while len(next(iter(times.values()))) < rounds or time.perf_counter() < end:
        for name in order.permutation(list(running)).tolist():
            begun = time.perf_counter()
            running[name].run()
            times[name].append(time.perf_counter() - begun)
    return {name: np.array(of) for name, of in times.items()}


def measure(config: Config, cell: str, shape: contenders.Shape, training: bool) -> Measured:
    """Times of all contenders on one cell and shape, and of a large matrix product in the same rounds."""
    names = ("recurrax",) if config.scaling else (*contenders.JAX, "recurrax, batch split", "PyTorch")
    running, lines = {}, []
    for name in names:
        try:
            running[name] = enter(name, cell, shape, training)
        except contenders.Absent as absent:
            lines.append({"cell": cell, "shape": shape, "training": training, "absent": name, "why": str(absent)})
    side = 64 if config.smoke else 2048
    square = jax.random.normal(jax.random.key(2), (side, side))
    running["matrix product"] = compiled(lambda a, b: a @ b, square, square)
    times = interleaved(running, config.rounds, config.seconds)
    key = summary.key(cell, shape, training)
    arrays = {f"{key}.{name}": of for name, of in times.items()}
    for name, contender in running.items():
        arrays[f"compile.{key}.{name}"] = np.array(contender.compile_seconds)
        arrays[f"temporaries.{key}.{name}"] = np.array(contender.temporaries)
    arrays["matrix_product_side"] = np.array(side)
    return Measured(arrays, lines)


def plan(config: Config) -> dict[str, Job]:
    """One job per cell, shape and kind of pass."""
    return {
        f"{cell}, {name} {shape}, {'training step' if training else 'forward'}": partial(
            measure, config, cell, shape, training
        )
        for cell in config.cells
        for name, shape in config.shapes.items()
        for training in (True, False)
    }


def finish(config: Config, arrays: Mapping[str, np.ndarray]) -> _command.Finished:
    """The times measured, and what they say."""
    return _command.Finished(*summary.summarise(config, arrays))


if __name__ == "__main__":
    # Before JAX starts: as many CPU devices as cores, so that a batch can be split over them.
    train.use_cpu_devices(train.cpu_cores())
    sys.exit(_command.main("kernel_speed", Config, SMOKE, plan, finish))
