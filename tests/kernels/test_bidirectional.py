"""Both directions of time: a loop in NumPy over unpadded rows and their episodes, in values and in gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import numpy_cells
import pytest
from tolerances import assert_close

import recurrax
from recurrax import GRU, Elman
from recurrax.cells import ElmanCarry, GRUCarry
from recurrax.kernels import DirectionsCarry

pytestmark = pytest.mark.usefixtures("quick_compile")

CELLS = Elman(3), GRU(2)
T, B, D = 5, 4, 2
LENGTHS = np.array([5, 3, 0, 4])
RESETS = np.array([[0, 0, 1, 0, 0], [1, 0, 1, 0, 0], [0, 0, 0, 0, 0], [0, 1, 0, 1, 0]], bool).T


def both_scan(params, xs, carry, **rows):
    bound = [partial(recurrax.scan, cell, of) for cell, of in zip(CELLS, params, strict=True)]
    return recurrax.bidirectional(*bound)(xs, carry, **rows)


def numpy_steps(params):
    elman, gru = numpy_cells.by_gate(params[0], "g"), numpy_cells.by_gate(params[1], "rzn")
    elman, gru = {key[0]: value for key, value in elman.items()}, gru | {"b'": np.asarray(params[1].recurrent_bias)}
    return lambda h, x: numpy_cells.elman(elman, h, x)[0], lambda h, x: numpy_cells.gru(gru, h, x)[0]


def episodes(length, resets):
    """The steps of an unpadded row, episode by episode."""
    begins = [0, *(t for t in range(1, length) if resets[t])]
    return [list(range(begin, end)) for begin, end in zip(begins, [*begins[1:], length], strict=True)]


def numpy_rows(params, xs, carry):
    """Row by row without padding: each episode forwards and backwards, from zeros but at the ends of the row."""
    steps, sizes = numpy_steps(params), (3, 2)
    outputs, last = np.zeros((T, B, sum(sizes)), complex), [np.array(leaf, complex) for leaf in carry]
    for row, length in enumerate(LENGTHS):
        parts = episodes(length, RESETS[:, row]) if length else []
        for direction, features in enumerate((slice(0, 3), slice(3, 5))):
            h = last[direction][row]
            for number, part in enumerate(parts[:: 1 - 2 * direction]):
                if number or (direction == 0 and RESETS[0, row]):
                    h = np.zeros(sizes[direction])
                for t in part[:: 1 - 2 * direction]:
                    h = steps[direction](h, xs[t, row])
                    outputs[t, row, features] = h
            last[direction][row] = h
    return outputs, *last


def complex_step_gradients(function, arguments, size=1e-30):
    """∂f/∂a = Im f(a + i size) / size entry by entry, exact to rounding as nothing is subtracted."""
    leaves, tree = jax.tree.flatten(arguments)
    gradients = [np.zeros(leaf.shape) for leaf in leaves]
    for number, leaf in enumerate(leaves):
        for at in np.ndindex(leaf.shape):
            moved = np.array(leaf, complex)
            moved[at] += 1j * size
            of = jax.tree.unflatten(tree, [*leaves[:number], moved, *leaves[number + 1 :]])
            gradients[number][at] = np.imag(function(*of)) / size
    return jax.tree.unflatten(tree, gradients)


def test_padded_rows_with_resets_are_their_episodes_in_numpy(x64):
    rng = np.random.default_rng(0)
    shapes = [jax.eval_shape(partial(cell.init, input_size=D), jax.random.key(0)) for cell in CELLS]
    params = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), shapes)
    xs, carry = rng.normal(size=(T, B, D)), (rng.normal(size=(B, 3)), rng.normal(size=(B, 2)))
    weights = [rng.normal(size=shape) for shape in ((T, B, 5), (B, 3), (B, 2))]

    @jax.jit
    def run(params, xs, carry):
        def of(params, xs, carry):
            first = DirectionsCarry(ElmanCarry(carry[0]), GRUCarry(carry[1]))
            outputs, last = both_scan(params, xs, first, lengths=LENGTHS, resets=RESETS)
            results = outputs, last.forward.h, last.backward.h
            return sum(jnp.vdot(w, leaf) for w, leaf in zip(weights, results, strict=True)), results

        return jax.value_and_grad(of, argnums=(0, 1, 2), has_aux=True)(params, xs, carry)

    def loss(params, xs, carry):
        return sum(np.vdot(w, leaf) for w, leaf in zip(weights, numpy_rows(params, xs, carry), strict=True))

    (_, results), gradients = run(params, xs, carry)
    assert_close(results, tuple(np.real(leaf) for leaf in numpy_rows(params, xs, carry)), "float64")
    assert_close(gradients, complex_step_gradients(loss, (params, xs, carry)), "float64")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"carry": jnp.ones(3)}, r"^carry: expected a pair \(forward, backward\), got ArrayImpl"),
        ({"resets": [True]}, "^resets: expected a bool array"),
        ({"lengths": jnp.ones(B)}, "^lengths: expected an integer dtype"),
    ],
)
def test_what_is_wrong_is_one_sentence(arguments, message):
    params = [cell.init(jax.random.key(0), D) for cell in CELLS]
    with pytest.raises(ValueError, match=message):
        both_scan(params, jnp.ones((T, B, D)), **{"carry": None} | arguments)
