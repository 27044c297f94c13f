"""The frame of a gated cell: fields, initialisation gate by gate, a carry of zeros, h as the output."""

from abc import abstractmethod
from dataclasses import KW_ONLY, dataclass
from typing import Any, Protocol, TypeVar

import jax.numpy as jnp

from recurrax.cells import initializers
from recurrax.cells.initializers import BiasInit, KernelInit
from recurrax.typing import Array, Cell, DTypeLike, Key, ParamsT, Shape


class HiddenCarry(Protocol):
    """A carry with a field h (*batch, H)."""

    @property
    def h(self) -> Array:
        """What the layer above sees."""
        ...


HiddenCarryT = TypeVar("HiddenCarryT", bound=HiddenCarry)


@dataclass(frozen=True)
class Gated(Cell[ParamsT, HiddenCarryT]):
    """What cells with a kernel (D, G, H), a recurrent_kernel (H, G, H) and a bias (G, H) share: y_t = h_t.

    A cell adds its parameters, its carry and its equations: `init` and `initial_carry` from the two methods below,
    `project`, `recur` and `pointwise`.

    Fields: `hidden_size` H; initialisers per `recurrax.cells.initializers`, by keyword.
    """

    hidden_size: int
    _: KW_ONLY
    kernel_init: KernelInit = "lecun"
    recurrent_init: KernelInit = "orthogonal"
    bias_init: BiasInit = "zeros"

    def __post_init__(self):
        initializers.check_fields(self.hidden_size, self.kernel_init, self.recurrent_init, self.bias_init)

    def draw(
        self, keys: Key, gates: int, input_size: int, dtype: DTypeLike, recurrent_size: int | None = None
    ) -> tuple[Array, Array, Array]:
        """Kernel (D, G, H), recurrent_kernel (H, G, H) and bias (G, H) from one of three keys each.

        `recurrent_size` is the first axis of the recurrent kernel where h has another size than H.
        """
        initializers.check_size("input_size", input_size)
        size = self.hidden_size
        # Gate by gate: an orthogonal (H, G*H) block would be orthogonal in no gate.
        return (
            initializers.kernel(self.kernel_init, keys[0], input_size, gates, size, dtype),
            initializers.kernel(self.recurrent_init, keys[1], recurrent_size or size, gates, size, dtype),
            initializers.bias(self.bias_init, keys[2], (gates, size), dtype),
        )

    def zeros(self, count: int, batch_shape: Shape, dtype: DTypeLike) -> list[Array]:
        """`count` arrays (*batch, H), each a buffer of its own, so that a carry can be donated."""
        return [jnp.zeros((*batch_shape, self.hidden_size), dtype) for _ in range(count)]

    @abstractmethod
    def pointwise(self, params: ParamsT, carry: HiddenCarryT, u: Any, v: Any) -> HiddenCarryT: ...

    def output(self, params: ParamsT, carry: HiddenCarryT, u: Any) -> Array:
        return carry.h
