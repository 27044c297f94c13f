"""Other libraries' cells and weights: their cells unchanged, and their weights in ours and back."""

from recurrax.convert.adapters import from_equinox, from_linen, from_nnx
from recurrax.convert.files import load, save
from recurrax.convert.foreign import Foreign, from_step
from recurrax.convert.onnx import from_onnx, to_onnx
from recurrax.convert.torch import from_torch, to_torch
from recurrax.convert.weights import Conversion, Weights, carry_from, carry_to, weights_from, weights_to

__all__ = [
    "Conversion",
    "Foreign",
    "Weights",
    "carry_from",
    "carry_to",
    "from_equinox",
    "from_linen",
    "from_nnx",
    "from_onnx",
    "from_step",
    "from_torch",
    "load",
    "save",
    "to_onnx",
    "to_torch",
    "weights_from",
    "weights_to",
]
