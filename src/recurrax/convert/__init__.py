"""Other libraries' cells and weights: their cells unchanged, and their weights in ours and back."""

from recurrax.convert.adapters import from_equinox, from_linen, from_nnx
from recurrax.convert.foreign import Foreign, from_step

__all__ = ["Foreign", "from_equinox", "from_linen", "from_nnx", "from_step"]
