"""Kernels: how time is walked. They know the Cell contract and never a concrete cell."""

from recurrax.kernels.scan import Implementation, ScanResult, scan

__all__ = ["Implementation", "ScanResult", "scan"]
