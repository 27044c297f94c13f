"""The layer for Flax's linen, under its public name."""

from recurrax.layers.linen import RNN

__all__ = ["RNN"]
