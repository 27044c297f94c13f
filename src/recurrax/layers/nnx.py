"""`recurrax.nnx.RNN`: a layer for Flax's nnx around any cell.

Parameters are the cell's own, as fields of the layer under the cell's names: what a checkpoint, an optimiser mask or
a sharding rule sees is `kernel`, `recurrent_kernel`, `bias`, the same as `recurrax.linen.RNN` holds.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax.kernels import Implementation, arguments
from recurrax.layers import call
from recurrax.layers.dropout import Rates, wrapped
from recurrax.typing import Array, Carry, Cell, DTypeLike, Key, Params

__all__ = ["RNN"]


class RNN(nnx.Module):
    """Runs a cell over sequences: `recurrax.scan` with parameters of its own.

    Stacks and bidirectional layers are compositions: `nnx.Sequential` of two layers, or two layers of which one has
    `reverse=True`.

    Args:
        cell: any cell of the contract whose parameters are a NamedTuple.
        input_size: D, features of the inputs.
        time_major: inputs are (T, *batch, D) instead of (*batch, T, D); mask, resets and outputs likewise.
        return_carry: return (carry, outputs) instead of outputs.
        reverse: walk from the last valid step to the first.
        keep_order: whether outputs of a reversed walk stay at their own positions; False gives them in the order of the
            walk, padding last.
        dtype: compute dtype, to which inputs and parameters are cast; the carry and so the outputs stay at least
            float32. None promotes, as `recurrax.scan` does.
        param_dtype: dtype the parameters are kept in, bfloat16 included.
        unroll, chunk, truncate, implementation: as in `recurrax.scan`.
        dropout: probability with which a feature of the inputs is dropped for the whole sequence of a row, the others
            divided by 1 - dropout.
        recurrent_dropout: likewise of the state as the recurrent products read it, `recurrax.Dropout`.
        zoneout: probability with which a unit of the state stays as it was at a step, `recurrax.Zoneout`.
        deterministic: as in `nnx.Dropout`: whether nothing is drawn, as `model.eval()` and `model.train()` set it.
        rngs: the parameters are drawn from its "params" stream, and at each call of a layer that drops, a key for each
            row from a fork of its "dropout" stream.
        state_axes, broadcast_rngs: how Flax's own layer lifts its cell's state over time; here parameters are shared by
            all steps, and what differs from these defaults is refused.

    With dropout or zoneout the carry holds the keys, in a `DropoutCarry` or `ZoneoutCarry` around the cell's: masks
    stay through resets, and where a carry is handed on, through the windows of one sequence.

    Raises:
        ValueError: an argument is not what is said here.

    Differs from: Flax's `nnx.RNN` takes one of Flax's cells and scans over it. There `keep_order` is False by default,
    dropout is a layer of its own with another mask at each step, a length of 0 gives the state after all the padding
    (here the initial carry), outputs at padded steps are not zeroed, NaN in padding reaches every gradient, and an
    LSTM's carry is the plain tuple (c, h), which can be swapped unnoticed.

    >>> import jax, jax.numpy as jnp, recurrax
    >>> from flax import nnx
    >>> rngs = nnx.Rngs(0)
    >>> lstm = recurrax.nnx.RNN(recurrax.LSTM(4), 3, rngs=rngs)
    >>> lstm.kernel.shape, lstm.recurrent_kernel.shape, lstm.bias.shape
    ((3, 4, 4), (4, 4, 4), (4, 4))
    >>> carry, outputs = lstm(jnp.ones((2, 5, 3)), seq_lengths=jnp.array([5, 2]), return_carry=True)
    >>> outputs.shape, carry.h.shape, carry.c.shape
    ((2, 5, 4), (2, 4), (2, 4))

    A stack, and both directions:

    >>> stack = nnx.Sequential(lstm, recurrax.nnx.RNN(recurrax.GRU(2), 4, rngs=rngs))
    >>> stack(jnp.ones((2, 5, 3))).shape
    (2, 5, 2)
    >>> backward = recurrax.nnx.RNN(recurrax.LSTM(4), 3, reverse=True, rngs=rngs)
    >>> jnp.concatenate([layer(jnp.ones((2, 5, 3))) for layer in (lstm, backward)], axis=-1).shape
    (2, 5, 8)

    Dropout, on until `eval`:

    >>> gru = recurrax.nnx.RNN(recurrax.GRU(4), 3, dropout=0.2, recurrent_dropout=0.2, rngs=nnx.Rngs(0, dropout=1))
    >>> first, second = gru(jnp.ones((2, 5, 3)))  # two equal rows, two masks
    >>> gru.eval()
    >>> third, fourth = gru(jnp.ones((2, 5, 3)))
    >>> bool(jnp.all(first == second)), bool(jnp.all(third == fourth))
    (False, True)
    """

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        *,
        time_major: bool = False,
        return_carry: bool = False,
        reverse: bool = False,
        keep_order: bool = True,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        unroll: int = 1,
        chunk: int | None = None,
        truncate: int | None = None,
        implementation: Implementation | None = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        deterministic: bool = False,
        state_axes: None = None,
        broadcast_rngs: None = None,
        rngs: nnx.Rngs,
    ):
        arguments.check_is_cell(cell)
        call.check_floating("dtype", dtype)
        call.check_floating("param_dtype", param_dtype)
        call.check_is_usual("state_axes", state_axes, None)
        call.check_is_usual("broadcast_rngs", broadcast_rngs, None)
        if not isinstance(rngs, nnx.Rngs):
            raise ValueError(f"rngs: expected flax.nnx.Rngs, to draw the parameters from, got {rngs!r:.80}")
        self.cell = cell
        self.input_size = input_size
        self.time_major = time_major
        self.return_carry = return_carry
        self.reverse = reverse
        self.keep_order = keep_order
        self.dtype = dtype
        self.param_dtype = param_dtype
        self.unroll = unroll
        self.chunk = chunk
        self.truncate = truncate
        self.implementation: Implementation | None = implementation
        self.rates = Rates(dropout, recurrent_dropout, zoneout)
        self.rates.check()
        self.deterministic = deterministic
        params = self.wrapped_cell.init(rngs.params(), input_size, param_dtype)
        self.rngs = nnx.data(rngs["dropout"].fork() if any(self.rates) else None)
        self.params_tree = jax.tree.structure(params)
        for name, value in call.fields(params).items():
            if name in vars(self) or hasattr(type(self), name):
                raise ValueError(f"cell: expected parameter names that RNN does not use itself, got {name!r}")
            setattr(self, name, None if value is None else nnx.data(jax.tree.map(_variable, value)))

    @property
    def wrapped_cell(self) -> Cell:
        """The cell that is scanned: `cell`, in `recurrax.Dropout` and `recurrax.Zoneout` where their rates are set."""
        return wrapped(self.cell, self.rates)

    @property
    def params(self) -> Params:
        """The parameters as the cell's own pytree, for `recurrax.scan` and for the instruments.

        >>> import recurrax
        >>> recurrax.nnx.RNN(recurrax.GRU(4), 3, rngs=nnx.Rngs(0)).params.recurrent_bias.shape
        (4,)
        """
        like = jax.tree.unflatten(self.params_tree, range(self.params_tree.num_leaves))
        fields = {name: getattr(self, name) for name in call.fields(like)}
        fields = {name: jax.tree.map(_value, field, is_leaf=_is_variable) for name, field in fields.items()}
        return call.of_fields(like, fields)

    def set_params(self, params: Params) -> None:
        """Puts parameters in the place of the layer's own, in whose dtypes they are kept.

        Args:
            params: as `params` gives them, or a dict of their fields, as a checkpoint or `recurrax.linen.RNN` holds.

        Raises:
            ValueError: they are those of another cell, width or number of gates.

        >>> import recurrax
        >>> layer = recurrax.nnx.RNN(recurrax.GRU(4), 3, rngs=nnx.Rngs(0))
        >>> layer.set_params(layer.cell.init(jax.random.key(1), 3))
        """
        params = call.check_params(self.cell, params, self.params)
        for name, value in call.fields(params).items():
            jax.tree.map(_set_value, getattr(self, name), value, is_leaf=_is_variable)

    def __call__(
        self,
        inputs: Any,
        *,
        initial_carry: Carry | None = None,
        seq_lengths: Array | None = None,
        mask: Array | None = None,
        resets: Array | None = None,
        return_carry: bool | None = None,
        time_major: bool | None = None,
        reverse: bool | None = None,
        keep_order: bool | None = None,
        deterministic: bool | None = None,
        rngs: nnx.Rngs | nnx.RngStream | Key | None = None,
    ) -> Array | tuple[Carry, Array]:
        """Outputs (*batch, T, H), or (carry, outputs) with `return_carry`.

        Args:
            inputs: (*batch, T, D) floating, or any pytree of arrays (*batch, T, ...).
            initial_carry: the cell's carry, each field (*batch, ...), or one that this layer returned, whose masks go
                on; the cell's initial carry if None.
            seq_lengths: (*batch,) ints in 0..T; steps from there on are padding.
            mask: (*batch, T) bools, True = valid; combines with `seq_lengths`.
            resets: (*batch, T) bools, True = the carry entering the step is the cell's initial one.
            return_carry: instead of the layer's own, if not None.
            time_major: likewise.
            reverse: likewise.
            keep_order: likewise.
            deterministic: likewise.
            rngs: where keys are drawn from instead of the layer's own stream, if not None: the "dropout" stream of an
                `nnx.Rngs`, a stream, or a key. A "carry" stream, as `nnx.Bidirectional` hands on, draws nothing here.

        Raises:
            ValueError: an argument has the wrong shape, dtype or structure.
        """
        time_major = self.time_major if time_major is None else time_major
        outputs, carry = call.run_layer(
            self.cell,
            self.params,
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
            rates=self.rates,
            key=self._key(self.deterministic if deterministic is None else deterministic, rngs),
        )
        return_carry = self.return_carry if return_carry is None else return_carry
        return (carry, outputs) if return_carry else outputs

    def set_view(self, deterministic: bool | None = None) -> None:
        """What `nnx.view` sets, as of `nnx.Dropout`.

        Args:
            deterministic: whether nothing is drawn, if not None.
        """
        if deterministic is not None:
            self.deterministic = deterministic

    def _key(self, deterministic: bool, rngs: nnx.Rngs | nnx.RngStream | Key | None) -> Key | None:
        """The key of one call, None where nothing is drawn."""
        if deterministic or not any(self.rates):
            return None
        if rngs is None or (isinstance(rngs, nnx.RngStream) and rngs.tag == "carry"):
            rngs = self.rngs
        if isinstance(rngs, nnx.Rngs):
            rngs = rngs["dropout"]
        return rngs() if isinstance(rngs, nnx.RngStream) else rngs


def _variable(leaf: Array) -> nnx.Variable:
    """A parameter, or, for a leaf without a gradient, a variable that no optimiser sees."""
    return nnx.Param(leaf) if call.is_trained(leaf) else nnx.Variable(leaf)


def _value(variable: nnx.Variable) -> Array:
    return variable[...]


def _set_value(variable: nnx.Variable, value: Array) -> None:
    variable[...] = jnp.asarray(value, variable.dtype)


def _is_variable(node: object) -> bool:
    return isinstance(node, nnx.Variable)
