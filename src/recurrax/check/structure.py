"""One step of a cell in shapes and dtypes alone: every method traced by itself, nothing computed."""

from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from recurrax.check.subject import Subject
from recurrax.check.trial import has_gradient
from recurrax.typing import Carry, Params


class Structure(NamedTuple):
    """What the methods of a cell give for parameters of one dtype and one batch shape, as shapes."""

    dtype: Any  # of the parameters
    carry_dtype: Any  # what `recurrax.scan` asks for: at least float32
    batch_shape: tuple[int, ...]
    params: Params
    carry: Carry
    u: Any
    v: Any
    stepped: Carry
    y: Any


def structures(subject: Subject) -> Iterator[Structure]:
    """A structure for each dtype that the cell is checked for, and for none, one and two batch axes."""
    for dtype in [jnp.dtype(name) for name in subject.dtypes]:
        # The context is left before anything is yielded, or it would be the caller's too.
        with jax.enable_x64(True) if dtype == jnp.float64 else nullcontext():
            found = [_structure(subject, dtype, batch_shape) for batch_shape in ((), (2,), (2, 3))]
        yield from found


def _structure(subject: Subject, dtype: Any, batch_shape: tuple[int, ...]) -> Structure:
    cell, carry_dtype = subject.cell, jnp.promote_types(dtype, jnp.float32)

    def one_step(leaf: Any) -> jax.ShapeDtypeStruct:
        kind = carry_dtype if has_gradient(leaf) else leaf.dtype
        return jax.ShapeDtypeStruct((*batch_shape, *leaf.shape[2:]), kind)

    params = jax.eval_shape(partial(cell.init, input_size=subject.input_size, dtype=dtype), subject.key)
    carry = jax.eval_shape(lambda params: cell.initial_carry(params, batch_shape, carry_dtype), params)
    u = jax.eval_shape(cell.project, params, jax.tree.map(one_step, subject.xs))
    v = jax.eval_shape(cell.recur, params, carry, u)
    stepped = jax.eval_shape(cell.pointwise, params, carry, u, v)
    y = jax.eval_shape(cell.output, params, stepped, u)
    return Structure(dtype, carry_dtype, batch_shape, params, carry, u, v, stepped, y)
