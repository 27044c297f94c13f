"""Training steps in parallel and step by step, of cells linear in their carry: `python tests/long/parallel.py`.

Prints, for each cell and (T, B, H), the shortest and the middle time of the rounds, in which all run in turn.
"""

import jax
import jax.numpy as jnp
import numpy as np

import recurrax
from recurrax.study.timing import interleaved

CELLS = (recurrax.MinGRU, recurrax.LRU)
SHAPES = ((1_000, 1, 64), (1_000, 16, 64), (100_000, 1, 16))
HOW = {
    "fused": {"implementation": "fused"},
    "associative": {"implementation": "associative"},
    "associative, chunk=1000": {"implementation": "associative", "chunk": 1000},
}


def training_step(cell, shape, how):
    """The compiled gradient of the mean square of the outputs with respect to the parameters."""
    steps, batch, size = shape
    params = cell.init(jax.random.key(0), size)
    xs = jax.random.normal(jax.random.key(1), (steps, batch, size))

    def loss(params):
        return jnp.mean(recurrax.scan(cell, params, xs, **how).outputs ** 2)

    program = jax.jit(jax.grad(loss)).lower(params).compile()
    return lambda: program(params)


def main(rounds=15):
    for kind in CELLS:
        for shape in SHAPES:
            hows = {name: how for name, how in HOW.items() if how.get("chunk", 0) < shape[0]}
            calls = {name: training_step(kind(shape[-1]), shape, how) for name, how in hows.items()}
            times = interleaved(calls, rounds)
            for name, of in times.items():
                ratio = of.min() / times["fused"].min()
                spent = f"{1e3 * of.min():.1f} ms shortest, {1e3 * np.median(of):.1f} ms middle"
                print(f"{kind.__name__} {shape} {name}: {spent}; {ratio:.2f} of fused", flush=True)


if __name__ == "__main__":
    main()
