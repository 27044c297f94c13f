"""What cells with a matrix as their memory share: heads, projections of the input, gates that are one number a head."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from recurrax.cells import initializers
from recurrax.cells.gated import Units
from recurrax.cells.products import project_gates
from recurrax.typing import Array, CarryT, DTypeLike, Key


class HeadParams(NamedTuple):
    """kernel W (D, 4, H), bias b (4, H), of the vectors; gate_kernel (D, 2, N), gate_bias (2, N), of the gates."""

    kernel: Array
    bias: Array
    gate_kernel: Array
    gate_bias: Array


class HeadInputs(NamedTuple):
    """query, key and value (..., N, H/N); output gate (..., H) before σ; write and forget gate (..., N) before σ."""

    query: Array
    key: Array
    value: Array
    output: Array
    write: Array
    forget: Array


@dataclass(frozen=True)
class Heads(Units[HeadParams, CarryT]):
    """The frame of a cell whose carry holds an (H/N, H/N) matrix for each of N heads and is read by a query.

    A cell adds its carry, `recur` and `pointwise`, and `output` by way of `joined`.

    Fields: those of `Units`; `heads` N, a divisor of H; `forget_bias` is added to the drawn bias of the forget gate.
    """

    heads: int = 1
    forget_bias: float = 3.0

    def __post_init__(self):
        super().__post_init__()
        initializers.check_heads(self.heads, self.hidden_size)
        initializers.check_finite("forget_bias", self.forget_bias)

    def init(self, key: Key, input_size: int, dtype: DTypeLike = jnp.float32) -> HeadParams:
        keys = jax.random.split(key, 4)
        kernel, bias = self.draw_input(keys[:2], 4, input_size, dtype)
        gate_kernel = initializers.kernel(self.kernel_init, keys[2], input_size, 2, self.heads, dtype)
        gate_bias = initializers.bias(self.bias_init, keys[3], (2, self.heads), dtype).at[1].add(self.forget_bias)
        return HeadParams(kernel, bias, gate_kernel, gate_bias)

    def project(self, params: HeadParams, x: Array) -> HeadInputs:
        *vectors, output = project_gates(x, params.kernel, params.bias)
        write, forget = project_gates(x, params.gate_kernel, params.gate_bias)
        query, key, value = (vector.reshape(*vector.shape[:-1], self.heads, self.head_size) for vector in vectors)
        return HeadInputs(query, key, value, output, write, forget)

    @property
    def head_size(self) -> int:
        """H/N."""
        return self.hidden_size // self.heads

    def joined(self, u: HeadInputs, read: Array) -> Array:
        """σ(output gate) times what the heads read (..., N, H/N), side by side: (..., H)."""
        return jax.nn.sigmoid(u.output) * read.reshape(u.output.shape)


def read(memory: Array, query: Array) -> Array:
    """Memory (..., N, d, d) times query (..., N, d): (..., N, d).

    Trick: summed, which a scan does while it walks. A matrix product would wait until the loop has ended, from the
    memories of all steps: a training step then held 1.25 to 1.4 times as much (4 and 16 units, 64 steps).
    """
    return jnp.sum(memory * query[..., None, :], axis=-1)
