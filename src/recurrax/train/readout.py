"""A recurrent layer and a linear readout: the smallest model that can be trained on a task."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from recurrax.kernels import Implementation, scan
from recurrax.typing import Array, Cell, DTypeLike, Key, Params


class ReadoutParams(NamedTuple):
    """cell, the recurrent layer's parameters; kernel W (H, O) and bias b (O,) of the readout."""

    cell: Params
    kernel: Array
    bias: Array


@dataclass(frozen=True)
class Readout:
    """ŷ_t = y_t W + b on the outputs y of a cell, at every step or at the last one only.

    W is drawn as Flax's dense layers draw it, truncated N(0, 1/H); b starts at 0.

    Fields: `cell`; `input_size` D; `output_size` O; `every_step`, False for the last step only; `implementation` of
    `recurrax.scan`.

    >>> from recurrax import Elman
    >>> model = Readout(Elman(4), input_size=2, output_size=1, every_step=False)
    >>> params = model.init(jax.random.key(0))
    >>> model.predict(params, jnp.ones((5, 3, 2))).shape
    (3, 1)
    """

    cell: Cell
    input_size: int
    output_size: int
    every_step: bool
    implementation: Implementation | None = None

    def init(self, key: Key, dtype: DTypeLike = jnp.float32) -> ReadoutParams:
        """Draws the parameters of both."""
        if not isinstance(self.output_size, int) or self.output_size < 1:
            raise ValueError(f"output_size: expected a positive int, got {self.output_size!r}")
        cell_key, readout_key = jax.random.split(key)
        params = self.cell.init(cell_key, self.input_size, dtype)
        x = jax.ShapeDtypeStruct((self.input_size,), dtype)
        _, y = jax.eval_shape(self.cell.step, params, self.cell.initial_carry(params, (), dtype), x)
        size = y.shape[-1]
        kernel = jax.nn.initializers.lecun_normal()(readout_key, (size, self.output_size), dtype)
        return ReadoutParams(cell=params, kernel=kernel, bias=jnp.zeros(self.output_size, dtype))

    def predict(self, params: ReadoutParams, xs: Array) -> Array:
        """Predictions (T, *batch, O), or (*batch, O) of the last step, from xs (T, *batch, D)."""
        outputs = scan(self.cell, params.cell, xs, implementation=self.implementation).outputs
        ys = outputs if self.every_step else outputs[-1]
        return ys @ params.kernel + params.bias.reshape((1,) * (ys.ndim - 1) + params.bias.shape)
