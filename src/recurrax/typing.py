"""Axis glossary, array aliases and the Cell contract: the words every other file is written in.

Axis letters, used in every docstring and in shape comments:

| letter | axis |
|---|---|
| T | time steps |
| B | batch; `*batch` stands for any number of batch axes, none included |
| D | input features |
| H | hidden units |
| G | gates of a cell, in the order its docstring gives |
| K | time lags, counted back from the last step |
| S | seeds |

Below the Flax floor time always comes first: inputs are (T, *batch, D). A name ending in `_t` is the value at step t,
one ending in `_tm1` the value at step t-1.
"""

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

import jax

# Not used here. JAX 0.12 adds settings to the key of every program when this is first imported: left to the first call
# of `recurrax.scan`, often inside a trace, it has that trace made twice.
import jax.extend.core
from jax.typing import DTypeLike

Array: TypeAlias = jax.Array
Key: TypeAlias = jax.Array
Shape: TypeAlias = Sequence[int]
Params: TypeAlias = Any
"""A NamedTuple of arrays, or any pytree of them."""
Carry: TypeAlias = Any
"""A NamedTuple of arrays (*batch, ...): all that a recurrence remembers between steps."""

ParamsT = TypeVar("ParamsT")
CarryT = TypeVar("CarryT")

__all__ = ["Array", "Carry", "CarryT", "Cell", "DTypeLike", "Key", "Params", "ParamsT", "Shape", "is_below"]


def is_below(size: Any, limit: int) -> bool:
    """Whether the size of an axis is known and below a limit: one that `jax.export` leaves open is not.

    >>> is_below(3, 8), is_below(8, 8)
    (True, False)
    """
    return isinstance(size, int) and size < limit


@runtime_checkable
class Cell(Protocol[ParamsT, CarryT]):
    """One step of a recurrence, cut where a kernel has to cut it.

    s_t = pointwise(θ, s_tm1, u_t, v_t),  u_t = project(θ, x_t),  v_t = recur(θ, s_tm1, u_t),  y_t = output(θ, s_t, u_t)

    A cell is a frozen dataclass: hashable, so it can be static under `jax.jit`; equal by value, so an equal cell
    never recompiles. Its methods are pure functions that accept any leading axes, so this one definition serves a
    step, a batch and a whole sequence. Inherit from this class to be given `step`, or write a class with the same
    methods: the contract is structural. `Cell[MyParams, MyCarry]` tells a type checker what `result.carry` is.

    Parameters, carry and projection are any pytrees of arrays; so is x, if the cell reads more than one array. Integer
    and bool leaves and keys are carried along and have no gradient; a reset leaves keys as they are. Arrays that
    nothing trains are fields of the cell, as `recurrax.Fixed`.

    A cell that is linear in its carry may say so by one method more, `coefficients(params, u) -> (a, b)`, both of the
    carry's structure: s_t = a_t * s_tm1 + b_t leaf by leaf, where a_t broadcasts against the leaf (of a decay that is
    the same at every step, (H,)). Time can then be walked in parallel, see `implementation="associative"`.

    A cell whose step is that of cuDNN's LSTM may say so by `cudnn(params) -> (kernel (D, 4, H), recurrent_kernel
    (H, 4, H), bias (4, H))`, gates i, f, g, o, its carry being (h, c) and its output h; it returns None for fields
    with which its step is another. NVIDIA's library can then run it, see `implementation="cudnn"`.

    A cell that is a stack in depth may say so by `layers`, a tuple of cells from the bottom up: params and carry are
    tuples with an entry for each, and a step is theirs, each reading the output of the one below. It is then scanned
    layer by layer, see `implementation="layered"`, where its step is found to be just that.

    What the cut buys: `project` sees the whole sequence in one product, `recur` and `pointwise` alone stay in the loop,
    and the gradient of every kernel is a single product after it, wherever in the step that kernel stands. What a step
    computes from parameters alone is computed once, and a product that only the output waits for after the loop.

    `recurrax.check_cell` runs the laws of this contract on any cell.
    """

    def init(self, key: Key, input_size: int, dtype: DTypeLike = ...) -> ParamsT:
        """Draws the parameters for inputs with `input_size` features."""
        ...

    def initial_carry(self, params: ParamsT, batch_shape: Shape, dtype: DTypeLike) -> CarryT:
        """The carry before the first step, each field (*batch_shape, ...): zeros unless learned."""
        ...

    def project(self, params: ParamsT, x: Array) -> Any:
        """u: everything that does not need the carry, from x (..., D): a whole sequence or a step."""
        ...

    def recur(self, params: ParamsT, carry: CarryT, u: Any) -> Any:
        """v: the matrix products with the carry, the only heavy work inside the loop."""
        ...

    def pointwise(self, params: ParamsT, carry: CarryT, u: Any, v: Any) -> CarryT:
        """The next carry, by arithmetic that never mixes rows of the batch: gates and their mixing."""
        ...

    def output(self, params: ParamsT, carry: CarryT, u: Any) -> Array:
        """y: what the layer above sees, from the carry after the step and the step's projection."""
        ...

    def step(self, params: ParamsT, carry: CarryT, x: Array) -> tuple[CarryT, Array]:
        """One whole step: (params, carry (*batch, ...), x (*batch, D)) to (next carry, y).

        With `params` bound it has the signature `jax.lax.scan` wants.
        """
        u = self.project(params, x)
        carry = self.pointwise(params, carry, u, self.recur(params, carry, u))
        return carry, self.output(params, carry, u)
