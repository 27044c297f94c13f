"""Any library's step as a Cell, unchanged: `from_step`, and what all adapters share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from recurrax.fixed import Fixed
from recurrax.kernels import jaxprs
from recurrax.typing import Array, Carry, Cell, DTypeLike, Key, Params, Shape

Step: TypeAlias = Callable[[Params, Carry, Any], tuple[Carry, Array]]
"""(params, carry, x) of one row to (next carry, y)."""
Output: TypeAlias = Callable[[Params, Carry, Any], Array]
"""(params, carry after the step, x) of one row to y."""
Draw: TypeAlias = Callable[[Key, int], Params]
"""(key, input_size) to parameters."""


@dataclass(frozen=True)
class FixedTree:
    """A pytree of arrays that a cell holds and nothing trains: hashed and compared as `recurrax.Fixed` is."""

    tree: Any  # the structure
    leaves: tuple[Fixed, ...]

    @classmethod
    def of(cls, name: str, tree: Any) -> "FixedTree":
        """The tree, by the name of an argument.

        Raises:
            ValueError: a leaf is no array of numbers, or is being traced.
        """
        leaves, structure = jax.tree.flatten(tree)
        for leaf in leaves:
            if not hasattr(leaf, "__array__") and not isinstance(leaf, bool | int | float | complex):
                raise ValueError(f"{name}: expected a pytree of arrays, got a leaf of type {type(leaf).__name__}")
            if jnp.issubdtype(jnp.result_type(leaf), jax.dtypes.prng_key):
                raise ValueError(f"{name}: expected arrays of numbers, got a key; keep random state out of the cell")
        return cls(structure, tuple(Fixed(leaf) for leaf in leaves))

    def arrays(self) -> Any:
        """The tree, of new JAX arrays."""
        return self.tree.unflatten([jnp.array(leaf.array) for leaf in self.leaves])


@dataclass(frozen=True, repr=False)
class Foreign(Cell[Params, Carry]):
    """A cell whose step somebody else wrote: `project` is the identity, `pointwise` the whole step, row by row.

    Fields: `name`, what sentences call it; `advance`, the step of one row; `draw`, the parameters, fixed or a function
    of (key, input_size); `start`, one row's carry before the first step, fixed or a function of the parameters;
    `output_of`, y as a function of (params, carry after the step, x), read off the step if None; `input_size`, the
    features it takes, if known; `batched`, whether the step wants one batch axis instead of a single row.
    """

    name: str
    advance: Step
    draw: FixedTree | Draw
    start: FixedTree | Callable[[Params], Carry]
    output_of: Output | None = None
    input_size: int | None = None
    batched: bool = False

    def __repr__(self) -> str:
        return self.name

    def __deepcopy__(self, memo: Any) -> "Foreign":
        return self  # nothing in it can change; copies of Flax's modules are not equal to what they are copied from

    @property
    def params(self) -> Params:
        """The parameters that came with the step.

        Raises:
            ValueError: none did; `init` draws them.
        """
        if not isinstance(self.draw, FixedTree):
            raise ValueError(f"params: {self.name} came without parameters; cell.init(key, input_size) draws them")
        return self.draw.arrays()

    def init(self, key: Key, input_size: int, dtype: DTypeLike = jnp.float32) -> Params:
        if self.input_size is not None and input_size != self.input_size:
            raise ValueError(f"input_size: expected {self.input_size}, what {self.name} takes, got {input_size}")
        drawn = self.draw.arrays() if isinstance(self.draw, FixedTree) else self.draw(key, input_size)
        return jax.tree.map(lambda leaf: _cast(leaf, dtype), drawn)

    def initial_carry(self, params: Params, batch_shape: Shape, dtype: DTypeLike) -> Carry:
        row = self._row(params)
        return jax.tree.map(
            lambda leaf: jnp.array(jnp.broadcast_to(_cast(leaf, dtype), (*batch_shape, *leaf.shape))), row
        )

    def project(self, params: Params, x: Any) -> Any:
        if self.input_size is not None and jnp.shape(x)[-1:] != (self.input_size,):
            raise ValueError(f"xs: expected {self.input_size} features on the last axis, got shape {jnp.shape(x)}")
        return x

    def recur(self, params: Params, carry: Carry, u: Any) -> tuple[()]:
        return ()

    def pointwise(self, params: Params, carry: Carry, u: Any, v: tuple[()]) -> Carry:
        stepped = self._over_rows(lambda *row: self.advance(*row)[0], params, carry, u)
        if jax.tree.structure(stepped) != jax.tree.structure(carry):
            return stepped  # `scan` says what is wrong
        return jax.tree.map(lambda new, old: new.astype(old.dtype) if new.dtype != old.dtype else new, stepped, carry)

    def output(self, params: Params, carry: Carry, u: Any) -> Array:
        return self._over_rows(self.output_of or self._read_off, params, carry, u)

    def _read_off(self, params: Params, carry: Carry, x: Any) -> Array:
        """Y by the equations of the step that lie between the carry it returns and y.

        Raises:
            ValueError: y follows from something that is not in that carry.
        """
        step = jaxprs.trace(self.advance, *jax.tree.map(_like, (params, carry, x)))
        known, before = len(jax.tree.leaves(params)), len(jax.tree.leaves(carry))
        inputs, (*after, y) = step.jaxpr.invars, step.jaxpr.outvars
        values = dict(zip(inputs[:known], jax.tree.leaves(params), strict=True))
        values |= zip(inputs[known + before :], jax.tree.leaves(x), strict=True)
        # What is both the carry before and after has the value after; a literal has no need of one.
        values |= {v: leaf for v, leaf in zip(after, jax.tree.leaves(carry), strict=True) if jaxprs.variables([v])}
        old = set(inputs[known : known + before]) - values.keys()
        if old.intersection(jaxprs.reached(step, [y], old | values.keys())):
            raise ValueError(
                f"step: expected an output that follows from the carry {self.name} returns; "
                "let it return what the output needs, or say output=(params, carry, x) -> y"
            )
        (found,) = jaxprs.part(step, list(values), [y])(*values.values())
        return found

    def _row(self, params: Params) -> Carry:
        """One row's carry before the first step."""
        return self.start.arrays() if isinstance(self.start, FixedTree) else self.start(params)

    def _over_rows(self, function: Callable[..., Any], params: Params, carry: Carry, x: Any) -> Any:
        """`function` of one row, for the rows of any number of batch axes: leaves (*batch, ...)."""
        row = jax.eval_shape(self._row, params)
        first, of_row = jax.tree.leaves(carry)[0], jax.tree.leaves(row)[0]
        axes = first.ndim - len(of_row.shape)
        if not self.batched:
            for _ in range(axes):
                function = jax.vmap(function, in_axes=(None, 0, 0))
            return function(params, carry, x)
        shape = first.shape[:axes]
        flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[axes:]), (carry, x))  # (B, ...)
        return jax.tree.map(lambda leaf: leaf.reshape(*shape, *leaf.shape[1:]), function(params, *flat))


def _cast(leaf: Any, dtype: DTypeLike) -> Array:
    """A leaf as an array, in `dtype` if it is floating and in its complex counterpart if it is complex."""
    leaf = jnp.asarray(leaf)
    if jnp.issubdtype(leaf.dtype, jnp.floating):
        return leaf.astype(dtype)
    if jnp.issubdtype(leaf.dtype, jnp.complexfloating):
        return leaf.astype(jnp.promote_types(dtype, jnp.complex64))
    return leaf


def _like(leaf: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)


def from_step(
    step: Step,
    params: Any,
    carry: Any,
    *,
    output: Output | None = None,
    input_size: int | None = None,
    batched: bool = False,
) -> Foreign:
    """Any function of one step as a cell, unchanged: for `recurrax.scan`, its gradient and every instrument.

    s_t, y_t = step(θ, s_tm1, x_t)

    Args:
        step: (params, carry, x) to (next carry, y), of one row: no leaf has a batch axis, since rows are mapped over.
            y has to follow from the next carry, the parameters and x, as it does wherever y is the hidden state.
        params: any pytree of arrays, which `cell.params` and `cell.init` give, or a function of a key that draws them.
        carry: one row's carry before the first step, any pytree of arrays, or a function of the parameters that gives
            it.
        output: y as a function of (params, next carry, x), for a step whose own y reads the carry before it.
        input_size: the features that x must have, where x is one floating array.
        batched: the step wants one batch axis, (B, ...), on every leaf of carry and x.

    Returns:
        A cell. Its parameters are `cell.params`; trained ones of the same structure are as good. The dtype that `init`
        is asked for is cast to.

    Raises:
        ValueError: `params` or `carry` are neither a pytree of numbers nor a function.

    >>> import recurrax
    >>> def step(w, h, x):
    ...     h = jnp.tanh(x + w * h)
    ...     return h, h
    >>> cell = recurrax.from_step(step, params=jnp.float32(0.5), carry=jnp.zeros(4))
    >>> result = recurrax.scan(cell, cell.params, jnp.ones((10, 3, 4)))
    >>> result.outputs.shape, result.carry.shape
    ((10, 3, 4), (3, 4))
    """
    if not callable(step):
        raise ValueError(f"step: expected a function (params, carry, x) -> (carry, y), got a {type(step).__name__}")
    name = getattr(step, "__name__", type(step).__name__)
    draw = (lambda key, input_size: params(key)) if _is_function(params) else FixedTree.of("params", params)
    start = carry if _is_function(carry) else FixedTree.of("carry", carry)
    return Foreign(f"from_step({name})", step, draw, start, output, input_size, batched)


def _is_function(value: Any) -> bool:
    """Whether a value is a function rather than a pytree, which may be one that can be called."""
    leaves = jax.tree.leaves(value)
    return callable(value) and len(leaves) == 1 and leaves[0] is value
