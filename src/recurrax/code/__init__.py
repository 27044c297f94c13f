"""Programs keyed by the code that their static arguments reach: an edit always reaches the next call.

`jax.jit` keeps a program by its static arguments alone, a cell's class and fields. What the methods of that class read
beside these, constants, helpers and modules, may change under it: a notebook's cell is run again, a module reloaded.
"""

from collections.abc import Callable, Hashable
from functools import update_wrapper
from types import FunctionType
from typing import Any
from weakref import WeakKeyDictionary

import jax

from recurrax.code.reach import Version, reached, version, walk

__all__ = ["Version", "jit", "notice", "version"]


class _Static:
    """A static argument with the version of the code it reaches: equal where both are."""

    __slots__ = ("_notes", "value", "version")

    def __init__(self, value: Hashable):
        found, self._notes = reached(value)
        self.value, self.version = value, _SETTLED.get(found, found)
        _forget_edited(self.version)

    def settle(self) -> None:
        """Called after a trace: what that has changed of what the value reads, a counter say, is no constant."""
        if self._notes is not None and not self._notes.still_hold():
            self._notes.settle()
            _SETTLED[version(self.value)] = self.version
        self._notes = None  # the program keeps this object

    def __hash__(self) -> int:
        return hash((self.value, self.version))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Static) and self.value == other.value and self.version == other.version

    def __repr__(self) -> str:
        return repr(self.value)


def jit(function: Callable[..., Any], *, static_argnums: int | tuple[int, ...] = 0, **options: Any) -> Any:
    """`jax.jit` that compiles again where code that a static argument reaches has changed.

    Args:
        function: as for `jax.jit`.
        static_argnums: positions of hashable arguments, a cell or a function of the user's among them.
        **options: of `jax.jit`; what is static by `static_argnames` is not followed.

    >>> gain = 2.0
    >>> def scaled(x):
    ...     return gain * x
    >>> call = jit(lambda function, x: function(x))
    >>> before = float(call(scaled, 1.0))
    >>> gain = 3.0
    >>> before, float(call(scaled, 1.0))
    (2.0, 3.0)
    """
    places = (static_argnums,) if isinstance(static_argnums, int) else static_argnums

    def unpacked(*args: Any, **kwargs: Any) -> Any:
        result = function(*(arg.value if isinstance(arg, _Static) else arg for arg in args), **kwargs)
        for arg in args:
            if isinstance(arg, _Static):
                arg.settle()
        return result

    # The signature of `function` is what names in options are looked up in.
    compiled = jax.jit(update_wrapper(unpacked, function), static_argnums=places, **options)

    def packed(args: tuple[Any, ...]) -> list[Any]:
        return [_Static(arg) if place in places else arg for place, arg in enumerate(args)]

    def call(*args: Any, **kwargs: Any) -> Any:
        return compiled(*packed(args), **kwargs)

    call = update_wrapper(call, function)
    call._cache_size = compiled._cache_size  # pyright: ignore
    call.lower = lambda *args, **kwargs: compiled.lower(*packed(args), **kwargs)  # pyright: ignore
    return call


def notice(*things: Any) -> None:
    """To be called before functions of the user's are traced: has JAX forget what it kept of those that were edited."""
    _forget_edited(version(*things))


_SETTLED: dict[Version, Version] = {}
"""Version after a trace to the version before it, where the trace has changed what it reads."""
_KEPT = 1024
"""Versions remembered, which hold the functions that they are of."""
_SEEN: set[Version] = set()
_LATEST: WeakKeyDictionary[FunctionType, int] = WeakKeyDictionary()


def _forget_edited(seen: Version) -> None:
    """Has JAX forget what it has traced of functions that read something else now.

    It keeps the bodies of loops and branches, and what is wrapped in `jit` and `checkpoint`, by the function alone, and
    forgets all or nothing: that costs compiling everything once more, where an edit is behind one of these.
    """
    if seen in _SEEN or not seen.functions:
        return
    now = {function: hash(walk(function)[0]) for function in seen.functions}
    if any(_LATEST.get(function, latest) != latest for function, latest in now.items()):
        _SEEN.clear()
        if seen.kept:
            jax.clear_caches()
    if len(_SEEN) >= _KEPT:
        _SEEN.clear()  # they are looked at once more
    _LATEST.update(now)
    _SEEN.add(seen)
