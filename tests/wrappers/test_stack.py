"""A stack is its layers scanned one after the other, in values and in every gradient, in float64."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tolerances import assert_close
from walks import draw
from wrappers.skipping import Skipping
from zoo.trials import OPTIONS, T

import recurrax
from recurrax import GRU, LSTM, Dropout, Elman, Residual, Stack, check_cell, lag, with_key
from recurrax.check.trial import difference, value, value_and_grad
from recurrax.kernels import jaxprs
from recurrax.study import named

pytestmark = pytest.mark.usefixtures("quick_compile", "plain_style")


STACK = Stack([LSTM(4), Skipping(3), GRU(2)])


def one_after_the_other(params, xs, carry, rows, reverse):
    outputs, last = xs, []
    for cell, *of_layer in zip(STACK.layers, params, carry, strict=True):
        outputs, after = recurrax.scan(cell, of_layer[0], outputs, of_layer[1], **rows, reverse=reverse)
        last.append(after)
    return outputs, tuple(last)


@pytest.mark.parametrize("name", ["plain", "all rows"])
@pytest.mark.parametrize("implementation", ["layered", "fused", "reference"])
def test_it_is_its_layers_one_after_the_other(name, implementation, x64):
    rows, how = OPTIONS[name].rows, OPTIONS[name].how
    given = draw(STACK, 4, (5,), 2, np.float64)._replace(**rows)
    got = value_and_grad(STACK, given, implementation=implementation, **how)

    @jax.jit
    def separately(given):
        def run(params, xs, carry):
            return one_after_the_other(params, xs, carry, rows, how.get("reverse", False))

        result, pull = jax.vjp(run, given.params, given.xs, given.carry)
        return result, *pull((given.cotangents.outputs, given.cotangents.carry))

    assert_close((tuple(got.result), *got[1:]), separately(given), "float64")


@dataclass(frozen=True)
class Skips(Stack):
    """A user's stack whose second layer sees the input too, which `layers` does not say."""

    def output(self, params, carry, u):
        return super().output(params, carry, u) + 0.1 * carry[0].h


@dataclass(frozen=True)
class Counts(Elman):
    """A user's cell with a field of that name."""

    layers: int = 2


NESTED = Stack([Stack([Elman(3, activation="relu"), Residual(GRU(3))]), Dropout(Elman(2), 0.5)])


def test_layer_by_layer_it_is_the_joint_walk(x64):
    """In values, carries and gradients, with keys, lengths, masks, resets and chunks, for stacks in stacks."""
    given = draw(NESTED, T, (5,), 2, np.float64)._replace(**OPTIONS["all at once"].rows)
    given = given._replace(carry=with_key(given.carry, jax.random.key(1)))
    how = OPTIONS["all at once"].how
    got, expected = (
        value_and_grad(NESTED, given, implementation=implementation, **how) for implementation in (None, "fused")
    )
    assert difference(got, expected, 1e-12) is None


def test_truncated_gradients_stop_in_every_layer_at_once(x64):
    given = draw(STACK, T, (5,), 2, np.float64)

    def gradients(implementation):
        def loss(params, xs):
            result = recurrax.scan(STACK, params, xs, truncate=3, implementation=implementation)
            return jnp.sum(given.cotangents.outputs * result.outputs)

        return jax.jit(jax.grad(loss, (0, 1)))(given.params, given.xs)

    assert difference(gradients(None), gradients("fused"), 1e-12) is None


@pytest.mark.parametrize("cell", [STACK, NESTED], ids=["flat", "nested"])
def test_each_layer_has_a_loop_of_its_own(cell):
    params = cell.init(jax.random.key(0), 2)
    traced = jaxprs.trace(lambda params: recurrax.scan(cell, params, jnp.ones((4, 9, 2))).outputs, params)
    assert str(traced).count("= scan[") == 3


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (Skips([Elman(3), Elman(3)]), "a step of Skips is not that of its layers"),
        (Counts(3), "Counts.layers is no tuple of cells"),
        (Elman(3), "Elman does not say by `layers` that it is a stack of cells"),
    ],
    ids=["skips", "counts", "none"],
)
def test_what_is_no_stack_is_walked_as_one_cell(cell, reason):
    given = draw(cell, T, (5,), 2, np.float32)
    with pytest.raises(ValueError, match=f"^implementation: 'layered' cannot run this, since {reason}"):
        recurrax.scan(cell, given.params, given.xs, implementation="layered")
    got, expected = (value(cell, given, implementation=name) for name in (None, "reference"))
    assert_close(tuple(got), tuple(expected), "float32")


def test_it_obeys_the_laws():
    """`tests/long/cells.py` checks more stacks."""
    assert check_cell(Stack((Stack([Elman(3)]), Elman(2))), input_size=2).broken == ()


def test_an_instrument_measures_the_joint_state_through_depth():
    """Of two diagonal layers, ∂(s^1, s^2)_t/∂(s^1, s^2)_tm1 is block triangular: the top never reaches the bottom."""
    stack = Stack([Elman(2, activation="identity"), Elman(2, activation="identity")])
    params = stack.init(jax.random.key(0), 1)
    decays = [jnp.eye(2)[:, None] * 0.5, jnp.eye(2)[:, None] * 0.9]
    weights = [jnp.ones_like(params[0].kernel), jnp.eye(2)[:, None]]
    params = tuple(
        of_layer._replace(kernel=kernel, recurrent_kernel=decay)
        for of_layer, kernel, decay in zip(params, weights, decays, strict=True)
    )
    profile = lag.adjoint_profile(stack, params, jnp.ones((5, 1)))
    # y = s^2 with a cotangent of ones. The bottom reaches it from the next step on, j steps below and k - j above.
    k = np.arange(5)
    top, bottom = 0.9**k, np.array([sum(0.5**j * 0.9 ** (n - j) for j in range(1, n + 1)) for n in k])
    np.testing.assert_allclose(profile.log_norm[1].h, np.log(np.sqrt(2) * top), atol=1e-5)
    assert profile.log_norm[0].h[0] == -np.inf
    np.testing.assert_allclose(profile.log_norm[0].h[1:], np.log(np.sqrt(2) * bottom[1:]), atol=1e-5)
    np.testing.assert_allclose(profile.log_norm_joint, np.log(np.sqrt(2) * np.hypot(top, bottom)), atol=1e-5)


def test_a_layer_of_flax_takes_it():
    nnx = pytest.importorskip("flax.nnx")
    layer = recurrax.nnx.RNN(Stack([LSTM(4), GRU(2)]), 3, rngs=nnx.Rngs(0))
    xs = jax.random.normal(jax.random.key(1), (2, 5, 3))
    expected = recurrax.scan(layer.cell, layer.params, jnp.swapaxes(xs, 0, 1)).outputs
    np.testing.assert_allclose(layer(xs), jnp.swapaxes(expected, 0, 1), atol=1e-6)


def test_it_is_known_by_its_text():
    named_cell = named.cell("stack:cells=[elman,(gru:reset_after=False)]")
    assert named_cell.build(hidden_size=4) == Stack([Elman(4), GRU(4, reset_after=False)])


@pytest.mark.parametrize("cells", [(), LSTM(3), [LSTM], [3]])
def test_what_is_no_sequence_of_cells_is_refused(cells):
    with pytest.raises(ValueError, match=r"^cells: expected"):
        Stack(cells)
