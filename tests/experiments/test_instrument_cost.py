"""The cost of instruments: compilations are counted."""

import instrument_cost
import jax
import jax.numpy as jnp


def test_counts_what_a_call_compiles():
    double = jax.jit(lambda x: 2 * x)
    assert instrument_cost.compilations(lambda: double(jnp.arange(3.0))) >= 1
    assert instrument_cost.compilations(lambda: double(jnp.arange(3.0))) == 0


def test_times_every_call_in_every_round():
    found = instrument_cost.timed({"one": lambda: jnp.ones(2), "two": lambda: jnp.zeros(2)}, rounds=3)
    assert {name: array.shape for name, array in found.items()} == {
        "compilations.one": (), "compilations.two": (), "one": (3,), "two": (3,),
    }  # fmt: skip
    assert all((found[name] > 0).all() for name in ("one", "two"))
