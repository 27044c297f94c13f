"""Products of the input with parameters are made before the loop, in whichever method of a cell they stand."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tolerances import assert_close
from zoo.base import Small
from zoo.trials import OPTIONS, found, found_twice

import recurrax
from recurrax import LSTM
from recurrax.check.laws import temporaries
from recurrax.kernels import early
from recurrax.kernels.stepping import one_step

pytestmark = pytest.mark.usefixtures("quick_compile", "plain_style")

D, H = 2, 16


def row(params, carry, x):
    """An LSTM's step as a function of one row, its bias added last."""
    h, c = carry
    i, f, g, o = jnp.split(x @ params["W"] + h @ params["U"] + params["b"], 4)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return (h, c), h


def as_function(dtype=jnp.float32):
    """It, as a cell, and the library's with the same parameters."""
    params = LSTM(H, forget_bias=1).init(jax.random.key(0), D, dtype)
    flat = {"W": params.kernel, "U": params.recurrent_kernel, "b": params.bias}
    flat = {name: leaf.reshape(*leaf.shape[:-2], -1) for name, leaf in flat.items()}
    return recurrax.from_step(row, flat, carry=(jnp.zeros(H, dtype), jnp.zeros(H, dtype))), flat, params


def test_it_holds_what_the_same_cell_of_the_library_holds():
    cell, flat, params = as_function()
    xs = jnp.zeros((64, 8, D))
    theirs, ours = (temporaries(of, values, xs, "fused") for of, values in ((cell, flat), (LSTM(H), params)))
    assert theirs - ours < 4 * 64 * 8


def test_it_computes_the_same(x64):
    cell, flat, params = as_function(jnp.float64)
    draw = np.random.default_rng(0)
    xs, mask = draw.standard_normal((5, 9, D)), draw.random((5, 9)) < 0.7

    def of(cell, params, implementation):
        def loss(params, xs):
            result = recurrax.scan(cell, params, xs, mask=mask, reverse=True, implementation=implementation)
            return jnp.sum(jnp.sin(result.outputs)) + jnp.sum(jax.tree.leaves(result.carry)[1] ** 2)

        return jax.value_and_grad(loss, argnums=(0, 1))(params, xs)

    (value, (_, ct_xs)), expected = of(cell, flat, "fused"), of(cell, flat, "reference")
    assert_close((value, ct_xs), (expected[0], expected[1][1]), "float64")
    assert_close(of(cell, flat, "fused"), expected, "float64")
    assert_close(value, of(LSTM(H), params, "fused")[0], "float64")


class Written(NamedTuple):
    state: jax.Array


class Writer(Small):
    """S = 0.9 S + k vᵀ, y = S q, all three made of the input within the step."""

    def shapes(self, input_size):
        return {name: (input_size, self.hidden_size) for name in "kvq"} | {"b": (self.hidden_size,)}

    def initial_carry(self, params, batch_shape, dtype):
        return Written(jnp.zeros((*batch_shape, self.hidden_size, self.hidden_size), dtype))

    def project(self, params, x):
        return x

    def recur(self, params, carry, u):
        return None

    def pointwise(self, params, carry, u, v):
        key, value = u @ params["k"] + params["b"], jnp.tanh(u @ params["v"])
        return Written(0.9 * carry.state + key[..., :, None] * value[..., None, :])

    def output(self, params, carry, u):
        return jnp.einsum("...kv,...k->...v", carry.state, u @ params["q"])


def test_what_follows_is_made_too_unless_it_is_larger():
    """An outer product of two of them is left to the loop: over all steps it would be H times its factors."""
    cell, xs = Writer(H), jnp.zeros((5, 8, D))
    params = cell.init(jax.random.key(0), D)
    project, advance = early.hoisted(cell, params, cell.initial_carry(params, (8,), jnp.float32), xs)
    assert [leaf.size for leaf in jax.tree.leaves(project(params, xs))] == [5 * 8 * H] * 3
    u = one_step(jax.eval_shape(project, params, xs))
    products = str(jax.make_jaxpr(advance)(params, cell.initial_carry(params, (8,), jnp.float32), u))
    assert products.count("dot_general") == 1


class OneGate(Small):
    """A gate alone on an axis of gates, and two side by side behind an axis of length 1."""

    def shapes(self, input_size):
        size = self.hidden_size
        return {"kernel": (input_size, 1, size), "pair": (input_size, 1, 2 * size), "recurrent_kernel": (size, size)}

    def project(self, params, x):
        return [jnp.einsum("...d,dgh->...gh", x, params[name]) for name in ("kernel", "pair")]

    def recur(self, params, h, u):
        return h @ params["recurrent_kernel"]

    def pointwise(self, params, h, u, v):
        z, n = jnp.split(u[1].reshape(*v.shape[:-1], -1), 2, axis=-1)
        return jnp.tanh(u[0][..., 0, :] + v + z) * jax.nn.sigmoid(n)


@pytest.mark.parametrize("option", ["all rows", "all at once", "two batch axes"])
def test_an_axis_of_one_gate_is_no_cut(option, x64):
    assert found(OneGate(), OPTIONS[option]) is None


@pytest.mark.parametrize("option", ["all rows", "all at once", "no batch", "two batch axes"])
def test_it_is_the_references(option, x64):
    assert found(Writer(), OPTIONS[option]) is None


def test_second_derivatives_too(x64):
    assert found_twice(Writer(), OPTIONS["plain"]) is None
