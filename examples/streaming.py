"""Streaming with a donated carry
==============================

A sequence that never ends, a window at a time: the carry is handed on, and its memory used again for the next one.
"""

from functools import partial

import jax
import numpy as np

import recurrax

CELL = recurrax.LSTM(64)


@partial(jax.jit, donate_argnames="carry")
def window(params, xs, carry):
    """Outputs of a window and the carry after it, which takes the place of the carry before it."""
    return recurrax.scan(CELL, params, xs, carry)


def main(windows=50, steps=20, rows=4):
    """Runs windows one after the other, and holds them to one scan of the whole."""
    params = CELL.init(jax.random.key(0), input_size=2)
    xs = np.asarray(jax.random.normal(jax.random.key(1), (windows * steps, rows, 2)))
    carry = CELL.initial_carry(params, (rows,), np.float32)
    outputs = []
    for start in range(0, len(xs), steps):
        given = carry
        result, carry = window(params, xs[start : start + steps], given)
        outputs.append(np.asarray(result))
    whole = recurrax.scan(CELL, params, xs).outputs
    same = np.array_equal(np.concatenate(outputs), whole)
    print(f"{windows} windows of {steps} steps give the bits of one scan of {len(xs)}: {same}")
    print(f"the last carry given was donated: {given.h.is_deleted()}")
    return same


if __name__ == "__main__":
    main()

# %%
# On two CPU cores, with Python 3.11 and JAX 0.10.2, it prints::
#
#     50 windows of 20 steps give the bits of one scan of 1000: True
#     the last carry given was donated: True
