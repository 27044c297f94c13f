"""recurrax: recurrent cells as pure functions, a fused scan, and gradient norms measured lag by lag."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recurrax import cells, convert, lag, linen, nnx, plot, report, runs, study, tasks, train, wrappers
    from recurrax.cells import *
    from recurrax.check import check_cell
    from recurrax.convert import from_equinox, from_linen, from_nnx, from_step, load, save
    from recurrax.fixed import Fixed
    from recurrax.kernels import ScanResult, bidirectional, scan
    from recurrax.keys import with_key
    from recurrax.lag.newton import newton_report
    from recurrax.typing import Cell
    from recurrax.wrappers import *

__all__ = [
    "GRU",
    "LSTM",
    "Cell",
    "Elman",
    "Fixed",
    "ScanResult",
    "bidirectional",
    "cells",
    "check_cell",
    "convert",
    "from_equinox",
    "from_linen",
    "from_nnx",
    "from_step",
    "lag",
    "linen",
    "load",
    "newton_report",
    "nnx",
    "plot",
    "report",
    "runs",
    "save",
    "scan",
    "study",
    "tasks",
    "train",
    "with_key",
    "wrappers",
]
__version__ = "0.1.0"

_ROOMS = {"cells", "convert", "lag", "linen", "nnx", "plot", "report", "runs", "study", "tasks", "train", "wrappers"}
_NAMES = {
    "ScanResult": "kernels",
    "bidirectional": "kernels",
    "check_cell": "check",
    "from_equinox": "convert",
    "from_linen": "convert",
    "from_nnx": "convert",
    "from_step": "convert",
    "load": "convert",
    "newton_report": "lag.newton",
    "save": "convert",
    "scan": "kernels",
    "Cell": "typing",
    "Fixed": "fixed",
    "with_key": "keys",
}


if not TYPE_CHECKING:  # a type checker would take any misspelt name for one that is found here

    def __getattr__(name: str) -> Any:
        # A part is loaded when it is first asked for: reports are made from saved files without JAX, and Flax is two
        # fifths of the import time of both together while most programs need one of its layers or none.
        if name in _ROOMS:
            return import_module(f"recurrax.{name}")
        if name in _NAMES:
            return getattr(import_module(f"recurrax.{_NAMES[name]}"), name)
        if name[0].isupper():  # a cell's or a wrapper's, as no other name of the library is
            for cell in (*import_module("recurrax.cells").ALL, *import_module("recurrax.wrappers").ALL):
                if cell.__name__ == name:
                    return cell
        raise AttributeError(f"module 'recurrax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
