"""Kernels: how time is walked. They know the Cell contract and never a concrete cell."""

from recurrax.kernels.bidirectional import DirectionsCarry, bidirectional
from recurrax.kernels.scan import Implementation, ScanResult, scan

__all__ = ["DirectionsCarry", "Implementation", "ScanResult", "bidirectional", "scan"]
