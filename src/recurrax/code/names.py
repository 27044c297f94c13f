"""Which names stand in a function's code, and which modules are the user's own."""

import sys
import sysconfig
from collections.abc import Iterator
from dis import get_instructions
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any, NamedTuple


class Code(NamedTuple):
    """A number, the same for equal code, and the names in it: of globals, of attributes, of modules it imports."""

    number: int
    names: tuple[str, ...]
    attributes: tuple[str, ...]
    imports: tuple[str, ...]


_KEPT = 20_000
"""Code objects remembered."""
_CODES: dict[int, tuple[CodeType, Code]] = {}
_NUMBERS: dict[CodeType, int] = {}


def names_of(code: CodeType) -> Code:
    """The names in a function's code, and in that of functions written inside of it."""
    if id(code) not in _CODES:
        if len(_CODES) >= _KEPT:
            _CODES.clear()
        found: dict[str, dict[str, None]] = {"names": {}, "attributes": {}, "imports": {}}
        for part in _nested(code):
            for instruction in get_instructions(part):
                if instruction.opname in _NAMING:
                    found[_NAMING[instruction.opname]][instruction.argval] = None
            # getattr(module, "name")
            strings = (text for text in part.co_consts if isinstance(text, str) and text.isidentifier())
            found["attributes"].update(dict.fromkeys(strings))
        number = _NUMBERS.setdefault(code, len(_NUMBERS))
        _CODES[id(code)] = code, Code(number, **{kind: tuple(names) for kind, names in found.items()})
    return _CODES[id(code)][1]


_NAMING = {"LOAD_GLOBAL": "names", "LOAD_NAME": "names", "IMPORT_NAME": "imports"} | dict.fromkeys(
    ("LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM", "LOAD_SUPER_ATTR"), "attributes"
)


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def is_importable(function: Any) -> bool:
    """Whether a function is found in its module, a library, under its name; a wrapper takes that of what it wraps."""
    name = function.__module__
    return is_library(name) and getattr(sys.modules[name], function.__qualname__, None) is function


@lru_cache(maxsize=4096)
def is_library(name: str) -> bool:
    """Whether the module of that name is installed, or of Python itself, rather than the user's."""
    module = sys.modules.get(name)
    if module is None or name == "__main__":
        return False
    if name.startswith("recurrax.code"):  # whose own notes change in every call
        return True
    file = getattr(module, "__file__", None)
    if file is None:
        return name in sys.builtin_module_names or getattr(module.__spec__, "origin", None) in ("built-in", "frozen")
    return "site-packages" in file or "dist-packages" in file or file.startswith(_PYTHON)


def is_of_library(function: FunctionType) -> bool:
    """Whether a function was defined in such a module, and not in a namespace that took its name, as doctests do."""
    name = function.__globals__.get("__name__", "__main__")
    return is_library(name) and vars(sys.modules[name]) is function.__globals__


_PYTHON = tuple({sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")})
