"""Calls are timed in turn, and what they compile is counted."""

import jax
import jax.numpy as jnp
import numpy as np

from recurrax.study import timing


def test_names_what_a_call_compiles():
    @jax.jit
    def double(x):
        return 2 * x

    xs = jnp.arange(3.0)
    inside = []
    assert timing.compilations(lambda: inside.append(timing.compilations(lambda: double(xs)))) == ["double"]
    assert inside == [["double"]]
    assert timing.compilations(lambda: double(xs)) == []


def test_every_round_has_every_call_once_in_an_order_of_its_own():
    made = []
    times = timing.interleaved({name: lambda name=name: made.append(name) for name in "abc"}, rounds=20)
    assert {name: of.shape for name, of in times.items()} == {"a": (20,), "b": (20,), "c": (20,)}
    assert made[:3] == ["a", "b", "c"]  # untimed, so that nothing compiles later
    turns = np.array(made[3:]).reshape(20, 3)
    assert (np.sort(turns, axis=1) == ["a", "b", "c"]).all()
    assert len({tuple(turn) for turn in turns.tolist()}) > 3


def test_rounds_go_on_for_as_long_as_asked():
    assert len(timing.interleaved({"a": lambda: None}, rounds=1, seconds=0.01)["a"]) > 1
