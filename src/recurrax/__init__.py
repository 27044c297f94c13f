"""recurrax: recurrent cells as pure functions, a fused scan, and gradient norms measured lag by lag."""

from importlib import import_module
from types import ModuleType

from recurrax import cells, lag, tasks, train
from recurrax.cells import GRU, LSTM, Elman
from recurrax.kernels import ScanResult, check_cell, scan
from recurrax.typing import Cell

__all__ = ["GRU", "LSTM", "Cell", "Elman", "ScanResult", "cells", "check_cell", "lag", "scan", "tasks", "train"]
__version__ = "0.1.0"


def __getattr__(name: str) -> ModuleType:
    # Flax is two fifths of the import time of both together, and most programs need one of its layers or none.
    if name in ("linen", "nnx"):
        return import_module(f"recurrax.{name}")
    raise AttributeError(f"module 'recurrax' has no attribute {name!r}")
