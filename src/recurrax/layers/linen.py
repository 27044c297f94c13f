"""`recurrax.linen.RNN`: a layer for Flax's linen around any cell, with the parameters of `recurrax.nnx.RNN`."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.core import FrozenDict

from recurrax.kernels import Implementation, arguments
from recurrax.layers import call
from recurrax.layers.dropout import Rates, wrapped
from recurrax.typing import Array, Carry, Cell, DTypeLike, Key, Params

__all__ = ["RNN"]


class RNN(nn.Module):
    """Runs a cell over sequences: `recurrax.scan` with parameters of its own.

    The "params" collection holds the cell's parameters under the cell's names; those without a gradient, such as an
    integer permutation, are in "constants", which no optimiser sees. Stacks and bidirectional layers are
    compositions: `nn.Sequential` of two layers, or two layers of which one has `reverse=True`.

    Fields:
        cell: any cell of the contract.
        input_size: what the cell's `init` is told; None is the last axis of a floating inputs array.
        time_major: inputs are (T, *batch, D) instead of (*batch, T, D); mask, resets and outputs likewise.
        return_carry: return (carry, outputs) instead of outputs.
        reverse: walk from the last valid step to the first.
        dtype: compute dtype, to which inputs and parameters are cast; the carry and so the outputs stay at least
            float32. None promotes, as `recurrax.scan` does.
        param_dtype: dtype the parameters are kept in, bfloat16 included.
        truncate, implementation, unroll, chunk: as in `recurrax.scan`.
        keep_order: whether outputs of a reversed walk stay at their own positions; False gives them in the order of the
            walk, padding last.
        dropout, recurrent_dropout, zoneout: probabilities, as of `recurrax.nnx.RNN`. Where one is not 0, `apply` needs
            `deterministic` and, unless that is True, a key under "dropout" in `rngs`.
        deterministic: as in `nn.Dropout`, whether nothing is drawn; here or in the call.
        variable_axes, variable_broadcast, variable_carry, split_rngs: how Flax's own layer lifts its cell's variables
            over time; here parameters are shared by all steps, and what differs from these defaults is refused.

    Differs from: Flax's `linen.RNN`, as `recurrax.nnx.RNN` differs from Flax's `nnx.RNN`.

    >>> import jax, jax.numpy as jnp, recurrax
    >>> lstm = recurrax.linen.RNN(recurrax.LSTM(4))
    >>> variables = lstm.init(jax.random.key(0), jnp.ones((2, 5, 3)))
    >>> jax.tree.map(jnp.shape, variables)
    {'params': {'bias': (4, 4), 'kernel': (3, 4, 4), 'recurrent_kernel': (4, 4, 4)}}
    >>> carry, outputs = lstm.apply(variables, jnp.ones((2, 5, 3)), seq_lengths=jnp.array([5, 2]), return_carry=True)
    >>> outputs.shape, carry.h.shape, carry.c.shape
    ((2, 5, 4), (2, 4), (2, 4))

    A stack:

    >>> from flax import linen as nn
    >>> stack = nn.Sequential([recurrax.linen.RNN(recurrax.LSTM(4)), recurrax.linen.RNN(recurrax.GRU(2))])
    >>> outputs, _ = stack.init_with_output(jax.random.key(0), jnp.ones((2, 5, 3)))
    >>> outputs.shape
    (2, 5, 2)
    """

    cell: Cell
    input_size: int | None = None
    time_major: bool = False
    return_carry: bool = False
    reverse: bool = False
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32
    truncate: int | None = None
    implementation: Implementation | None = None
    keep_order: bool = True
    unroll: int = 1
    chunk: int | None = None
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    zoneout: float = 0.0
    deterministic: bool | None = None
    variable_axes: Mapping[Any, Any] = FrozenDict()
    variable_broadcast: Any = "params"
    variable_carry: Any = False
    split_rngs: Mapping[Any, bool] = FrozenDict({"params": False})

    @nn.compact
    def __call__(
        self,
        inputs: Any,
        *,
        initial_carry: Carry | None = None,
        init_key: Key | None = None,
        seq_lengths: Array | None = None,
        mask: Array | None = None,
        resets: Array | None = None,
        return_carry: bool | None = None,
        time_major: bool | None = None,
        reverse: bool | None = None,
        keep_order: bool | None = None,
        deterministic: bool | None = None,
    ) -> Array | tuple[Carry, Array]:
        """Outputs (*batch, T, H), or (carry, outputs) with `return_carry`; arguments as a call of `recurrax.nnx.RNN`.

        `init_key` is for Flax's containers, which hand it on: initial carries are not drawn.

        Raises:
            ValueError: an argument has the wrong shape, dtype or structure.
        """
        arguments.check_is_cell(self.cell)
        call.check_floating("dtype", self.dtype)
        call.check_floating("param_dtype", self.param_dtype)
        for name in ("variable_axes", "variable_broadcast", "variable_carry", "split_rngs"):
            call.check_is_usual(name, getattr(self, name), getattr(type(self), name))
        time_major = self.time_major if time_major is None else time_major
        call.check_inputs(inputs, time_major)
        outputs, carry = call.run_layer(
            self.cell,
            self._params(inputs),
            inputs,
            initial_carry,
            seq_lengths=seq_lengths,
            mask=mask,
            resets=resets,
            time_major=time_major,
            reverse=self.reverse if reverse is None else reverse,
            keep_order=self.keep_order if keep_order is None else keep_order,
            dtype=self.dtype,
            unroll=self.unroll,
            chunk=self.chunk,
            truncate=self.truncate,
            implementation=self.implementation,
            rates=self._rates,
            key=self._key(deterministic),
        )
        return_carry = self.return_carry if return_carry is None else return_carry
        return (carry, outputs) if return_carry else outputs

    @property
    def wrapped_cell(self) -> Cell:
        """The cell that is scanned: `cell`, in `recurrax.Dropout` and `recurrax.Zoneout` where their rates are set."""
        return wrapped(self.cell, self._rates)

    @nn.nowrap
    def cell_params(self, variables: Mapping[str, Any]) -> Params:
        """The parameters as the cell's own pytree, for `recurrax.scan` and for the instruments.

        >>> import recurrax
        >>> gru = RNN(recurrax.GRU(4))
        >>> gru.cell_params(gru.init(jax.random.key(0), jnp.ones((5, 3)))).recurrent_bias.shape
        (4,)
        """
        like = self._layout(self.input_size or 1)
        held = [variables.get(collection, {}) for collection in ("params", "constants")]

        def value(name: str, like: Any) -> Any:
            parts = [
                call.in_structure_of(part, has.get(name)) for part, has in zip(call.parted(like), held, strict=True)
            ]
            return call.merged(like, *parts)

        return call.of_fields(like, {name: value(name, part) for name, part in call.fields(like).items()})

    @property
    def _rates(self) -> Rates:
        return Rates(self.dropout, self.recurrent_dropout, self.zoneout)

    @nn.nowrap
    def _key(self, deterministic: bool | None) -> Key | None:
        """The key of one call, None where nothing is drawn."""
        self._rates.check()
        if not any(self._rates) or nn.merge_param("deterministic", self.deterministic, deterministic):
            return None
        return self.make_rng("dropout")

    @nn.nowrap
    def _layout(self, input_size: int) -> Params:
        """Shapes and dtypes of the parameters."""
        return jax.eval_shape(lambda key: self.wrapped_cell.init(key, input_size, self.param_dtype), jax.random.key(0))

    def _params(self, inputs: Any) -> Params:
        input_size = self.input_size
        if input_size is None:
            if not hasattr(inputs, "shape") or not call.is_floating(inputs):
                raise ValueError("input_size: expected an int where inputs are not one floating array, got None")
            input_size = inputs.shape[-1]
        params = self._layout(input_size)
        if self.is_initializing():
            # One key for all fields, so that they are what one call of cell.init draws.
            params = self.cell.init(self.make_rng("params"), input_size, self.param_dtype)
        else:
            self._check_held(params)
        return call.of_fields(params, {name: self._field(name, part) for name, part in call.fields(params).items()})

    def _field(self, name: str, value: Any) -> Any:
        """The parameter of that name, shaped like `value`: arrays when initialising, shapes afterwards."""
        if not jax.tree.leaves(value):
            return value
        found = []
        for collection, part in zip(("params", "constants"), call.parted(value), strict=True):
            held = self.get_variable(collection, name)
            if not jax.tree.leaves(part):
                found.append(None)
            elif held is not None:
                # As a checkpoint gives it back, a list or dict may stand for a tuple or its kind.
                found.append(call.in_structure_of(part, held))
            elif collection == "params":
                found.append(self.param(name, lambda key, part=part: jax.tree.map(_array, part)))
            else:
                found.append(self.variable(collection, name, lambda part=part: jax.tree.map(_array, part)).value)
        return call.merged(value, *found)

    def _check_held(self, expected: Params) -> None:
        """Raises a ValueError where parameters are there and are not the cell's for such inputs."""
        held = self.variables.get("params", {})
        trained = {name: call.parted(value)[0] for name, value in call.fields(expected).items()}
        found = call.in_structure_of(trained, held)
        if not held:
            return
        if found is None:
            raise call.wrong_names(self.cell, trained, held)
        shapes = jax.tree.map(jnp.shape, found)
        for name, part in trained.items():
            asked = jax.tree.map(jnp.shape, part)
            if shapes[name] == asked:
                continue
            if self.input_size is None and any(self._fits(shapes, size) for size in jax.tree.leaves(shapes)):
                came = f"{name} {shapes[name]}, got need of {asked}"
                raise ValueError(f"inputs: expected what the parameters were made for, {came}")
            raise call.wrong_shape(self.cell, f".{name}", shapes[name], asked)

    @nn.nowrap
    def _fits(self, shapes: Any, input_size: int) -> bool:
        """Whether parameters of these shapes are the cell's for inputs of that size."""
        trained = {name: call.parted(value)[0] for name, value in call.fields(self._layout(input_size)).items()}
        return jax.tree.map(jnp.shape, trained) == shapes


def _array(leaf: Array | jax.ShapeDtypeStruct) -> Array:
    # Flax asks an initialiser for its shapes on every call, and abstractly: these zeros are never made.
    return jnp.zeros(leaf.shape, leaf.dtype) if isinstance(leaf, jax.ShapeDtypeStruct) else leaf
