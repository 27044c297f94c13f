"""The frame of a cell that is linear in its carry: nothing waits for the step before but a multiplication."""

from abc import abstractmethod
from dataclasses import KW_ONLY, dataclass
from typing import Any

import jax

from recurrax.cells import initializers
from recurrax.cells.initializers import KernelInit
from recurrax.typing import Array, CarryT, Cell, DTypeLike, Key, ParamsT


@dataclass(frozen=True)
class Linear(Cell[ParamsT, CarryT]):
    """s_t = a_t * s_tm1 + b_t leaf by leaf, where a_t and b_t depend on x_t alone.

    A cell adds its parameters, its carry, `project`, `output`, and `coefficients`, its one definition: a step is made
    of them, and so is `recurrax.scan(..., implementation="associative")`, which walks all steps in parallel.

    Fields: `hidden_size` H; `kernel_init` per `recurrax.cells.initializers`, by keyword.
    """

    hidden_size: int
    _: KW_ONLY
    kernel_init: KernelInit = "lecun"

    def __post_init__(self):
        initializers.check_fields(self.hidden_size, self.kernel_init)

    def draw(self, key: Key, input_size: int, gates: int, dtype: DTypeLike) -> Array:
        """A kernel (D, G, H)."""
        initializers.check_input_size(input_size)
        return initializers.kernel(self.kernel_init, key, input_size, gates, self.hidden_size, dtype)

    @abstractmethod
    def coefficients(self, params: ParamsT, u: Any) -> tuple[CarryT, CarryT]:
        """(a, b) from the projection of a step or of a sequence; leaves broadcast against those of the carry."""

    def recur(self, params: ParamsT, carry: CarryT, u: Any) -> None:
        return None

    def pointwise(self, params: ParamsT, carry: CarryT, u: Any, v: None) -> CarryT:
        def mixed(a: Array, b: Array, s: Array) -> Array:
            a = a.reshape((1,) * (s.ndim - a.ndim) + a.shape)
            return (a * s + b).astype(s.dtype)

        return jax.tree.map(mixed, *self.coefficients(params, u), carry)
