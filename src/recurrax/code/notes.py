"""What was read on the way through code, noted, so that it is quickly seen whether anything of it has changed."""

import hashlib
import weakref
from collections.abc import Hashable, Iterable, Iterator, Mapping
from operator import attrgetter, is_
from types import CellType, FunctionType, MappingProxyType
from typing import Any

import numpy as np

_CODE_OF, _DEFAULTS_OF = attrgetter("__code__"), attrgetter("__defaults__")


class Same:
    """A thing that is equal to nothing but itself; held, so that no other takes its address."""

    __slots__ = ("thing",)

    def __init__(self, thing: Any):
        self.thing = thing

    def __hash__(self) -> int:
        return id(self.thing)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.thing is other.thing


class Notes:
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
        self.arrays.append((array, bytes_of(array)))
        return self.arrays[-1][1]

    def still_hold(self) -> bool:
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
            yield bytes_of(array) == content

    def settle(self) -> None:
        """Called after a trace: nothing that has changed since is a constant."""
        try:
            _STATE.update(self._changed())
        except Exception:  # as above
            return

    def _changed(self) -> dict[tuple[int, Any], Any]:
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
        single += [(array, bytes_of(array) == content) for array, content in self.arrays]
        return changed | {(id(thing), None): thing for thing, same in single if not same}


_STATE: dict[tuple[int, Any], Any] = {}
"""What tracing itself has changed, such as a counter of traces, by its id and the name in it: no constant."""


def bytes_of(array: Any) -> Hashable:
    """Dtype, shape and a hash of the bytes."""
    values = np.asarray(array)
    return str(values.dtype), values.shape, hashlib.sha256(values.tobytes()).digest()


_DIGESTS: dict[int, tuple[weakref.ref, Hashable]] = {}


def remembered(array: Any) -> Hashable:
    """`bytes_of` of an array that cannot change, read once."""
    place = id(array)
    if place not in _DIGESTS:
        _DIGESTS[place] = weakref.ref(array, lambda _: _DIGESTS.pop(place, None)), bytes_of(array)
    return _DIGESTS[place][1]
