"""Wrappers: a Cell made of cells, one per file, so that every scan, layer and instrument takes it.

A new wrapper is one file here, imported below and entered in `ALL`; what it shows stands in the file's own `__all__`.
"""

from recurrax.wrappers.block_diagonal import *
from recurrax.wrappers.dropout import *
from recurrax.wrappers.learned_carry import *
from recurrax.wrappers.normed import *
from recurrax.wrappers.residual import *
from recurrax.wrappers.stack import *
from recurrax.wrappers.weight_drop import *
from recurrax.wrappers.zoneout import *

ALL = (Stack, Residual, Normed, BlockDiagonal, Dropout, WeightDrop, Zoneout, LearnedCarry)
"""Every wrapper class of the library."""
