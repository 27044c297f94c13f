"""Cells as users of the field write them, each a few lines, all held to the reference in value and gradient.

Plain style is the point: `@`, `jnp.dot` and `einsum`, dicts of parameters, Python constants, biases that broadcast.
Tests that run them use the fixture `plain_style`, which lets JAX broadcast as users have it.
"""

from zoo import gates, leaves, memories, units, weights

ALL = (*units.CELLS, *gates.CELLS, *memories.CELLS, *leaves.CELLS, *weights.CELLS)
"""One cell of every kind; each has `features`, what `init` is given, and `inputs`, which draws what it runs on."""
OF_FOUR_KINDS = (gates.PeepholeLSTM(4), units.PreActivation(4), weights.LearnedStart(4), gates.Uneven(4))
"""With parameters in the gates, an output that the carry lacks, a learned start, gates of uneven width."""
