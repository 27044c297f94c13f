"""The frames of cells: fields, initialisation gate by gate, a carry of zeros, h as the output."""

from abc import abstractmethod
from dataclasses import KW_ONLY, dataclass
from typing import Any, Protocol, TypeVar

import jax.numpy as jnp

from recurrax.cells import initializers
from recurrax.cells.initializers import BiasInit, KernelInit, RecurrentInit
from recurrax.typing import Array, CarryT, Cell, DTypeLike, Key, ParamsT, Shape


class HiddenCarry(Protocol):
    """A carry with a field h (*batch, H)."""

    @property
    def h(self) -> Array:
        """What the layer above sees."""
        ...


HiddenCarryT = TypeVar("HiddenCarryT", bound=HiddenCarry)


@dataclass(frozen=True)
class Units(Cell[ParamsT, CarryT]):
    """What cells with a kernel (D, G, H) and a bias (G, H) share.

    Fields: `hidden_size` H; initialisers per `recurrax.cells.initializers`, by keyword.
    """

    hidden_size: int
    _: KW_ONLY
    kernel_init: KernelInit = "lecun"
    bias_init: BiasInit = "zeros"

    def __post_init__(self):
        initializers.check_fields(self.hidden_size, self.kernel_init, bias_init=self.bias_init)

    def draw_input(self, keys: Key, gates: int, input_size: int, dtype: DTypeLike) -> tuple[Array, Array]:
        """Kernel (D, G, H) and bias (G, H) from one of two keys each."""
        initializers.check_input_size(input_size)
        return (
            initializers.kernel(self.kernel_init, keys[0], input_size, gates, self.hidden_size, dtype),
            initializers.bias(self.bias_init, keys[1], (gates, self.hidden_size), dtype),
        )

    def zeros(self, count: int, batch_shape: Shape, dtype: DTypeLike) -> list[Array]:
        """`count` arrays (*batch, H), each a buffer of its own, so that a carry can be donated."""
        return [jnp.zeros((*batch_shape, self.hidden_size), dtype) for _ in range(count)]

    @abstractmethod
    def pointwise(self, params: ParamsT, carry: CarryT, u: Any, v: Any) -> CarryT: ...


@dataclass(frozen=True)
class Gated(Units[ParamsT, HiddenCarryT]):
    """What cells with a recurrent_kernel (H, G, H) beside that share: y_t = h_t.

    A cell adds its parameters, its carry and its equations: `init` and `initial_carry` from `draw` and `zeros`,
    `project`, `recur` and `pointwise`.

    Fields: those of `Units`; `recurrent_init` per `recurrax.cells.initializers`, by keyword, and for "spectral" the
    `spectral_radius`, the largest |λ| of every gate's matrix.
    """

    _: KW_ONLY
    recurrent_init: RecurrentInit = "orthogonal"
    spectral_radius: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        initializers.check_fields(self.hidden_size, self.kernel_init, self.recurrent_init)
        initializers.check_positive("spectral_radius", self.spectral_radius)

    def draw(
        self, keys: Key, gates: int, input_size: int, dtype: DTypeLike, recurrent_size: int | None = None
    ) -> tuple[Array, Array, Array]:
        """Kernel (D, G, H), recurrent_kernel (H, G, H) and bias (G, H) from one of three keys each.

        `recurrent_size` is the first axis of the recurrent kernel where it is not H.
        """
        kernel, bias = self.draw_input(keys[::2], gates, input_size, dtype)
        fan_in = recurrent_size or self.hidden_size
        # Gate by gate: an orthogonal (H, G*H) block would be orthogonal in no gate.
        return kernel, self.draw_recurrent(keys[1], fan_in, gates, self.hidden_size, dtype), bias

    def draw_recurrent(self, key: Key, fan_in: int, gates: int, size: int, dtype: DTypeLike) -> Array:
        """A recurrent kernel (fan_in, G, size)."""
        return initializers.kernel(self.recurrent_init, key, fan_in, gates, size, dtype, self.spectral_radius)

    def output(self, params: ParamsT, carry: HiddenCarryT, u: Any) -> Array:
        return carry.h
