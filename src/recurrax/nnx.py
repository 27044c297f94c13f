"""The layer for Flax's nnx, under its public name."""

from recurrax.layers.nnx import RNN

__all__ = ["RNN"]
