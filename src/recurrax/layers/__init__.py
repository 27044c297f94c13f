"""Flax layers around any cell: `recurrax.nnx` and `recurrax.linen`, and what both share."""
