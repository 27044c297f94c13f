"""`recurrax.Fixed`: arrays as fields of a cell, equal by value."""

import copy
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tolerances import assert_close

import recurrax
from recurrax import Elman, Fixed


@dataclass(frozen=True)
class Masked(Elman):
    """An Elman network whose recurrent kernel keeps the entries of a mask (H, H) alone."""

    mask: Fixed = Fixed(np.ones((3, 3)))  # noqa: RUF009 (it cannot be changed)

    def recur(self, params, carry, u):
        kernel = params.recurrent_kernel * jnp.asarray(self.mask.array, jnp.float32)[:, None]
        return super().recur(params._replace(recurrent_kernel=kernel), carry, u)


def test_equal_by_shape_dtype_and_bytes():
    one = Fixed(np.arange(4.0))
    equal = [Fixed([0.0, 1.0, 2.0, 3.0]), copy.deepcopy(one), Fixed(jnp.arange(4.0, dtype=jnp.float32).astype(float))]
    assert one == equal[0] == equal[1]
    assert hash(one) == hash(equal[0]) == hash(equal[1])
    for other in (
        Fixed(np.arange(4)),
        Fixed(np.arange(4.0).reshape(2, 2)),
        Fixed([0.0, 1.0, 2.0, 4.0]),
        np.arange(4.0),
    ):
        assert not isinstance(other, Fixed) or one != other


def test_nothing_changes_it():
    given = np.ones(3)
    fixed = Fixed(given)
    given[0] = 2.0
    assert fixed.array.tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(ValueError, match="read-only"):
        fixed.array[0] = 2.0


def test_objects_and_traced_arrays_are_refused():
    with pytest.raises(ValueError, match=r"^array: expected numbers, got objects of shape \(1,\)"):
        Fixed([{}])
    with pytest.raises(ValueError, match=r"^array: expected values, got a traced array of shape \(2,\)"):
        jax.jit(lambda x: Fixed(x).array)(jnp.ones(2))


def test_a_masked_cell_is_the_cell_with_a_masked_kernel_and_never_compiles_twice():
    mask = np.tril(np.ones((3, 3)))
    cell = Masked(3, mask=Fixed(mask))
    params = cell.init(jax.random.key(0), 2)
    xs = jax.random.normal(jax.random.key(1), (6, 4, 2))
    masked = params._replace(recurrent_kernel=params.recurrent_kernel * mask[:, None].astype(np.float32))
    assert_close(recurrax.scan(cell, params, xs).outputs, recurrax.scan(Elman(3), masked, xs).outputs, "float32")
    gradient = jax.grad(lambda params: jnp.sum(recurrax.scan(cell, params, xs).outputs))(params)
    assert np.all((np.asarray(gradient.recurrent_kernel[:, 0]) != 0) == (mask != 0))

    traces = []
    run = jax.jit(lambda cell, xs: traces.append(0) or recurrax.scan(cell, params, xs).outputs, static_argnums=0)
    run(cell, xs)
    run(Masked(3, mask=Fixed(mask.copy())), xs)
    assert len(traces) == 1
    run(replace(cell, mask=Fixed(1 - mask)), xs)
    assert len(traces) == 2
