"""What the code that an object reaches is, as a hashable `version`: a constant run again or a helper edited changes it.

Followed are the functions and classes that users write, through the globals, modules, closures and defaults that they
read; installed libraries only as far as they hold something of the user's, as the wrapper of a decorator does.
"""

import sys
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from functools import cache, cached_property, partial
from itertools import chain
from types import FunctionType, MethodType, ModuleType
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from recurrax.code.names import is_importable, is_library, is_of_library, names_of
from recurrax.code.notes import Notes, Same, remembered

_Parts: TypeAlias = tuple[Hashable, Iterable[Any]]
_MOST = 20_000
"""Objects followed from one; any further ones stand for themselves."""
_KEPT = 512
"""Walks remembered."""
_JIT, _CACHED = type(jax.jit(lambda: None)), type(cache(lambda: None))
_NOT_COMPUTED_WITH = frozenset({"__repr__", "__eq__", "__hash__", "__setattr__", "__delattr__", "_abc_impl"})
_BY_IDENTITY = frozenset({"jax", "jaxlib", "numpy", *sys.stdlib_module_names})
"""Libraries whose objects hold nothing of the user's, but for those in `_PARTS`; their insides change as they work."""
_NAMESPACES = {"types.SimpleNamespace", "argparse.Namespace"}
"""But for these."""


_KEEPERS = frozenset({"jit", "scan", "cond", "switch", "while_loop", "fori_loop", "map", "checkpoint", "remat"}) | {
    "associative_scan", "custom_root", "custom_linear_solve", "linearize", "make_jaxpr", "eval_shape", "pure_callback"
}  # fmt: skip
"""Functions of JAX that keep what they trace by the function they are given, whatever this reads."""


class Version:
    """What the code reached from an object is: equal where it would compute the same.

    Not compared are `functions`, all of the user's that were met, and `kept`, whether JAX may have kept what it traced
    of them.
    """

    __slots__ = ("_hash", "_tokens", "functions", "kept")

    def __init__(self, tokens: tuple[Hashable, ...], functions: tuple[FunctionType, ...], kept: bool):
        self._tokens, self._hash, self.functions, self.kept = tokens, hash(tokens), functions, kept

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other or not isinstance(other, Version):
            return self is other
        return self._hash == other._hash and self._tokens == other._tokens


_KNOWN: dict[tuple[Hashable, ...], tuple[Version, Notes]] = {}


def version(*things: Any) -> Version:
    """The version of all code and constants that the things reach.

    Numbers, texts and containers count by value. Arrays count by dtype, shape and bytes, so that one changed in place
    counts as another: reading 1 MB costs about 1 ms, once where the array is JAX's or read-only, else in every call.
    Objects count by their class and attributes, and what cannot be looked into by identity.

    >>> gain = 1.0
    >>> def scaled(x):
    ...     return gain * x
    >>> before, again = version(scaled), version(scaled)
    >>> gain = 2.0
    >>> before == again, before == version(scaled)
    (True, False)
    """
    return reached(*things)[0]


def reached(*things: Any) -> tuple[Version, Notes]:
    """The version, and notes of all that it was made from."""
    try:
        known = _KNOWN.get(things)
    except Exception:  # one cannot be hashed
        return walk(*things)
    if known is None or not known[1].still_hold():
        if len(_KNOWN) > _KEPT:
            _KNOWN.clear()
        _KNOWN[things] = known = walk(*things)
    return known


def walk(*things: Any) -> tuple[Version, Notes]:
    """`reached`, by following everything anew."""
    notes = Notes()
    tokens: list[Hashable] = []
    places: dict[int, int] = {}  # of what was followed, in order, by its id
    followed = []  # so that no id is used twice
    stack = list(things)
    while stack:
        thing = stack.pop()
        kind = type(thing)
        if kind is str or kind is int or kind is bool or thing is None:
            tokens.append((kind, thing))
        elif kind is float:
            tokens.append(repr(thing))  # unlike ==, tells -0.0 from 0.0, and takes NaN for itself
        elif id(thing) in places:
            tokens.append(places[id(thing)])
        else:
            places[id(thing)] = len(followed)
            followed.append(thing)
            token, held = _parts(notes, thing) if len(followed) < _MOST else (Same(thing), ())
            tokens.append(token)
            stack.extend(held)
    return Version(tuple(tokens), tuple(notes.functions), notes.is_kept), notes


def _parts(notes: Notes, thing: Any) -> _Parts:
    """What a thing is by itself, and what it holds."""
    try:
        token, held = _PARTS.get(type(thing), _parts_of_other)(notes, thing)
        hash(token)
        return token, list(held)
    except Exception:  # anything may stand in a global
        return Same(thing), ()


def _function(notes: Notes, function: FunctionType) -> _Parts:
    code, space = names_of(function.__code__), function.__globals__
    closure = [content for cell in function.__closure__ or () for content in notes.read_cell(cell)]
    if is_of_library(function):
        notes.is_kept |= space["__name__"].startswith("jax.") and (bool(closure) or function.__name__ in _KEEPERS)
        # Importable, it is the library's own; else it may have been made around something of the user's.
        return code.number, () if is_importable(function) else (*closure, *function.__dict__.values())
    notes.functions[function] = function.__code__, function.__defaults__
    notes.is_kept |= not _KEEPERS.isdisjoint((*code.names, *code.attributes))
    read = [*_read(notes, code.names, space, code.attributes), *closure]
    read += _read(notes, code.imports, sys.modules, code.attributes)
    for values in filter(None, (function.__dict__, function.__kwdefaults__)):
        read += _mapping(notes, values)[1]
    return (code.number, len(read)), [*read, function.__defaults__]


def _read(
    notes: Notes,
    names: Iterable[str],
    space: dict[str, Any],
    attributes: Iterable[str],
    through: tuple[ModuleType, ...] = (),
) -> Iterator[Any]:
    """Names and values that are read of a namespace, and as attributes of the user's modules in it."""
    for name, value in notes.read(space, space, names):
        yield name
        if type(value) is not ModuleType:
            yield value
        elif value not in through and not is_library(value.__name__):
            yield from _read(notes, attributes, vars(value), attributes, (*through, value))


def _class(notes: Notes, kind: type) -> _Parts:
    name = kind.__module__, kind.__qualname__
    if is_library(kind.__module__):
        return name, ()
    read = [item for item in notes.read_all(kind, vars(kind)) if _is_computed_with(*item)]
    return (*name, len(read)), [*kind.__bases__, *chain.from_iterable(read)]


def _is_computed_with(name: str, value: Any) -> bool:
    return name not in _NOT_COMPUTED_WITH and (name[:2] != "__" or type(value) is FunctionType)


def _sequence(notes: Notes, values: Any) -> _Parts:
    held = notes.read_sequence(values)
    return (type(values), len(held)), held


def _mapping(notes: Notes, mapping: Any) -> _Parts:
    read = notes.read_all(mapping, mapping)
    return (type(mapping), len(read)), chain.from_iterable(read)


def _module(notes: Notes, module: ModuleType) -> _Parts:
    if is_library(module.__name__):
        return module.__name__, ()
    names = [name for name in vars(module) if name[:2] != "__"]
    return (module.__name__, len(names)), _read(notes, names, vars(module), (), (module,))


def _array(notes: Notes, array: np.ndarray) -> _Parts:
    if array.dtype.hasobject:
        notes.is_volatile = True
        return array.shape, array.ravel().tolist()
    is_constant = not array.flags.writeable and array.base is None
    return remembered(array) if is_constant else notes.read_array(array), ()


def _parts_of_other(notes: Notes, thing: Any) -> _Parts:
    if isinstance(thing, type):
        return _class(notes, thing)
    if isinstance(thing, Tracer):
        return Same(thing), ()
    if isinstance(thing, jax.Array):
        return Same(thing) if jnp.issubdtype(thing.dtype, jax.dtypes.extended) else remembered(thing), ()
    if isinstance(thing, np.ndarray):
        return _array(notes, thing)
    if isinstance(thing, np.generic):
        return (type(thing), thing.tobytes()), ()
    if isinstance(thing, dict):
        return _instance(notes, thing, *_mapping(notes, thing))
    if isinstance(thing, tuple | list | set | frozenset | deque):
        return _instance(notes, thing, *_sequence(notes, thing))
    return _instance(notes, thing)


def _instance(notes: Notes, thing: Any, token: Hashable = None, held: Iterable[Any] = ()) -> _Parts:
    """An object by its class, its attributes and, if it is a container, what it contains."""
    kind = type(thing)
    is_foreign = is_library(kind.__module__) and kind.__module__.partition(".")[0] in _BY_IDENTITY
    if token is None and is_foreign and f"{kind.__module__}.{kind.__qualname__}" not in _NAMESPACES:
        by_value = kind.__hash__ is not object.__hash__ and kind.__hash__ is not None
        return (kind, thing) if by_value else Same(thing), ()
    slots = [name for base in kind.__mro__ for name in _as_names(vars(base).get("__slots__", ()))]
    notes.is_volatile |= bool(slots)
    own = [(name, getattr(thing, name)) for name in slots if hasattr(thing, name)]
    own += notes.read_all(thing, vars(thing)) if hasattr(thing, "__dict__") else []
    # What a cached property keeps follows from the other attributes, and appears late.
    own = [item for item in own if type(vars(kind).get(item[0])) is not cached_property]
    if token is None and not own and is_library(kind.__module__):
        return Same(thing), ()
    return (token, len(own)), [kind, *held, *chain.from_iterable(own)]


def _compiled(notes: Notes, compiled: Any) -> _Parts:
    notes.is_kept = True
    return "jit", (compiled.__wrapped__,)


def _as_names(slots: Any) -> tuple[str, ...]:
    return (slots,) if isinstance(slots, str) else tuple(name for name in slots if name[:2] != "__")


_PARTS: dict[type, Callable[[Notes, Any], _Parts]] = {
    FunctionType: _function,
    type: _class,
    ModuleType: _module,
    MethodType: lambda _, method: ("method", (method.__func__, method.__self__)),
    complex: lambda _, number: (repr(number), ()),
    bytes: lambda _, text: (text, ()),
    tuple: _sequence,
    list: _sequence,
    set: _sequence,
    frozenset: _sequence,
    dict: _mapping,
    np.ndarray: _array,
    partial: lambda _, part: ("partial", (part.func, part.args, part.keywords)),
    property: lambda _, part: ("property", (part.fget,)),
    cached_property: lambda _, part: ("property", (part.func,)),
    staticmethod: lambda _, part: ("static", (part.__func__,)),
    classmethod: lambda _, part: ("class", (part.__func__,)),
    _JIT: _compiled,
    _CACHED: lambda _, cached: ("cached", (cached.__wrapped__,)),
    jax.custom_jvp: lambda notes, rule: _mapping(notes, vars(rule)),
    jax.custom_vjp: lambda notes, rule: _mapping(notes, vars(rule)),
}
"""What is done with a thing of that very type; with any other, see `_parts_of_other`."""
