"""Initialisers, applied gate by gate.

An orthogonal (H, G*H) block is not orthogonal per gate, and a Glorot fan over all gates is not that of one gate; either
changes the gradient decay this library measures. Here every gate's (fan_in, H) matrix is drawn by itself.
"""

import math
from typing import Literal, TypeAlias, get_args

import jax
import jax.numpy as jnp

from recurrax.typing import Array, DTypeLike, Key

KernelInit: TypeAlias = Literal["orthogonal", "glorot", "lecun", "uniform", "identity"]
BiasInit: TypeAlias = Literal["zeros", "uniform"]


def kernel(name: KernelInit, key: Key, fan_in: int, gates: int, hidden_size: int, dtype: DTypeLike) -> Array:
    """A kernel (fan_in, G, H), each gate's matrix drawn with its own key.

    orthogonal: rows or columns orthonormal (Saxe et al. 2014); glorot: U(±√(6/(fan_in+H))) (Glorot & Bengio 2010);
    lecun: truncated N(0, 1/fan_in), Flax's default for input kernels; uniform: U(±1/√H), PyTorch's default for every
    recurrent parameter; identity: the leading fan_in by H block of the identity (Le, Jaitly & Hinton 2015).
    """
    # QR has no half-precision form, so low precisions are drawn in float32 and rounded.
    wide = jnp.promote_types(dtype, jnp.float32)
    bound = hidden_size**-0.5
    draw = {
        "orthogonal": jax.nn.initializers.orthogonal(),
        "glorot": jax.nn.initializers.glorot_uniform(),
        "lecun": jax.nn.initializers.lecun_normal(),
        "uniform": lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -bound, bound),
        "identity": lambda key, shape, dtype: jnp.eye(*shape, dtype=dtype),
    }[name]
    per_gate = [draw(gate_key, (fan_in, hidden_size), wide) for gate_key in jax.random.split(key, gates)]
    return jnp.stack(per_gate, axis=1).astype(dtype)


def bias(name: BiasInit, key: Key, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """A bias (..., H): zeros, or U(±1/√H) as PyTorch draws it."""
    if name == "zeros":
        return jnp.zeros(shape, dtype)
    bound = shape[-1] ** -0.5
    return jax.random.uniform(key, shape, jnp.promote_types(dtype, jnp.float32), -bound, bound).astype(dtype)


def check_fields(
    hidden_size: int, kernel_init: str, recurrent_init: str = "orthogonal", bias_init: str = "zeros"
) -> None:
    """Raises a ValueError naming the first field that is not a legal value."""
    if not isinstance(hidden_size, int) or isinstance(hidden_size, bool) or hidden_size < 1:
        raise ValueError(f"hidden_size: expected a positive int, got {hidden_size!r}")
    check_choice("kernel_init", kernel_init, get_args(KernelInit))
    check_choice("recurrent_init", recurrent_init, get_args(KernelInit))
    check_choice("bias_init", bias_init, get_args(BiasInit))


def check_choice(field: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises a ValueError unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{field}: unknown value {value!r}; expected one of {', '.join(choices)}")


def check_input_size(input_size: int) -> None:
    """Raises a ValueError unless `input_size` is a positive int."""
    if not isinstance(input_size, int) or isinstance(input_size, bool) or input_size < 1:
        raise ValueError(f"input_size: expected a positive int, got {input_size!r}")


def check_finite(field: str, value: float) -> None:
    """Raises a ValueError unless `value` is a finite number."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{field}: expected a finite float, got {value!r}")


def check_interval(lower: str, least: float, upper: str, most: float) -> None:
    """Raises a ValueError unless 0 <= least < most <= 1."""
    check_finite(lower, least)
    check_finite(upper, most)
    if not 0 <= least < most <= 1:
        raise ValueError(f"{lower}, {upper}: expected 0 <= {lower} < {upper} <= 1, got {least!r} and {most!r}")
