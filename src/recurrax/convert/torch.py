"""Layers of PyTorch's RNN, LSTM and GRU modules, by the names of their state dict."""

from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from recurrax.cells import Elman
from recurrax.convert.weights import Conversion, weights_from, weights_to

DIRECTIONS = ("", "_reverse")


def from_torch(
    state: Mapping[str, Any] | str | Path, *, prefix: str = "", nonlinearity: str = "tanh", check: bool = False
) -> tuple[tuple[Conversion, ...], ...]:
    """The layers of `torch.nn.RNN`, `LSTM` or `GRU`: for each layer one conversion, two of a bidirectional one.

    Args:
        state: a state dict, its arrays of NumPy or tensors on the CPU, or the path of a .safetensors file.
        prefix: what the module's names begin with, such as "encoder.rnn."; others are left alone.
        nonlinearity: of an RNN, "tanh" or "relu", which no state dict holds.
        check: as in `recurrax.convert.weights_from`.

    Returns:
        (cell, params, notes) by layer and direction; the second direction is scanned with `reverse=True`, and the
        layer above reads both outputs side by side.

    Raises:
        ValueError: there is no such module under that prefix.
    """
    if isinstance(state, str | Path):
        from recurrax.convert.files import read_arrays

        state = read_arrays(Path(state)).arrays
    if f"{prefix}weight_ih_l0" not in state:
        have = ", ".join(list(state)[:5])
        raise ValueError(f"state: expected names that begin with {prefix + 'weight_ih_l0'!r}, got {have}")
    layers = []
    for layer in count():
        sides = [f"_l{layer}{way}" for way in DIRECTIONS if f"{prefix}weight_ih_l{layer}{way}" in state]
        if not sides:
            return tuple(layers)
        layers.append(tuple(_side(state, prefix, side, nonlinearity, check) for side in sides))
    raise AssertionError


def _side(state: Mapping[str, Any], prefix: str, suffix: str, nonlinearity: str, check: bool) -> Conversion:
    held = {name: np.asarray(array) for name, array in state.items() if name.startswith(prefix)}
    found = weights_from("torch", held, prefix=prefix, suffix=suffix)
    if isinstance(found.cell, Elman):
        found = found._replace(cell=Elman(found.cell.hidden_size, activation=nonlinearity))  # pyright: ignore
    return weights_from("torch", held, cell=found.cell, prefix=prefix, suffix=suffix, check=True) if check else found


def to_torch(layers: Sequence[Sequence[Any]], *, prefix: str = "", check: bool = False) -> dict[str, np.ndarray]:
    """The state dict of `torch.nn.RNN`, `LSTM` or `GRU` of what `from_torch` gives.

    Args:
        layers: by layer and direction, (cell, params) or (cell, params, notes).
        prefix: what the names begin with.
        check: as in `recurrax.convert.weights_to`.

    Raises:
        ValueError: PyTorch has no such cell.

    >>> import jax, recurrax
    >>> cell = recurrax.LSTM(4)
    >>> state = to_torch([[(cell, cell.init(jax.random.key(0), 3))]])
    >>> {name: array.shape for name, array in state.items()}["weight_hh_l0"]
    (16, 4)
    """
    state = {}
    for number, layer in enumerate(layers):
        for way, (cell, params, *_) in zip(DIRECTIONS, layer, strict=False):
            suffix = f"_l{number}{way}"
            state |= weights_to("torch", cell, params, prefix=prefix, suffix=suffix, check=check).arrays
    return state
