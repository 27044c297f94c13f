"""Cells drawn at random: the default differentiates them as the reference does, in float64, whatever the options.

`tests/long/random_cells.py` draws a hundred and thirty times as many.
"""

import jax
import jax.numpy as jnp
import pytest
import random_cells
from hypothesis import given, settings
from jax.extend.core import jaxprs_in_params

pytestmark = pytest.mark.usefixtures("x64", "quick_compile", "plain_style")


@given(random_cells.examples())
@settings(max_examples=10)
def test_a_random_cell(example):
    assert random_cells.found(example) is None


def test_the_operations_are_of_many_kinds():
    """At least 25 primitives of JAX, custom derivatives and inner loops among them."""
    params = {"U": jnp.eye(3), "V": jnp.eye(3), "a": jnp.ones(3), "b": jnp.ones(3), "order": jnp.arange(3)}

    def everything(params, x, y):
        unary = [f(x) for f in random_cells.UNARY.values()]
        binary = [f(x, y) for f in random_cells.BINARY.values()]
        return unary, binary, [f(params, x) for f in random_cells.OF_PARAMETERS.values()]

    names = set(primitives(jax.make_jaxpr(everything)(params, jnp.ones(3), jnp.ones(3)).jaxpr))
    assert len(names) >= 25
    assert names >= {"custom_jvp_call", "custom_vjp_call", "scan", "cond", "sort", "dot_general", "stop_gradient"}


def primitives(jaxpr):
    for eqn in jaxpr.eqns:
        yield eqn.primitive.name
        for inner in jaxprs_in_params(eqn.params):
            yield from primitives(inner)
