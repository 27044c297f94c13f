"""What `scan` refuses: one sentence that names the argument."""

import re
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import recurrax
from recurrax import GRU, LSTM, Cell, cells

CELL = LSTM(3)
PARAMS = cells.LSTMParams(jnp.zeros((2, 4, 3)), jnp.zeros((3, 4, 3)), jnp.zeros((4, 3)))
XS = jnp.ones((5, 2, 2))
H = jnp.zeros((2, 3))


class Pair(NamedTuple):
    h: jax.Array
    c: jax.Array


class Swapped(NamedTuple):
    c: jax.Array
    h: jax.Array


BAD = [
    ("cell: expected an instance such as LSTM", {"cell": LSTM}),
    ("cell: expected an object with the methods", {"cell": "lstm"}),
    ("xs: expected 2 features on the last axis, got shape", {"xs": jnp.ones((5, 2, 3))}),
    ("xs: expected at least one feature", {"xs": jnp.ones((5, 2, 0))}),
    ("xs: expected .* at least two axes", {"xs": jnp.ones(5)}),
    ("xs: expected a floating dtype, got int32", {"xs": jnp.ones((5, 2, 2), jnp.int32)}),
    ("xs: expected an array .* got list", {"xs": [[1.0]]}),
    ("carry: expected a LSTMCarry.h, c., got tuple", {"carry": (H, H)}),
    ("carry: expected a LSTMCarry.h, c., got GRUCarry.h.", {"carry": cells.GRUCarry(H)}),
    ("carry: expected a LSTMCarry.h, c., got Pair.h, c.", {"carry": Pair(H, H)}),
    ("carry: expected a LSTMCarry.h, c., got Swapped.c, h.", {"carry": Swapped(H, H)}),
    (r"carry\.c: expected shape \(2, 3\), got \(3,\)", {"carry": cells.LSTMCarry(H, jnp.zeros(3))}),
    (r"carry\.h: expected shape \(2, 3\), got \(2, 4\)", {"carry": cells.LSTMCarry(jnp.zeros((2, 4)), H)}),
    (r"carry\.h: expected a floating dtype, got int32", {"carry": cells.LSTMCarry(H.astype(jnp.int32), H)}),
    ("lengths: expected an integer dtype, got float32", {"lengths": jnp.array([5.0, 2.0])}),
    ("lengths: expected an integer dtype, got bool", {"lengths": jnp.array([True, False])}),
    (r"lengths: expected values in 0\.\.T = 0\.\.5, got 6", {"lengths": np.array([5, 6])}),
    (r"lengths: expected values in 0\.\.T = 0\.\.5, got -1", {"lengths": jnp.array([-1, 5])}),
    (r"lengths: expected shape .* \(2,\), got \(3,\)", {"lengths": np.array([5, 5, 5])}),
    (r"mask: expected bool .* \(5, 2\), got bool \(2, 5\)", {"mask": jnp.ones((2, 5), bool)}),
    (r"mask: expected bool .* \(5, 2\), got float32", {"mask": jnp.ones((5, 2))}),
    (r"resets: expected bool .* \(5, 2\), got bool \(5,\)", {"resets": jnp.ones(5, bool)}),
    (r"resets: expected bool .* \(5, 2\), got int32", {"resets": jnp.ones((5, 2), jnp.int32)}),
    ("implementation: unknown name 'cudnnn'; expected None or one of", {"implementation": "cudnnn"}),
    ("reverse: expected True or False, got 'yes'", {"reverse": "yes"}),
    ("unroll: expected a positive int, got 0", {"unroll": 0}),
    (r"unroll: expected a positive int, got 2\.0", {"unroll": 2.0}),
]


@pytest.mark.parametrize(("sentence", "wrong"), BAD, ids=[f"{sentence[:40]}" for sentence, _ in BAD])
def test_one_sentence_names_the_argument(sentence, wrong):
    right = {"cell": CELL, "params": PARAMS, "xs": XS}
    recurrax.scan(**right)
    with pytest.raises(ValueError, match="^" + sentence) as error:
        recurrax.scan(**(right | wrong))
    assert "\n" not in str(error.value)


def test_under_jit_shapes_are_checked_and_lengths_are_clipped():
    """Values are unknown there: a length beyond T means T, a negative one 0."""
    xs = jax.random.normal(jax.random.key(0), (5, 2, 2))
    params = CELL.init(jax.random.key(1), 2)
    run = jax.jit(lambda lengths: recurrax.scan(CELL, params, xs, lengths=lengths).outputs)
    np.testing.assert_array_equal(run(jnp.array([9, -3])), run(jnp.array([5, 0])))
    with pytest.raises(ValueError, match=r"^lengths: expected shape"):
        run(jnp.array([1, 2, 3]))


@dataclass(frozen=True)
class NoOutput(LSTM):
    output = Cell.output


@dataclass(frozen=True)
class TwoOutputs(LSTM):
    def output(self, params, carry, u):
        return carry.h, carry.c


@dataclass(frozen=True)
class OtherCarry(LSTM):
    def pointwise(self, params, carry, u, v):
        return (carry.h, carry.c)

    def output(self, params, carry, u):
        return carry[0]


@dataclass(frozen=True)
class Grows(LSTM):
    def pointwise(self, params, carry, u, v):
        return carry._replace(c=jnp.concatenate([carry.c, carry.c], axis=-1))


LAYOUT = "LSTMParams(kernel, recurrent_kernel, bias, peephole, projection)"
MORE = [
    ("params.bias: expected shape (4, 3), got (3, 4)", {"params": PARAMS._replace(bias=jnp.zeros((3, 4)))}),
    ("params.kernel: expected shape (2, 4, 3), got (12, 2)", {"params": PARAMS._replace(kernel=jnp.zeros((12, 2)))}),
    ("params.kernel: expected shape (2, 4, 5), got (2, 4, 3)", {"cell": LSTM(5)}),
    (f"params: expected LSTM's {LAYOUT}, got dict(bias, kernel", {"params": PARAMS._asdict()}),
    ("params: expected GRU's GRUParams(kernel, recurrent_kernel, bias, recurrent_bias), got LSTM", {"cell": GRU(3)}),
    ("lengths: expected an integer array (*batch,), got list", {"lengths": [5, 2]}),
    ("mask: expected a bool array (T, *batch) = (5, 2), got list", {"mask": [[True]]}),
    ("xs: expected leaves that share their first axis, time, got shapes (5, 2, 2) and", {"xs": (XS, XS[:4, 0])}),
    ("cell: expected NoOutput.output to give one array (*batch, ...), got NoneType", {"cell": NoOutput(3)}),
    ("cell: expected TwoOutputs.output to give one array (*batch, ...), got tuple of 2", {"cell": TwoOutputs(3)}),
    ("cell: expected OtherCarry.step to keep the carry's structure, LSTMCarry(h, c)", {"cell": OtherCarry(3)}),
    ("cell: expected Grows.step to keep carry.c of shape (2, 3), got (2, 6)", {"cell": Grows(3)}),
]


@pytest.mark.parametrize(("sentence", "wrong"), MORE, ids=[sentence[:50] for sentence, _ in MORE])
def test_parameters_and_steps_are_checked_against_the_cell(sentence, wrong):
    with pytest.raises(ValueError, match="^" + re.escape(sentence)) as error:
        recurrax.scan(**({"cell": CELL, "params": PARAMS, "xs": XS} | wrong))
    assert "\n" not in str(error.value).split("\n-----")[0]


def test_a_cell_that_cannot_be_hashed():
    class Listed(LSTM):
        __hash__ = None

    with pytest.raises(ValueError, match=r"^cell: expected a hashable one, such as a frozen dataclass, got Listed: "):
        recurrax.scan(Listed(3), PARAMS, XS)


@dataclass(frozen=True)
class Printing(LSTM):
    def pointwise(self, params, carry, u, v):
        jax.debug.print("h {}", carry.h.sum(), ordered=False)
        return super().pointwise(params, carry, u, v)


def test_a_step_that_prints_falls_back_to_the_reference(capfd):
    """Its equations cannot be moved about; asked for by name, the fused scan says why not."""
    xs = XS[:3]
    result = recurrax.scan(Printing(3), PARAMS, xs)
    jax.block_until_ready(result)
    jax.effects_barrier()
    assert capfd.readouterr().out.count("h ") == len(xs)
    np.testing.assert_array_equal(result.outputs, recurrax.scan(CELL, PARAMS, xs, implementation="reference").outputs)
    with pytest.raises(ValueError, match=r"^implementation: 'fused' cannot run this, since a step has effects"):
        recurrax.scan(Printing(3), PARAMS, xs, implementation="fused")
