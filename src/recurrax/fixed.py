"""Arrays as fields of a cell."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jax.core import Tracer


@dataclass(frozen=True, eq=False, repr=False)
class Fixed:
    """An array that a cell holds and nothing trains: a mask, Dale's signs, a HiPPO matrix.

    A cell is static under `jax.jit`, so its fields are hashed and compared, which arrays refuse. This one is hashed and
    compared by shape, dtype and bytes, so that equal cells never recompile. A step uses `array`, which becomes a
    constant of the compiled program; among the parameters Optax would train it.

    Fields: `array`, anything that `numpy.asarray` takes, kept as a NumPy array that cannot be written.

    Raises:
        ValueError: the array holds objects, or is being traced, so that it has no values yet.

    >>> import jax.numpy as jnp
    >>> signs = Fixed([1.0, -1.0])
    >>> signs == Fixed([1.0, -1.0]), hash(signs) == hash(Fixed([1.0, -1.0])), signs == Fixed([1.0, 1.0])
    (True, True, False)
    >>> (jnp.ones(2) * signs.array).tolist()
    [1.0, -1.0]
    """

    array: np.ndarray

    def __post_init__(self):
        if isinstance(self.array, Tracer):
            raise ValueError(f"array: expected values, got a traced array of shape {self.array.shape}")
        values = np.array(self.array)  # a copy: nobody else can change it
        if values.dtype == object:
            raise ValueError(f"array: expected numbers, got objects of shape {values.shape}")
        values.flags.writeable = False
        object.__setattr__(self, "array", values)
        object.__setattr__(self, "_hash", hash(self._value()))  # asked for in every call: large arrays are read once

    def _value(self) -> tuple[Any, ...]:
        return self.array.shape, self.array.dtype.str, self.array.tobytes()

    def __hash__(self) -> int:
        return self._hash  # pyright: ignore[reportAttributeAccessIssue]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fixed) and self._value() == other._value()

    def __repr__(self) -> str:
        return f"Fixed({self.array.dtype}{list(self.array.shape)})"
