"""Long short-term memory with a forget gate, and its variants."""

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp

from recurrax.cells import initializers
from recurrax.cells.activations import FUNCTIONS, Activation
from recurrax.cells.gated import Gated
from recurrax.cells.products import project_gates, recur_gates, scale
from recurrax.typing import Array, DTypeLike, Key, Shape

__all__ = ["LSTM", "LSTMCarry", "LSTMParams"]


class LSTMParams(NamedTuple):
    """kernel W (D, G, H), recurrent_kernel U (P, G, H), bias b (G, H); gates in the order i, f, g, o, those there are.

    peephole p, a row (H,) for each of i, f, o that there is; projection (H, P); None where the cell has none.
    """

    kernel: Array
    recurrent_kernel: Array
    bias: Array
    peephole: Array | None = None
    projection: Array | None = None


class LSTMCarry(NamedTuple):
    """h (*batch, P), what the layer above sees; c (*batch, H), the memory cell."""

    h: Array
    c: Array


class LSTMGates(NamedTuple):
    """Pre-activations i, f, g, o, each (..., H), or None for a gate that the cell lacks."""

    i: Array | None
    f: Array | None
    g: Array
    o: Array | None


@dataclass(frozen=True)
class LSTM(Gated[LSTMParams, LSTMCarry]):
    """The LSTM with a forget gate, or with any of its gates, connections and functions exchanged.

    a_t = x_t W + h_tm1 U + b, cut into gates i, f, g, o
    c_t = σ(f_t) c_tm1 + σ(i_t) tanh(g_t)
    h_t = σ(o_t) tanh(c_t),  y_t = h_t

    Fields: `hidden_size` H; `forget_bias` is added to the drawn bias of f, or is "chrono": T ~ U(1, t_max - 1) per
    unit, b_f = log T and b_i = -b_f, in the one bias there is; `t_max` is the longest lag chrono should span, in steps.
    `input_bias` is added to the drawn bias of i, and to chrono's.
    `input_gate`, `forget_gate`, `output_gate`: where False, that gate is 1 and has no parameters. `coupled`: σ(i_t) is
    1 - σ(f_t). `peepholes`: i and f see p c_tm1, o sees p c_t, unit by unit. `projection_size` P: h_t is multiplied by
    a matrix (H, P) and has size P. `candidate`, `activation` and `gate`: other functions for tanh of g, tanh of c_t and
    σ. Initialisers per `recurrax.cells.initializers`; peepholes are drawn as biases, the projection as the kernel.

    Differs from: PyTorch and cuDNN keep two biases whose sum is b here, Flax and PyTorch start b_f at 0, Keras at 1.
    Flax's `OptimizedLSTMCell` for nnx draws one orthogonal (H, 4H) block, so its gates are not orthogonal; these are.
    ONNX and WebNN order the gates i, o, f, g and may clip them.
    Gradient: along the cell alone ∂c_t/∂c_tm1 = diag(σ(f_t)), so a forget bias b holds exp(k log σ(b)) after k steps;
    the paths through h add to it. At b_f = 0 that is 2^-k, faster decay than an orthogonal Elman network. Without a
    forget gate it is 1: the constant error carousel of 1997.

    References: Hochreiter & Schmidhuber (1997); Gers, Schmidhuber & Cummins (2000) for the forget gate; Jozefowicz,
    Zaremba & Sutskever (2015) for b_f = 1; Tallec & Ollivier (2018), eq. 16, for chrono; Gers & Schmidhuber (2000) for
    peepholes; Sak, Senior & Beaufays (2014) for the projection; Greff et al. (2017) for all that is left out.

    >>> cell = LSTM(3, forget_bias=1.0)
    >>> params = cell.init(jax.random.key(0), input_size=2)
    >>> params.bias.tolist()[1]
    [1.0, 1.0, 1.0]
    """

    forget_bias: float | Literal["chrono"] = 1.0
    t_max: int = 200
    input_gate: bool = True
    forget_gate: bool = True
    output_gate: bool = True
    coupled: bool = False
    peepholes: bool = False
    projection_size: int | None = None
    candidate: Activation = "tanh"
    activation: Activation = "tanh"
    gate: Activation = "sigmoid"
    input_bias: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        initializers.check_forget_bias(self.forget_bias, self.t_max)
        initializers.check_finite("input_bias", self.input_bias)
        for field in ("input_gate", "forget_gate", "output_gate", "coupled", "peepholes"):
            initializers.check_bool(field, getattr(self, field))
        if self.coupled and not (self.input_gate and self.forget_gate):
            raise ValueError("coupled: expected False where input_gate or forget_gate is False, got True")
        if self.input_bias and "i" not in self.gates:
            raise ValueError(f"input_bias: expected 0 where gate i has no parameters, got {self.input_bias!r}")
        if self.projection_size is not None:
            initializers.check_size("projection_size", self.projection_size)
        for field in ("candidate", "activation", "gate"):
            initializers.check_choice(field, getattr(self, field), get_args(Activation))

    @property
    def gates(self) -> str:
        """The letters of the gates that have parameters, in the order of the kernels."""
        there = {"i": self.input_gate and not self.coupled, "f": self.forget_gate, "g": True, "o": self.output_gate}
        return "".join(letter for letter, is_there in there.items() if is_there)

    def init(self, key: Key, input_size: int, dtype: DTypeLike = jnp.float32) -> LSTMParams:
        keys = jax.random.split(key, 4)
        size, outputs, gates = self.hidden_size, self.projection_size, self.gates
        kernel, recurrent_kernel, bias = self.draw(keys[:3], len(gates), input_size, dtype, recurrent_size=outputs)
        params = LSTMParams(kernel, recurrent_kernel, bias + self._gate_bias(keys[3]).astype(dtype))
        if self.peepholes:
            shape = len(gates.replace("g", "")), size
            params = params._replace(
                peephole=initializers.bias(self.bias_init, jax.random.fold_in(key, 4), shape, dtype)
            )
        if outputs is not None:
            drawn = initializers.kernel(self.kernel_init, jax.random.fold_in(key, 5), size, 1, outputs, dtype)
            params = params._replace(projection=drawn[:, 0])
        return params

    def _gate_bias(self, key: Key) -> Array:
        """What initialisation adds to the bias (G, H): that of f and that of i, chrono's pair among them."""
        b_f = initializers.forget_bias(self.forget_bias, key, self.hidden_size, self.t_max)
        b_i = jnp.full_like(b_f, self.input_bias) - (b_f if self.forget_bias == "chrono" else 0)
        added = {"i": b_i, "f": b_f}
        return jnp.stack([added.get(letter, jnp.zeros_like(b_f)) for letter in self.gates])

    def initial_carry(self, params: LSTMParams, batch_shape: Shape, dtype: DTypeLike) -> LSTMCarry:
        h, c = self.zeros(2, batch_shape, dtype)
        if self.projection_size is not None:
            h = jnp.zeros((*batch_shape, self.projection_size), dtype)
        return LSTMCarry(h=h, c=c)

    def project(self, params: LSTMParams, x: Array) -> LSTMGates:
        return self._named(project_gates(x, params.kernel, params.bias))

    def recur(self, params: LSTMParams, carry: LSTMCarry, u: LSTMGates) -> LSTMGates:
        return jax.tree.map(operator.add, u, self._named(recur_gates(carry.h, params.recurrent_kernel)))

    def pointwise(self, params: LSTMParams, carry: LSTMCarry, u: LSTMGates, v: LSTMGates) -> LSTMCarry:
        f = self._opening(params, "f", carry.c, v.f)
        kept = _times(f, carry.c)
        i = 1 - f if self.coupled and f is not None else self._opening(params, "i", carry.c, v.i)
        c = kept + _times(i, FUNCTIONS[self.candidate](v.g))
        return self.expose(params, LSTMCarry(h=carry.h, c=c), v)

    def expose(self, params: LSTMParams, carry: LSTMCarry, v: LSTMGates) -> LSTMCarry:
        """The carry formed from its memory alone: c and h = σ(o) tanh(c).

        `recurrax.lag` differentiates it for the classic dL/dc, in which h follows a change of c.
        """
        h = _times(self._opening(params, "o", carry.c, v.o), FUNCTIONS[self.activation](carry.c))
        if params.projection is not None:
            (h,) = recur_gates(h, params.projection[:, None])
        return LSTMCarry(h=h, c=carry.c)

    def cudnn(self, params: LSTMParams) -> tuple[Array, Array, Array] | None:
        """The matrices (kernel, recurrent_kernel, bias) of cuDNN's LSTM if this is one, None for any variant of it."""
        plain = all(getattr(self, field) == getattr(LSTM, field) for field in _STEP)
        return (params.kernel, params.recurrent_kernel, params.bias) if plain else None

    def _named(self, arrays: Iterable[Array]) -> LSTMGates:
        there = dict(zip(self.gates, arrays, strict=True))
        return LSTMGates(i=there.get("i"), f=there.get("f"), g=there["g"], o=there.get("o"))

    def _opening(self, params: LSTMParams, letter: str, c: Array, a: Array | None) -> Array | None:
        """σ(a), or σ(a + p c) with a peephole; None for a gate that is 1."""
        if a is None:
            return None
        if params.peephole is not None:
            a = a + scale(c, params.peephole[self.gates.replace("g", "").index(letter)])
        return FUNCTIONS[self.gate](a)


_STEP = ("input_gate", "forget_gate", "output_gate", "coupled", "peepholes", "projection_size")
_STEP = (*_STEP, "candidate", "activation", "gate")
"""Fields that change a step; the others change what is drawn."""


def _times(gate: Array | None, x: Array) -> Array:
    return x if gate is None else gate * x
