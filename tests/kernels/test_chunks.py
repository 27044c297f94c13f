"""`chunk=K`: the same numbers from less memory; and the forward walk, which keeps nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tolerances import assert_close, assert_same_bits
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
    with pytest.raises(ValueError, match="truncate"):
        gradients(None, truncate=chunk)


@pytest.mark.parametrize("options", [{}, {"reverse": True, "chunk": 3}], ids=["forward", "reverse, chunks"])
def test_truncation_is_a_loop_of_scans_between_which_gradients_stop(options, quick_compile):
    """Windows of 6 and 5 steps, with lengths and resets; the gradient of the carry given is that of its window."""
    cell = LSTM(4)
    drawn = draw(cell, STEPS, (3,), 3)
    resets = jnp.zeros((STEPS, 3), bool).at[5, 0].set(True)
    windows = [(start, min(start + 6, STEPS)) for start in range(0, STEPS, 6)][:: -1 if options else 1]

    def whole(params, xs, carry):
        return recurrax.scan(cell, params, xs, carry, lengths=LENGTHS, resets=resets, truncate=6, **options)

    def loop(params, xs, carry):
        outputs = {}
        for start, end in windows:
            rows = {"lengths": jnp.clip(LENGTHS - start, 0, end - start), "resets": resets[start:end]}
            reverse = options.get("reverse", False)
            outputs[start], after = recurrax.scan(cell, params, xs[start:end], carry, reverse=reverse, **rows)
            carry = jax.lax.stop_gradient(after)
        return recurrax.kernels.ScanResult(jnp.concatenate([outputs[start] for start in sorted(outputs)]), after)

    def pulled(run):
        result, pull = jax.vjp(run, drawn.params, drawn.xs, drawn.carry)
        return result, pull(result)

    (result, (params, xs, carry)), (expected, (params_of_loop, *others)) = jax.jit(
        lambda: (pulled(whole), pulled(loop))
    )()
    assert_close((result, xs, carry), (expected, *others), "float32")
    assert_close(params, params_of_loop, "float32")
    assert np.any(carry.c)


def test_truncation_changes_no_bit_of_the_values(quick_compile):
    drawn = draw(LSTM(4), STEPS, (3,), 3)
    results = [recurrax.scan(LSTM(4), drawn.params, drawn.xs, drawn.carry, truncate=size) for size in (None, 4, 99)]
    assert_same_bits(results[1], results[0])
    assert_same_bits(results[2], results[0])
