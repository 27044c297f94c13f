"""A recurrent layer and a linear readout: the smallest model that can be trained on a task."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from recurrax import keys
from recurrax.kernels import Implementation, arguments, scan
from recurrax.typing import Array, Cell, DTypeLike, Key, Params


class ReadoutParams(NamedTuple):
    """cell, the layer's; kernel W (H, O) and bias b (O,) of the readout; embedding E (symbols, D), None without."""

    cell: Params
    kernel: Array
    bias: Array
    embedding: Array | None = None


@dataclass(frozen=True)
class Readout:
    """ŷ_t = y_t W + b on the outputs y of a cell, at every step or at the last one only.

    For classes, ŷ are logits and O is their number. Inputs are numbers, or, with `symbols`, whole numbers x_t below it
    that are looked up: the cell then sees E[x_t]. W is drawn as Flax's dense layers draw it, truncated N(0, 1/H), E as
    its embeddings, N(0, 1/D); b starts at 0.

    Fields: `cell`; `input_size` D of what the cell sees; `output_size` O; `every_step`, False for the last step only;
    `implementation` of `recurrax.scan`; `symbols`, None for inputs that are not looked up.

    >>> from recurrax import Elman
    >>> model = Readout(Elman(4), input_size=2, output_size=1, every_step=False)
    >>> params = model.init(jax.random.key(0))
    >>> model.predict(params, jnp.ones((5, 3, 2))).shape
    (3, 1)
    >>> words = Readout(Elman(4), input_size=2, output_size=9, every_step=True, symbols=9)
    >>> words.predict(words.init(jax.random.key(0)), jnp.ones((5, 3), int)).shape
    (5, 3, 9)
    """

    cell: Cell
    input_size: int
    output_size: int
    every_step: bool
    implementation: Implementation | None = None
    symbols: int | None = None

    @property
    def needs_keys(self) -> bool:
        """Whether the cell holds keys in its carry, as one with `recurrax.Dropout` does: to be handed to `predict`."""
        carry = jax.eval_shape(
            lambda key: self.cell.initial_carry(self.cell.init(key, self.input_size), (), jnp.float32),
            jax.random.key(0),
        )
        return any(map(keys.is_key, jax.tree.leaves(carry)))

    def init(self, key: Key, dtype: DTypeLike = jnp.float32) -> ReadoutParams:
        """Draws the parameters.

        Raises:
            ValueError: `output_size` or `symbols` is no positive int.
        """
        for name, size in (("output_size", self.output_size), ("symbols", self.symbols)):
            if not (size is None and name == "symbols") and (not isinstance(size, int) or size < 1):
                raise ValueError(f"{name}: expected a positive int, got {size!r}")
        cell_key, readout_key = jax.random.split(key)
        params = self.cell.init(cell_key, self.input_size, dtype)
        x = jax.ShapeDtypeStruct((self.input_size,), dtype)
        _, y = jax.eval_shape(self.cell.step, params, self.cell.initial_carry(params, (), dtype), x)
        size = y.shape[-1]
        kernel = jax.nn.initializers.lecun_normal()(readout_key, (size, self.output_size), dtype)
        embedding = None
        if self.symbols is not None:
            # A key of its own, so that the other parameters are those of a model without symbols.
            shape = (self.symbols, self.input_size)
            embedding = jax.random.normal(jax.random.fold_in(key, 2), shape, dtype) / self.input_size**0.5
        return ReadoutParams(cell=params, kernel=kernel, bias=jnp.zeros(self.output_size, dtype), embedding=embedding)

    def predict(self, params: ReadoutParams, xs: Any, mask: Array | None = None, key: Key | None = None) -> Array:
        """Predictions (T, *batch, O), or (*batch, O) of the last step.

        Args:
            params: from `init`.
            xs: (T, *batch, D), or with `symbols` whole numbers (T, *batch); or whatever `recurrax.scan` takes.
            mask: (T, *batch) bools, False at steps that the cell passes by, as `recurrax.scan` takes it. The last step
                is the last of all, so shorter sequences end there too.
            key: a single key or one for each row, (*batch,), of a cell that needs chance, see `recurrax.with_key`; None
                for no chance, as an evaluation wants it.

        Raises:
            ValueError: with `symbols`, the inputs are not whole numbers.
        """
        if params.embedding is not None:
            if not jnp.issubdtype(xs.dtype, jnp.integer):
                raise ValueError(f"xs: expected whole numbers below {self.symbols}, got {xs.dtype} {xs.shape}")
            xs = params.embedding[xs]
        carry = None
        if key is not None:
            xs, _, batch_shape = arguments.check_sequence(self.cell, params.cell, xs, rows=(mask,))
            carry = keys.with_key(arguments.carries(self.cell, params.cell, xs, batch_shape, None)[0], key)
        outputs = scan(self.cell, params.cell, xs, carry, mask=mask, implementation=self.implementation).outputs
        ys = outputs if self.every_step else outputs[-1]
        return ys @ params.kernel + params.bias.reshape((1,) * (ys.ndim - 1) + params.bias.shape)
