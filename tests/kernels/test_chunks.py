"""`chunk=K`: the same numbers from less memory; and the forward walk, which keeps nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tolerances import assert_close
from walks import draw

import recurrax
from recurrax import LSTM
from recurrax.check.trial import value

STEPS = 11
LENGTHS = jnp.array([11, 4, 0])


def gradients(chunk, implementation="fused", **rows):
    cell = LSTM(4)
    params = cell.init(jax.random.key(0), 3)
    xs = jax.random.normal(jax.random.key(1), (STEPS, 3, 3))

    def loss(params, xs):
        result = recurrax.scan(cell, params, xs, chunk=chunk, implementation=implementation, **rows)
        return jnp.sum(result.outputs**2) + jnp.sum(result.carry.c)

    return jax.jit(jax.value_and_grad(loss, (0, 1)))(params, xs)


@pytest.mark.parametrize("chunk", [4, 1])
@pytest.mark.parametrize("rows", [{}, {"lengths": LENGTHS, "reverse": True}], ids=["forward", "reverse"])
def test_chunks_change_no_number(chunk, rows):
    assert_close(gradients(chunk, **rows), gradients(None, **rows), "float32")


@pytest.mark.parametrize("rows", [1, 9])
def test_few_rows_and_many_are_walked_to_the_same_numbers(rows, x64, quick_compile):
    """The projection stands before the loop for few rows, in it for many."""
    drawn = draw(LSTM(2), 5, (rows,), 2, dtype=np.float64)
    walked = value(LSTM(2), drawn, implementation="fused")
    assert_close(walked, value(LSTM(2), drawn, implementation="reference"), "float64")


def test_temporaries_grow_like_carries_and_one_stretch():
    def temporaries(steps, chunk):
        cell = LSTM(16)
        params = cell.init(jax.random.key(0), 2)
        xs = jnp.zeros((steps, 4, 2))

        def loss(params):
            return jnp.sum(recurrax.scan(cell, params, xs, chunk=chunk).outputs[-1])

        return jax.jit(jax.grad(loss)).lower(params).compile().memory_analysis().temp_size_in_bytes

    assert temporaries(1024, 32) < 0.5 * temporaries(1024, None)


@pytest.mark.parametrize("chunk", [0, -1, 2.0, "8"])
def test_a_chunk_is_a_positive_int(chunk):
    with pytest.raises(ValueError, match="chunk"):
        gradients(chunk)
