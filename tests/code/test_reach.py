"""Whatever a function or an object of the user's reads, an edit of it reaches the next call, and nothing else does."""

import functools
import importlib
import sys
import types
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recurrax import code

GAIN = 2.0
TABLE = {"gain": 2.0}
ARRAY = np.array([2.0, 1.0], np.float32)
FROZEN = jnp.array(2.0)
HELPERS = types.ModuleType("own_helpers_of_this_test")
HELPERS.gain = 2.0
SPACE = types.SimpleNamespace(gain=2.0)


def plain(x):
    return GAIN * x


def helper(x):
    return 2.0 * x


def body(x, _):
    return GAIN * x, None


def with_derivative(x):
    return x


squared = jax.custom_vjp(with_derivative)
squared.defvjp(lambda x: (x, None), lambda _, ct: (GAIN * ct,))
pushed = jax.custom_jvp(with_derivative)
pushed.defjvp(lambda primals, tangents: (primals[0], GAIN * tangents[0]))


@jax.checkpoint
def wrapped(x):
    return GAIN * x


@functools.cache
def cached():
    return GAIN


class Config:
    gain = 2.0

    def __init__(self):
        self.own = 2.0

    @property
    def doubled(self):
        return self.own

    def times(self, x):
        return self.gain * x

    def __call__(self, x):
        return GAIN * x


class Slotted:
    __slots__ = ("gain",)


class Pair(NamedTuple):
    first: object
    second: object


@dataclass(frozen=True)
class Outer:
    inner: object

    def __call__(self, x):
        return self.inner(x)


CONFIG, SLOTTED, PAIR = Config(), Slotted(), Pair(Outer(plain), 1)
SLOTTED.gain = 2.0


def closure():
    gain = 2.0

    def times(x):
        return gain * x

    def change(value):
        nonlocal gain
        gain = value

    return times, change


TIMES, CHANGE = closure()


def decorated(function):
    @functools.wraps(function)
    def wrapper(x):
        return function(x)

    return wrapper


def imports_by_itself(x):
    import own_helpers_of_this_test as own

    return own.gain * x


def with_default(x, gain=2.0):
    return gain * x


def with_keyword(x, *, gain=2.0):
    return gain * x


def set_global(name):
    return lambda value: globals().__setitem__(name, value)


GLOBAL = set_global("GAIN")
READS = {
    "a constant": (plain, GLOBAL),
    "a helper": (lambda x: helper(x), lambda value: set_global("helper")(lambda x: value * x)),
    "a helper's helper": (lambda x: next(plain(y) for y in (x,)), GLOBAL),
    "what a decorator wraps": (decorated(plain), GLOBAL),
    "a partial": (functools.partial(lambda _, x: plain(x), 0), GLOBAL),
    "a closure": (TIMES, CHANGE),
    "an entry of a dict": (lambda x: TABLE["gain"] * x, lambda value: TABLE.update(gain=value)),
    "an array in place": (lambda x: ARRAY[0] * x, lambda value: ARRAY.__setitem__(0, value)),
    "an array of JAX": (lambda x: FROZEN * x, lambda value: set_global("FROZEN")(jnp.array(value))),
    "a module's attribute": (lambda x: HELPERS.gain * x, lambda value: setattr(HELPERS, "gain", value)),
    "one by its name": (lambda x: getattr(HELPERS, "gain") * x, lambda value: setattr(HELPERS, "gain", value)),  # noqa: B009
    "an import inside": (imports_by_itself, lambda value: setattr(HELPERS, "gain", value)),
    "an object's attribute": (lambda x: CONFIG.doubled * x, lambda value: setattr(CONFIG, "own", value)),
    "a slot": (lambda x: SLOTTED.gain * x, lambda value: setattr(SLOTTED, "gain", value)),
    "a class attribute": (lambda x: Config.gain * x, lambda value: setattr(Config, "gain", value)),
    "a bound method": (CONFIG.times, lambda value: setattr(Config, "gain", value)),
    "a method": (lambda x: CONFIG.times(x), lambda value: setattr(Config, "times", lambda self, x: value * x)),
    "an object that is called": (CONFIG, GLOBAL),
    "a field": (Outer(Outer(plain)), GLOBAL),
    "a field in a tuple": (lambda x: PAIR.first(x), GLOBAL),
    "a default": (with_default, lambda value: setattr(with_default, "__defaults__", (value,))),
    "a keyword's default": (with_keyword, lambda value: with_keyword.__kwdefaults__.update(gain=value)),
    "code put in place": (
        lambda x: plain(x),
        lambda value: setattr(plain, "__code__", (lambda x: GAIN * x * 2.0).__code__) or GLOBAL(value / 2),
    ),
    "a body of a loop": (lambda x: jax.lax.scan(body, x, None, length=1)[0], GLOBAL),
    "a branch": (lambda x: jax.lax.cond(True, plain, plain, x), GLOBAL),
    "what is compiled inside": (jax.jit(plain), GLOBAL),
    "what is computed again": (jax.checkpoint(plain), GLOBAL),
    "what a decorator of JAX wraps": (lambda x: wrapped(x), GLOBAL),
    "what is kept by hand": (lambda x: cached() * x, lambda value: GLOBAL(value) or cached.cache_clear()),
    "a namespace": (lambda x: SPACE.gain * x, lambda value: setattr(SPACE, "gain", value)),
    "a derivative backwards": (jax.grad(squared), GLOBAL),
    "a derivative forwards": (jax.grad(pushed), GLOBAL),
}


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch):
    monkeypatch.setitem(sys.modules, HELPERS.__name__, HELPERS)
    times, code_ = Config.times, plain.__code__
    yield
    Config.times, plain.__code__ = times, code_


@pytest.fixture
def compiled():
    """A list that grows with every program XLA compiles."""
    found = []

    def count(event, seconds, **details):
        if event.endswith("backend_compile_duration"):
            found.append(event)

    jax.monitoring.register_event_duration_secs_listener(count)
    yield found
    jax.monitoring.unregister_event_duration_listener(count)


@pytest.mark.parametrize("read", READS)
def test_an_edit_is_seen_and_compiles_once(read, compiled):
    function, edit = READS[read]
    call = code.jit(lambda function, x: function(x))
    x = np.float32(1.5 if "derivative" not in read else 1.0)
    edit(3.0)
    assert call(function, x) == 3 * x
    edit(5.0)
    assert call(function, x) == 5 * x
    before = len(compiled)
    assert call(function, x) == 5 * x
    assert len(compiled) == before
    edit(2.0)
    assert call(function, x) == 2 * x


def test_the_same_written_again_compiles_nothing(compiled):
    call = code.jit(lambda function, x: function(x))

    def again(gain):
        set_global("helper")(lambda x: gain * x)

    function = READS["a helper"][0]
    again(2.0)
    call(function, 1.0)
    before = len(compiled)
    again(2.0)
    GLOBAL(GAIN + 1)  # which it does not read
    call(function, 1.0)
    assert len(compiled) == before


@pytest.mark.parametrize(("one", "other"), [(0.0, -0.0), (1, 1.0), (1, True), ([1], (1,)), ({"a": 1}, {"b": 1})])
def test_equal_is_not_the_same(one, other):
    assert code.version(lambda: one) != code.version(lambda: other)
    assert code.version(float("nan")) == code.version(float("nan"))


def test_a_module_reloaded_is_seen(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    file = tmp_path / "edited_in_this_test.py"
    file.write_text("def gain(x):\n    return 2 * x\n")
    module = importlib.import_module(file.stem)
    call, function = code.jit(lambda function, x: function(x)), lambda x: module.gain(x)
    assert call(function, 1.0) == 2
    file.write_text("def gain(x):\n    return 30 * x\n")
    importlib.reload(module)
    assert call(function, 1.0) == 30
    monkeypatch.delitem(sys.modules, file.stem)


class Strange:
    """Refuses everything."""

    def __getattribute__(self, name):
        raise RuntimeError(name)

    def __eq__(self, other):
        raise RuntimeError("eq")

    def __hash__(self):
        raise RuntimeError("hash")


def test_nothing_raises():
    endless = []
    endless.append(endless)
    deep = ()
    for _ in range(10_000):
        deep = (deep,)
    for thing in (Strange(), endless, sys, np, jax, deep, object(), print, [].append, np.ones, lambda: empty):
        assert code.version(thing) == code.version(thing)
    code.version(sys.modules)
    empty = 1


def test_what_tracing_changes_is_no_constant(compiled):
    traces, notes = [], {"count": 0}

    def one(x):
        traces.append(x)
        notes["count"] += 1
        return GAIN * x

    calls = [code.jit(lambda function, x, n=n: n * function(x)) for n in (1, 2)]
    GLOBAL(2.0)
    assert [call(one, 1.0) for call in calls] == [2, 4]
    before = len(compiled)
    for _ in range(3):
        assert [call(one, 1.0) for call in calls] == [2, 4]
    assert len(compiled) - before <= 1
    GLOBAL(3.0)
    assert [call(one, 1.0) for call in calls] == [3, 6]
    GLOBAL(2.0)
