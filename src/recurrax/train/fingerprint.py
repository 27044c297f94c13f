"""Which program a training is: hashes of what it computes, the same in every process."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recurrax import code
from recurrax.runs.program import ROWS, VERSION
from recurrax.train.compiled import text_hash
from recurrax.train.keys import batch_key, init_key, probe_key
from recurrax.train.step import make_step, state_shapes
from recurrax.train.training import Training


def fingerprint(training: Training) -> dict[str, str]:
    """A SHA-256 for each part of a training, from the text that JAX lowers it to.

    | part | changes with |
    |---|---|
    | initialisation | what draws the parameters |
    | batch | the task, its size, a constant in it; of host data, the first batch of the first seed |
    | step | the cell, the loss, the optimizer and its rate, the clip, `metrics`, `stop` |
    | probe <name> | what the probe looks at |
    | rows | seeds, and the rates and clips that rows have for themselves |

    It does not change with the number of steps, the chunk, `vmap` or the mesh, which change no number. What the
    functions close over is part of it, down to the bytes of arrays; names and comments are not.

    Returns:
        Hashes by part, and under "jax" the version and platform they belong to.

    >>> import optax
    >>> def training(rate):
    ...     return Training(lambda w, x: (w - x) ** 2, lambda key: jnp.zeros(()), optax.sgd(rate), jax.random.normal)
    >>> one, same, other = (fingerprint(training(rate)) for rate in (0.1, 0.1, 0.2))
    >>> one == same, [part for part in one if one[part] != other[part]]
    (True, ['step'])
    """
    code.notice(*training.functions)
    rows, state = training.all_rows, state_shapes(training)
    row = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), state._replace(step=None))
    seed = step = jnp.uint32(0)
    make, batch = training.batch, None
    if make is not None:
        batch = jax.eval_shape(lambda: make(batch_key(0, 0)))
    elif training.batches is not None:
        batch = training.batches(rows[0].seed, 0)
    inits = {id(training.init_of(row)): training.init_of(row) for row in rows}
    drawn = {key: _hash(lambda seed, init=init: init(init_key(seed)), seed) for key, init in inits.items()}
    parts = {
        "initialisation": _joined([drawn[id(training.init_of(row))] for row in rows]),
        "batch": _content(batch) if make is None else _hash(lambda seed, step: make(batch_key(seed, step)), seed, step),
        "step": _hash(make_step(training, split=False).advance, row, jnp.int32(0), batch),
        ROWS: _joined([json.dumps([row.seed, sorted(row.arguments.items()), row.max_norm]) for row in rows]),
        VERSION: f"JAX {jax.__version__} on {jax.default_backend()}",
    }
    for name, probe in training.probes.items():
        parts[f"probe {name}"] = _hash(
            lambda params, seed, probe=probe: probe(params, probe_key(seed)), row.params, seed
        )
    return parts


def _hash(function: Callable[..., Any], *args: Any) -> str:
    return text_hash(jax.jit(function).lower(*args))


def _joined(texts: list[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def _content(batch: Any) -> str:
    """Of host data: its bytes, with paths, shapes and dtypes."""
    whole = hashlib.sha256()
    for path, leaf in jax.tree.leaves_with_path(batch):
        array = np.ascontiguousarray(leaf)
        whole.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}\n".encode() + array.tobytes())
    return whole.hexdigest()
