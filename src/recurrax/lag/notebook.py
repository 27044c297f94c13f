"""How results show themselves: a small picture in a notebook, a line of text elsewhere."""

import importlib
from typing import Any


def html(result: Any, /) -> str | None:
    """A small picture of a result for a notebook; None, by which it shows the text instead, where it cannot be drawn.

    The drawing stands floors above and is looked up by its name when a notebook asks, and matplotlib with it.
    """
    try:
        return importlib.import_module("recurrax.plot").html(result)
    except ModuleNotFoundError:
        return None


def without_curve(self: Any) -> str:
    """The fields of a NamedTuple as its own `repr` has them, but for the curve, which may have thousands of entries."""
    fields = ", ".join(f"{name}={value!r}" for name, value in self._asdict().items() if name != "curve")
    return f"{type(self).__name__}({fields})"
