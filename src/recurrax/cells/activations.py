"""The functions that gates and candidates are put through, by the names that cells' fields take."""

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp

from recurrax.typing import Array

Activation: TypeAlias = Literal["tanh", "relu", "identity", "sigmoid"]
FUNCTIONS: Mapping[Activation, Callable[[Array], Array]] = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "identity": lambda a: a,
    "sigmoid": jax.nn.sigmoid,
}
