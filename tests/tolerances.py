"""The one table of tolerances: what rounding costs in each dtype, not what was observed.

`RTOL` is relative to the largest magnitude of the array compared, so entries that cancel to nearly nothing are held to
the scale of their neighbours. It leaves some thousand units in the last place for sums over a few hundred terms.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

RTOL = {"float64": 1e-12, "float32": 2e-5, "bfloat16": 3e-2}
"""Values and first derivatives."""

SECOND_RTOL = {"float64": 1e-10, "float32": 1e-3, "bfloat16": 3e-2}
"""Second derivatives, which divide the digits once more."""


def assert_close(actual: Any, expected: Any, dtype: str, table: dict[str, float] = RTOL) -> None:
    """Two trees have the same structure and shapes, and each leaf agrees to the table's tolerance for `dtype`."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for (path, got), want in zip(jax.tree.leaves_with_path(actual), jax.tree.leaves(expected), strict=True):
        name = jax.tree_util.keystr(path)
        assert jnp.shape(got) == jnp.shape(want), f"{name}: shape {jnp.shape(got)} against {jnp.shape(want)}"
        wide = np.complex128 if np.iscomplexobj(want) else np.float64
        got, want = np.asarray(got, wide), np.asarray(want, wide)
        scale = np.max(np.abs(want), initial=0.0) or 1.0
        np.testing.assert_allclose(got, want, rtol=0, atol=table[dtype] * scale, err_msg=name)


def assert_same_bits(actual: Any, expected: Any) -> None:
    """Two trees have the same structure and every leaf the same values, bit for bit but for the sign of zero."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for (path, got), want in zip(jax.tree.leaves_with_path(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(np.asarray(got), np.asarray(want), err_msg=jax.tree_util.keystr(path))
