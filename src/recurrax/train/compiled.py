"""Compiled programs, kept by what they compute: another function with the same lowered text compiles nothing."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any

import jax
from jax.stages import Compiled, Lowered

MOST = 128
"""Programs kept, the longest unused one let go first."""

_KEPT: OrderedDict[Hashable, Future[Compiled]] = OrderedDict()
_LOCK = threading.Lock()


class Shared:
    """A function that is lowered at its first call and compiled only if none of its text has been compiled before.

    All calls take arguments of the same shapes, dtypes and shardings; `shardings` are those of the results, or a pytree
    prefix of them. `jax.jit` keeps programs by the function object, so that closures made anew compile anew; this keeps
    them by their text.

    >>> once, again = (Shared(lambda x: 2 * x) for _ in range(2))
    >>> float(once(3.0)), float(again(3.0)), once.program is again.program
    (6.0, 6.0, True)
    """

    def __init__(self, function: Callable[..., Any], shardings: Any = None):
        self.program: Compiled | None = None
        self._function = jax.jit(function, out_shardings=shardings)

    def __call__(self, *args: Any) -> Any:
        if self.program is None:
            self.program = compile_shared(self._function.lower(*args), _device_ids(args))
        return self.program(*args)


def text_hash(lowered: Lowered) -> str:
    """SHA-256 of a lowered program's text, the constants in it included; the same in every process."""
    return hashlib.sha256(lowered.as_text().encode()).hexdigest()


def compile_shared(lowered: Lowered, device_ids: Hashable = ()) -> Compiled:
    """The compiled program, or the one that the same text has been compiled to before, for the same devices."""
    if "callback" in lowered.as_text():
        return lowered.compile()  # the text names a Python function by a number that says nothing outside of it
    key = (text_hash(lowered), lowered.in_tree, lowered.out_tree, device_ids, repr(jax.config.values))
    with _LOCK:
        first = key not in _KEPT
        future = _KEPT.setdefault(key, Future())
        _KEPT.move_to_end(key)
        while len(_KEPT) > MOST:
            _KEPT.popitem(last=False)
    if first:
        # Outside of the lock: other threads compile other programs meanwhile, and wait here for this one.
        try:
            future.set_result(lowered.compile())
        except BaseException as error:
            with _LOCK:
                _KEPT.pop(key, None)
            future.set_exception(error)
    return future.result()


def _device_ids(args: Any) -> Hashable:
    arrays = [leaf for leaf in jax.tree.leaves(args) if isinstance(leaf, jax.Array)]
    return tuple(sorted({device.id for array in arrays for device in array.sharding.device_set}))
