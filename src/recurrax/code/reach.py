"""What the code that an object reaches is, as a hashable `version`: a constant run again or a helper edited changes it.

Followed are the functions and classes that users write, through the globals, modules, closures and defaults that they
read; installed libraries only as far as they hold something of the user's, as the wrapper of a decorator does.
"""

import hashlib
import sys
import sysconfig
import weakref
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dis import get_instructions
from functools import cached_property, lru_cache, partial
from itertools import chain
from operator import attrgetter, is_
from types import CellType, CodeType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np
from jax.core import Tracer

_Parts: TypeAlias = tuple[Hashable, Iterable[Any]]
_MOST = 20_000
"""Objects followed from one; any further ones stand for themselves."""
_KEPT = 512
"""Walks remembered."""
_JIT = type(jax.jit(lambda: None))
_NOT_COMPUTED_WITH = frozenset({"__repr__", "__eq__", "__hash__", "__setattr__", "__delattr__", "_abc_impl"})
_BY_IDENTITY = frozenset({"jax", "jaxlib", "numpy", *sys.stdlib_module_names})
"""Libraries whose objects hold nothing of the user's, but for those in `_PARTS`; their insides change as they work."""


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


class Same:
    """A thing that is equal to nothing but itself; held, so that no other takes its address."""

    __slots__ = ("thing",)

    def __init__(self, thing: Any):
        self.thing = thing

    def __hash__(self) -> int:
        return id(self.thing)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.thing is other.thing


_KNOWN: dict[tuple[Hashable, ...], tuple[Version, "_Walk"]] = {}


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
    try:
        known = _KNOWN.get(things)
    except Exception:  # one cannot be hashed
        return _walk(things)[0]
    if known is not None and known[1].still_holds():
        return known[0]
    if len(_KNOWN) > _KEPT:
        _KNOWN.clear()
    _KNOWN[things] = known = _walk(things)
    return known[0]


class _Walk:
    """What a walk over code has read, to be compared by identity: 20 times faster than to walk again."""

    def __init__(self):
        # By the id of what they are of, an object or a module: its namespace, and the values of names read there.
        self.spaces: dict[int, tuple[Any, Mapping[Any, Any], dict[Any, Any]]] = {}
        self.wholes: list[tuple[Any, Mapping[Any, Any], dict[Any, Any]]] = []  # of which every name was read
        self.sequences: list[tuple[Any, tuple[Any, ...]]] = []
        self.functions: dict[FunctionType, tuple[Any, Any]] = {}  # code and defaults
        self.cells: list[tuple[Any, Any]] = []  # of closures, and their contents
        self.arrays: list[tuple[np.ndarray, Hashable]] = []
        self.is_volatile = False  # where something was read that is not noted here
        self.is_kept = False  # where a function may have been given to one of _KEEPERS

    def read(self, of: Any, space: Mapping[Any, Any], names: Iterable[Any]) -> list[tuple[Any, Any]]:
        """Names and values of a namespace, noted; without those that tracing changes."""
        noted = self.spaces.setdefault(id(of), (of, space, {}))[2]
        names = [name for name in names if (id(of), name) not in _STATE]
        noted |= {name: space.get(name) for name in names}
        return [(name, noted[name]) for name in names if name in space]

    def read_all(self, of: Any, space: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
        """The same for all names there are."""
        if any((id(of), name) in _STATE for name in space):
            return self.read(of, space, space)
        self.wholes.append((of, space, dict(space)))
        return list(space.items())

    def read_sequence(self, sequence: Any) -> list[Any]:
        """What a list, a set or a deque holds, noted."""
        held = [] if (id(sequence), None) in _STATE else list(sequence)
        if not isinstance(sequence, tuple | frozenset) and (id(sequence), None) not in _STATE:
            self.sequences.append((sequence, tuple(held)))
        return held

    def read_cell(self, cell: CellType) -> list[Any]:
        """The content of a closure's cell, noted; none of a name that has no value yet."""
        if (id(cell), None) in _STATE:
            return []
        try:
            self.cells.append((cell, cell.cell_contents))
        except ValueError:
            self.is_volatile = True
            return []
        return [cell.cell_contents]

    def read_array(self, array: np.ndarray) -> Hashable:
        """The bytes of an array that may be changed in place, noted."""
        if (id(array), None) in _STATE:
            return Same(array)
        self.arrays.append((array, _bytes_of(array)))
        return self.arrays[-1][1]

    def still_holds(self) -> bool:
        """Whether everything read is what it was."""
        try:
            return not self.is_volatile and all(self._comparisons())
        except Exception:  # a cell of a closure that is empty now, an array that was deleted
            return False

    def _comparisons(self) -> Iterator[bool]:
        for _, space, read in self.spaces.values():
            yield all(map(is_, map(space.get, read), read.values()))
        yield all(map(is_, map(_CODE_OF, self.functions), (code for code, _ in self.functions.values())))
        yield all(map(is_, map(_DEFAULTS_OF, self.functions), (held for _, held in self.functions.values())))
        for cell, content in self.cells:
            yield cell.cell_contents is content
        for _, space, read in self.wholes:
            yield len(space) == len(read) and all(map(is_, space.values(), read.values()))
            yield type(space) is MappingProxyType or all(map(is_, space, read))
        for sequence, held in self.sequences:
            yield len(sequence) == len(held) and all(map(is_, sequence, held))
        for array, content in self.arrays:
            yield _bytes_of(array) == content

    def changed(self) -> dict[tuple[int, Any], Any]:
        """What has changed since, by its id and the name in it."""
        spaces = [*self.spaces.values(), *((of, space, dict.fromkeys(space) | read) for of, space, read in self.wholes)]
        changed = {
            (id(of), name): of
            for of, space, read in spaces
            for name, value in read.items()
            if space.get(name) is not value
        }
        single = [(cell, cell.cell_contents is content) for cell, content in self.cells]
        single += [(held, len(held) == len(was) and all(map(is_, held, was))) for held, was in self.sequences]
        single += [(array, _bytes_of(array) == content) for array, content in self.arrays]
        return changed | {(id(thing), None): thing for thing, same in single if not same}


_STATE: dict[tuple[int, Any], Any] = {}
"""What tracing itself has changed, such as a counter of traces, by its id and the name in it: no constant."""


def settle(thing: Hashable) -> Version:
    """Called when what a thing reaches has just been traced: its version, in which nothing counts that this changed."""
    walk = _KNOWN[(thing,)][1] if (thing,) in _KNOWN else _walk((thing,))[1]
    if not walk.still_holds():
        _STATE.update(walk.changed())
    return version(thing)


_CODE_OF, _DEFAULTS_OF = attrgetter("__code__"), attrgetter("__defaults__")


def _walk(things: tuple[Any, ...]) -> tuple[Version, _Walk]:
    walk = _Walk()
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
            token, held = _parts(walk, thing) if len(followed) < _MOST else (Same(thing), ())
            tokens.append(token)
            stack.extend(held)
    return Version(tuple(tokens), tuple(walk.functions), walk.is_kept), walk


def _parts(walk: _Walk, thing: Any) -> _Parts:
    """What a thing is by itself, and what it holds."""
    try:
        token, held = _PARTS.get(type(thing), _parts_of_other)(walk, thing)
        hash(token)
        return token, list(held)
    except Exception:  # anything may stand in a global
        return Same(thing), ()


def _function(walk: _Walk, function: FunctionType) -> _Parts:
    code, space = _code(function.__code__), function.__globals__
    closure = [content for cell in function.__closure__ or () for content in walk.read_cell(cell)]
    if is_library(space.get("__name__")):
        walk.is_kept |= space["__name__"].startswith("jax.") and (bool(closure) or function.__name__ in _KEEPERS)
        # Importable, it is the library's own; else it may have been made around something of the user's.
        return code.number, () if _is_importable(function) else (*closure, *function.__dict__.values())
    walk.functions[function] = function.__code__, function.__defaults__
    walk.is_kept |= not _KEEPERS.isdisjoint((*code.names, *code.attributes))
    read = [*_read(walk, code.names, space, code.attributes), *closure]
    read += _read(walk, code.imports, sys.modules, code.attributes)
    for values in filter(None, (function.__dict__, function.__kwdefaults__)):
        read += _mapping(walk, values)[1]
    return (code.number, len(read)), [*read, function.__defaults__]


def _read(
    walk: _Walk,
    names: Iterable[str],
    space: dict[str, Any],
    attributes: Iterable[str],
    through: tuple[ModuleType, ...] = (),
) -> Iterator[Any]:
    """Names and values that are read of a namespace, and as attributes of the user's modules in it."""
    for name, value in walk.read(space, space, names):
        yield name
        if type(value) is not ModuleType:
            yield value
        elif value not in through and not is_library(value.__name__):
            yield from _read(walk, attributes, vars(value), attributes, (*through, value))


class _Code(NamedTuple):
    """A number, the same for equal code, and the names in it: of globals, of attributes, of modules it imports."""

    number: int
    names: tuple[str, ...]
    attributes: tuple[str, ...]
    imports: tuple[str, ...]


_CODES: dict[int, tuple[CodeType, _Code]] = {}
_NUMBERS: dict[CodeType, int] = {}


def _code(code: CodeType) -> _Code:
    if id(code) not in _CODES:
        found: dict[str, dict[str, None]] = {"names": {}, "attributes": {}, "imports": {}}
        for part in _nested(code):
            for instruction in get_instructions(part):
                if instruction.opname in _NAMING:
                    found[_NAMING[instruction.opname]][instruction.argval] = None
            # getattr(module, "name")
            strings = (text for text in part.co_consts if isinstance(text, str) and text.isidentifier())
            found["attributes"].update(dict.fromkeys(strings))
        number = _NUMBERS.setdefault(code, len(_NUMBERS))
        _CODES[id(code)] = code, _Code(number, **{kind: tuple(names) for kind, names in found.items()})
    return _CODES[id(code)][1]


_NAMING = {"LOAD_GLOBAL": "names", "LOAD_NAME": "names", "IMPORT_NAME": "imports"} | dict.fromkeys(
    ("LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM", "LOAD_SUPER_ATTR"), "attributes"
)


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _is_importable(function: Any) -> bool:
    return getattr(sys.modules.get(function.__module__), function.__qualname__, None) is function


@lru_cache(maxsize=4096)
def is_library(name: str | None) -> bool:
    """Whether the module of that name is installed, or of Python itself, rather than the user's."""
    module = sys.modules.get(name or "__main__")
    if module is None or name is None or name == "__main__":
        return False
    if name.startswith(__package__):  # whose own notes change in every call
        return True
    file = getattr(module, "__file__", None)
    if file is None:
        return name in sys.builtin_module_names or getattr(module.__spec__, "origin", None) in ("built-in", "frozen")
    return "site-packages" in file or "dist-packages" in file or file.startswith(_PYTHON)


_PYTHON = tuple({sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")})


def _class(walk: _Walk, kind: type) -> _Parts:
    name = kind.__module__, kind.__qualname__
    if is_library(kind.__module__):
        return name, ()
    read = [item for item in walk.read_all(kind, vars(kind)) if _is_computed_with(*item)]
    return (*name, len(read)), [*kind.__bases__, *chain.from_iterable(read)]


def _is_computed_with(name: str, value: Any) -> bool:
    return name not in _NOT_COMPUTED_WITH and (name[:2] != "__" or type(value) is FunctionType)


def _sequence(walk: _Walk, values: Any) -> _Parts:
    held = walk.read_sequence(values)
    return (type(values), len(held)), held


def _mapping(walk: _Walk, mapping: Any) -> _Parts:
    read = walk.read_all(mapping, mapping)
    return (type(mapping), len(read)), chain.from_iterable(read)


def _module(walk: _Walk, module: ModuleType) -> _Parts:
    if is_library(module.__name__):
        return module.__name__, ()
    names = [name for name in vars(module) if name[:2] != "__"]
    return (module.__name__, len(names)), _read(walk, names, vars(module), (), (module,))


def _array(walk: _Walk, array: np.ndarray) -> _Parts:
    if array.dtype.hasobject:
        walk.is_volatile = True
        return array.shape, array.ravel().tolist()
    is_constant = not array.flags.writeable and array.base is None
    return _remembered(array) if is_constant else walk.read_array(array), ()


def _bytes_of(array: Any) -> Hashable:
    values = np.asarray(array)
    return str(values.dtype), values.shape, hashlib.sha256(values.tobytes()).digest()


_DIGESTS: dict[int, tuple[weakref.ref, Hashable]] = {}


def _remembered(array: Any) -> Hashable:
    """`_bytes_of` an array that cannot change, read once."""
    place = id(array)
    if place not in _DIGESTS:
        _DIGESTS[place] = weakref.ref(array, lambda _: _DIGESTS.pop(place, None)), _bytes_of(array)
    return _DIGESTS[place][1]


def _parts_of_other(walk: _Walk, thing: Any) -> _Parts:
    if isinstance(thing, type):
        return _class(walk, thing)
    if isinstance(thing, Tracer):
        return Same(thing), ()
    if isinstance(thing, jax.Array):
        return Same(thing) if jax.dtypes.issubdtype(thing.dtype, jax.dtypes.extended) else _remembered(thing), ()
    if isinstance(thing, np.ndarray):
        return _array(walk, thing)
    if isinstance(thing, np.generic):
        return (type(thing), thing.tobytes()), ()
    if isinstance(thing, dict):
        return _instance(walk, thing, *_mapping(walk, thing))
    if isinstance(thing, tuple | list | set | frozenset | deque):
        return _instance(walk, thing, *_sequence(walk, thing))
    return _instance(walk, thing)


def _instance(walk: _Walk, thing: Any, token: Hashable = None, held: Iterable[Any] = ()) -> _Parts:
    """An object by its class, its attributes and, if it is a container, what it contains."""
    kind = type(thing)
    if token is None and is_library(kind.__module__) and kind.__module__.partition(".")[0] in _BY_IDENTITY:
        by_value = kind.__hash__ is not object.__hash__ and kind.__hash__ is not None
        return (kind, thing) if by_value else Same(thing), ()
    slots = [name for base in kind.__mro__ for name in _as_names(vars(base).get("__slots__", ()))]
    walk.is_volatile |= bool(slots)
    own = [(name, getattr(thing, name)) for name in slots if hasattr(thing, name)]
    own += walk.read_all(thing, vars(thing)) if hasattr(thing, "__dict__") else []
    # What a cached property keeps follows from the other attributes, and appears late.
    own = [item for item in own if type(vars(kind).get(item[0])) is not cached_property]
    if token is None and not own and is_library(kind.__module__):
        return Same(thing), ()
    return (token, len(own)), [kind, *held, *chain.from_iterable(own)]


def _compiled(walk: _Walk, compiled: Any) -> _Parts:
    walk.is_kept = True
    return "jit", (compiled.__wrapped__,)


def _as_names(slots: Any) -> tuple[str, ...]:
    return (slots,) if isinstance(slots, str) else tuple(name for name in slots if name[:2] != "__")


_PARTS: dict[type, Callable[[_Walk, Any], _Parts]] = {
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
    jax.custom_jvp: lambda walk, rule: _mapping(walk, vars(rule)),
    jax.custom_vjp: lambda walk, rule: _mapping(walk, vars(rule)),
}
"""What is done with a thing of that very type; with any other, see `_parts_of_other`."""
