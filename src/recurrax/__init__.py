"""recurrax: recurrent cells as pure functions, a fused scan, and gradient norms measured lag by lag."""

from recurrax import cells
from recurrax.cells import GRU, LSTM, Elman
from recurrax.kernels import ScanResult, scan
from recurrax.typing import Cell

__all__ = ["GRU", "LSTM", "Cell", "Elman", "ScanResult", "cells", "scan"]
__version__ = "0.1.0"
