"""The recorded numbers beside this file, as arrays."""

import json
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(__file__).parent / "data"


def load(name: str) -> dict[str, Any]:
    """A JSON file of `DATA`."""
    return json.loads((DATA / name).read_text())


def array(entry: dict[str, Any], dtype: str = "float64") -> np.ndarray:
    """An array recorded as its shape and its values in row-major order."""
    return np.asarray(entry["data"], dtype).reshape(entry["shape"])


def kernel(weights: np.ndarray, order: str, target: str) -> np.ndarray:
    """(G*H, D) with gates in `order` to (D, G, H) with gates in `target`, such as "iofg" to "ifgo"."""
    size = weights.shape[0] // len(order)
    gates = weights.reshape(len(order), size, -1)[[order.index(gate) for gate in target]]
    return gates.transpose(2, 0, 1)


def bias(values: np.ndarray, order: str, target: str) -> np.ndarray:
    """(G*H,) with gates in `order` to (G, H) with gates in `target`."""
    return values.reshape(len(order), -1)[[order.index(gate) for gate in target]]
