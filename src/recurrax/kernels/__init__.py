"""Kernels: how time is walked. They know the Cell contract and never a concrete cell."""

from recurrax.kernels.api import ScanResult, scan
from recurrax.kernels.laws import check_cell

__all__ = ["ScanResult", "check_cell", "scan"]
