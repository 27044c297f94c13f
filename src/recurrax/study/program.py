"""Which program a question's numbers come from: hashes of the code of its cells, tasks and measurements.

A measurement may call any instrument on any arrays, so there is no one program that JAX could lower; what is hashed is
Python's code. It is followed from an object to all that it reaches in files that are not installed: functions, classes,
constants, closures, default values, custom derivatives. Comments, layout and docstrings are no part of it. The library
is followed in its cells, wrappers and tasks, in how studies draw and train networks, and in a measurement's own file.
"""

import functools
import hashlib
import os
import sys
import sysconfig
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recurrax.runs.program import VERSION

_LIBRARY = f"{Path(__file__).parents[1]}{os.sep}"
_FOLLOWED = tuple(
    str(Path(_LIBRARY, room)) for room in ("cells", "wrappers", "tasks", "study/networks.py", "study/failing.py")
)
_PYTHON = tuple({sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib")})
_INSIDE = ("__wrapped__", "func", "__func__", "fget", "fwd", "bwd", "jvp")
"""Where jit, caches, properties, other descriptors and custom derivatives keep the functions that they wrap."""


def fingerprint(parts: Mapping[str, Any]) -> dict[str, str]:
    """What `recurrax.runs.open_run` takes as `program`: a SHA-256 of each object's code, the same in every process.

    >>> one, other = (fingerprint({"measure": lambda: scale})["measure"] for scale in (1.0, 2.0))
    >>> one == other
    False
    """
    hashed = {name: hashlib.sha256("\n".join(_Walk(part).lines).encode()).hexdigest() for name, part in parts.items()}
    # Another Python compiles the same source to other instructions.
    return hashed | {VERSION: f"Python {sys.version_info.major}.{sys.version_info.minor}"}


class _Walk:
    """`lines` change with what an object computes, or anything that it reaches."""

    def __init__(self, root: Any):
        self.home, self.seen = _file(root), dict[int, Any]()
        self.lines = list(self._value(root))

    def _each(self, title: str, values: Iterable[Any]) -> Iterator[str]:
        yield title
        for value in values:
            yield from self._value(value)

    def _value(self, value: Any) -> Iterator[str]:
        if value is None or value is ... or isinstance(value, bool | int | float | complex | str | bytes | np.generic):
            yield repr(value)
        elif isinstance(value, set | frozenset):  # whose order differs between processes
            yield from sorted("\n".join(self._value(entry)) for entry in value)
        elif isinstance(value, tuple):
            yield from self._each("tuple", value)
        elif isinstance(value, types.CodeType):
            yield from self._each(value.co_code.hex(), [value.co_names, *value.co_consts])
        elif isinstance(value, np.ndarray | jax.Array):
            bits = jax.random.key_data(value) if jnp.issubdtype(value.dtype, jax.dtypes.prng_key) else value
            yield f"{value.dtype} {value.shape} {hashlib.sha256(np.asarray(bits).tobytes()).hexdigest()}"
        elif id(value) not in self.seen:
            self.seen[id(value)] = value  # held, so that no other object gets its id
            yield from self._object(value)

    def _object(self, value: Any) -> Iterator[str]:
        if isinstance(value, types.FunctionType):
            yield from self._function(value)
        elif isinstance(value, type):
            yield from self._class(value)
        elif isinstance(value, list):
            yield from self._each("list", value)
        elif isinstance(value, Mapping):
            yield from self._each("mapping", [part for item in value.items() for part in item])
        elif is_dataclass(value):
            yield from self._value(type(value))
            yield from self._value({field.name: getattr(value, field.name) for field in fields(value)})
        elif isinstance(value, functools.partial | types.MethodType):
            names = ("func", "args", "keywords") if isinstance(value, functools.partial) else ("__func__", "__self__")
            yield from self._each("bound", [getattr(value, name) for name in names])
        elif not isinstance(value, types.ModuleType):
            yield from self._value(type(value))
            inside = [getattr(value, name) for name in _INSIDE if callable(getattr(value, name, None))]
            yield from self._each("inside", inside)
            if self._is_followed(type(value)):
                yield from self._value(getattr(value, "__dict__", {}))

    def _function(self, function: types.FunctionType) -> Iterator[str]:
        yield function.__qualname__
        yield from self._each("closure", [cell.cell_contents for cell in function.__closure__ or ()])
        yield from self._each("defaults", [function.__defaults__, function.__kwdefaults__])
        if self._is_followed(function):
            code = function.__code__
            yield from self._value(code.replace(co_consts=tuple(c for c in code.co_consts if c != function.__doc__)))
            yield from self._reached(set(_names(code)), function.__globals__)

    def _reached(self, names: set[str], space: Mapping[str, Any]) -> Iterator[str]:
        """What names stand for in a module, and attributes of that name in modules among them."""
        for name in sorted(names & space.keys()):
            yield from self._each(name, [space[name]])
            if isinstance(space[name], types.ModuleType) and self._is_followed(space[name]):
                yield from self._reached(names - {name}, vars(space[name]))

    def _class(self, kind: type) -> Iterator[str]:
        yield kind.__qualname__
        for base in filter(self._is_followed, kind.__mro__):
            for name, entry in sorted(vars(base).items()):
                generated = getattr(getattr(entry, "__code__", None), "co_filename", "") == "<string>"  # by dataclass
                if not generated and (callable(entry) or _is_wrapper(entry) or not name.startswith("_")):
                    yield from self._each(name, [entry])

    def _is_followed(self, value: Any) -> bool:
        """Whether a function, a class or a module stands in a file that is followed."""
        file = _file(value)
        if file is None:
            return getattr(_module(value), "__spec__", None) is None  # a notebook; what is built in has one
        if file == self.home or file.startswith(_FOLLOWED):
            return True
        return not (file.startswith((_LIBRARY, *_PYTHON)) or "site-packages" in file or "dist-packages" in file)


def _is_wrapper(entry: Any) -> bool:
    return isinstance(entry, property | classmethod | staticmethod)


def _names(code: types.CodeType) -> Iterator[str]:
    """Names of globals and attributes that the code and the functions defined in it mention."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _file(value: Any) -> str | None:
    return getattr(_module(value), "__file__", None)


def _module(value: Any) -> types.ModuleType | None:
    """A module, or that of a function or a class."""
    if isinstance(value, types.ModuleType):
        return value
    return sys.modules.get(getattr(value, "__module__", None) or "")
