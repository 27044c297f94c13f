"""Programs are shared where their text says all there is to them, and only there."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recurrax.train import compiled
from recurrax.train.compiled import Shared


def test_closures_made_anew_share_a_program_and_other_constants_do_not():
    table = np.arange(100.0, dtype=np.float32)
    other = table.copy()
    other[50] = -1

    def lookup(table):
        return Shared(lambda i: jnp.asarray(table)[i])

    one, same, edited = lookup(table), lookup(table.copy()), lookup(other)
    assert [float(one(50)), float(same(50)), float(edited(50))] == [50, 50, -1]
    assert one.program is same.program
    assert one.program is not edited.program


def test_a_program_that_calls_back_is_never_shared():
    said = []

    def speaker(name):
        def speak(x):
            jax.debug.callback(lambda: said.append(name))
            return x + 1

        return Shared(speak)

    for name in "ab":
        speaker(name)(1.0)
    jax.effects_barrier()
    assert said == ["a", "b"]


def test_other_structure_or_precision_is_another_program():
    pair, named = Shared(lambda x: (x, x)), Shared(lambda x: {"a": x, "b": x})
    assert pair(jnp.ones(2))[0].shape == (2,)
    assert named(jnp.ones(2))["b"].shape == (2,)
    with jax.enable_x64(True):
        wide = Shared(lambda x: (x, x))
        assert wide(jnp.ones(2))[0].dtype == jnp.float64


def test_threads_wait_for_one_another_and_compile_once(monkeypatch):
    compilations = []
    plain = jax.stages.Lowered.compile
    monkeypatch.setattr(jax.stages.Lowered, "compile", lambda self: compilations.append(None) or plain(self))
    shared = [Shared(lambda x: jnp.sin(x) * 1.2345) for _ in range(4)]
    threads = [threading.Thread(target=one, args=(1.0,)) for one in shared]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(compilations) == 1
    assert len({id(one.program) for one in shared}) == 1


def test_what_cannot_be_compiled_is_tried_again(monkeypatch):
    plain = jax.stages.Lowered.compile

    def fail(self):
        raise MemoryError("none left")

    monkeypatch.setattr(jax.stages.Lowered, "compile", fail)
    with pytest.raises(MemoryError, match="none left"):
        Shared(lambda x: jnp.cos(x) * 5.4321)(1.0)
    monkeypatch.setattr(jax.stages.Lowered, "compile", plain)
    np.testing.assert_allclose(Shared(lambda x: jnp.cos(x) * 5.4321)(0.0), 5.4321, rtol=1e-6)


def test_the_longest_unused_program_is_let_go(monkeypatch):
    monkeypatch.setattr(compiled, "MOST", 2)
    first = Shared(lambda x: x + 11)
    first(1)
    for number in (12, 13):
        Shared(lambda x, number=number: x + number)(1)
    again = Shared(lambda x: x + 11)
    again(1)
    assert again.program is not first.program
