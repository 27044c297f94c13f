"""Conversions checked against the libraries themselves, where they are installed."""

import jax
import numpy as np
import pytest

from recurrax import convert
from recurrax.convert import peers
from recurrax.convert.layouts import LAYOUTS

pytestmark = pytest.mark.usefixtures("quick_compile", "plain_style")
PAIRS = [(library, name) for library, layouts in LAYOUTS.items() for name in layouts]
D, H = 3, 4


def drawn(cell):
    noise = np.random.default_rng(1)
    return jax.tree.map(lambda leaf: noise.standard_normal(leaf.shape) / 2, cell.init(jax.random.key(0), D))


@pytest.mark.parametrize(("library", "name"), PAIRS)
def test_the_library_computes_what_our_cell_computes(library, name):
    """With arrays of its own, every bias among them, and with ours in its layout; other arrays are told apart."""
    pytest.importorskip({"haiku": "haiku", "linen": "flax", "nnx": "flax"}.get(library, library))
    layout = LAYOUTS[library][name]
    cell = layout.kind(H, **layout.fixed)
    params = drawn(cell)
    if (library, name) == ("nnx", "GRUCell"):  # it has no such bias
        params.recurrent_bias[:] = 0
    noise, there = np.random.default_rng(2), convert.weights_to(f"{library}:{name}", cell, params, check=True)
    assert there.notes[-1].startswith(f"largest difference from {library}'s own outputs ")
    arrays = {key: array + noise.standard_normal(array.shape) / 4 for key, array in there.arrays.items()}
    found = convert.weights_from(library, arrays, cell=cell, check=True)
    with pytest.raises(ValueError, match=r"^arrays: expected what .* computes, got another cell's: largest difference"):
        peers.check(library, name, there.arrays, cell, found.params)
