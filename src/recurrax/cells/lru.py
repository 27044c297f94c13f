"""The linear recurrent unit: a complex diagonal recurrence."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from recurrax.cells import initializers
from recurrax.cells.linear import Linear
from recurrax.cells.products import project_gates, recur_gates
from recurrax.typing import Array, DTypeLike, Key, Shape

__all__ = ["LRU", "LRUCarry", "LRUParams"]


class LRUParams(NamedTuple):
    """log_rate ν, log_phase θ, log_gain (H,); kernel B (D, 2, H), output_kernel C (H, 2, H), skip_kernel D (D, 1, H).

    B and C are complex, as real and imaginary parts, so that optimisers see real numbers.
    """

    log_rate: Array
    log_phase: Array
    log_gain: Array
    kernel: Array
    output_kernel: Array
    skip_kernel: Array


class LRUCarry(NamedTuple):
    """s, complex (*batch, H)."""

    s: Array


class LRUInput(NamedTuple):
    """What x_t adds to the state, complex (..., H), and to the output, (..., H)."""

    state: Array
    output: Array


@dataclass(frozen=True)
class LRU(Linear[LRUParams, LRUCarry]):
    """s_t = λ s_tm1 + γ x_t B, y_t = Re(s_t C) + x_t D, with λ = exp(-exp(ν) + i exp(θ)), so that |λ| < 1.

    Fields: `hidden_size` H, of the complex state and of the output; at the start λ is uniform on the ring
    `r_min` <= |λ| <= `r_max` with phases in [0, `max_phase`], and γ = √(1 - |λ|²); `kernel_init` per
    `recurrax.cells.initializers`, for B over √2, C and D.

    Differs from: in Orvieto et al. inputs are as wide as outputs and D is a vector. S5 and S4D discretise a continuous
    system with a learned step instead of choosing λ.
    Gradient: ∂s_t/∂s_tm1 = diag(λ), exactly: |λ_j|^k after k steps for unit j, whatever the inputs. At the start
    every unit forgets by a factor e within about 1/(1 - r_max) steps.

    References: Orvieto et al. (2023), Resurrecting Recurrent Neural Networks for Long Sequences, section 3 and
    appendix A.

    >>> params = LRU(3, r_min=0.9, r_max=0.99).init(jax.random.key(0), input_size=2)
    >>> decay = jnp.exp(-jnp.exp(params.log_rate))
    >>> bool((decay >= 0.9).all() and (decay <= 0.99).all())
    True
    """

    r_min: float = 0.0
    r_max: float = 1.0
    max_phase: float = 2 * math.pi

    def __post_init__(self):
        super().__post_init__()
        initializers.check_interval("r_min", self.r_min, "r_max", self.r_max)
        if not 0 < self.max_phase <= 2 * math.pi:
            raise ValueError(f"max_phase: expected an angle in (0, 2π], got {self.max_phase!r}")

    def init(self, key: Key, input_size: int, dtype: DTypeLike = jnp.float32) -> LRUParams:
        keys = jax.random.split(key, 5)
        # Neither 0, whose logarithm the parameters are, nor 1, where nothing decays.
        shape, least = (self.hidden_size,), jnp.finfo(jnp.float32).eps
        area = jax.random.uniform(keys[0], shape, minval=least, maxval=1 - least)
        phase = jax.random.uniform(keys[1], shape, minval=least, maxval=1.0) * self.max_phase
        log_rate = jnp.log(-0.5 * jnp.log(self.r_min**2 + area * (self.r_max**2 - self.r_min**2)))
        log_gain = 0.5 * jnp.log(-jnp.expm1(-2 * jnp.exp(log_rate)))
        return LRUParams(
            log_rate=log_rate.astype(dtype),
            log_phase=jnp.log(phase).astype(dtype),
            log_gain=log_gain.astype(dtype),
            kernel=self.draw(keys[2], input_size, 2, dtype) * 0.5**0.5,
            output_kernel=self.draw(keys[3], self.hidden_size, 2, dtype),
            skip_kernel=self.draw(keys[4], input_size, 1, dtype),
        )

    def initial_carry(self, params: LRUParams, batch_shape: Shape, dtype: DTypeLike) -> LRUCarry:
        return LRUCarry(s=jnp.zeros((*batch_shape, self.hidden_size), jnp.result_type(dtype, jnp.complex64)))

    def project(self, params: LRUParams, x: Array) -> LRUInput:
        # γ scales the columns of B once, rather than every step.
        gain = jnp.exp(params.log_gain.astype(jnp.promote_types(params.log_gain.dtype, jnp.float32)))
        kernel = params.kernel * gain.reshape(1, 1, -1)
        real, imaginary, skip = project_gates(x, jnp.concatenate([kernel, params.skip_kernel], axis=1))
        return LRUInput(jax.lax.complex(real, imaginary), skip)

    def coefficients(self, params: LRUParams, u: LRUInput) -> tuple[LRUCarry, LRUCarry]:
        nu, theta = (leaf.astype(u.output.dtype) for leaf in (params.log_rate, params.log_phase))
        return LRUCarry(s=jnp.exp(jax.lax.complex(-jnp.exp(nu), jnp.exp(theta)))), LRUCarry(s=u.state)

    def output(self, params: LRUParams, carry: LRUCarry, u: LRUInput) -> Array:
        C = params.output_kernel
        (real,) = recur_gates(carry.s.real, C[:, :1])
        (imaginary,) = recur_gates(carry.s.imag, -C[:, 1:])
        return real + imaginary + u.output
