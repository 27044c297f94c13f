"""Initialisers, applied gate by gate.

An orthogonal (H, G*H) block is not orthogonal per gate, and a Glorot fan over all gates is not that of one gate; either
changes the gradient decay this library measures. Here every gate's (fan_in, H) matrix is drawn by itself.
"""

import math
from typing import Literal, TypeAlias, get_args

import jax
import jax.numpy as jnp
import numpy as np

from recurrax.typing import Array, DTypeLike, Key

KernelInit: TypeAlias = Literal["orthogonal", "glorot", "lecun", "uniform", "torch", "identity"]
RecurrentInit: TypeAlias = Literal["orthogonal", "glorot", "lecun", "uniform", "torch", "identity", "spectral"]
BiasInit: TypeAlias = Literal["zeros", "uniform", "torch"]
_SQUARINGS = 60
"""Of ρ by powers of 2^m a relative ln(condition) / 2^m is missing: below rounding in float64."""


def kernel(
    name: RecurrentInit, key: Key, fan_in: int, gates: int, hidden_size: int, dtype: DTypeLike, radius: float = 1.0
) -> Array:
    """A kernel (fan_in, G, H), each gate's matrix drawn with its own key.

    orthogonal: rows or columns orthonormal (Saxe et al. 2014); glorot: U(±√(6/(fan_in+H))) (Glorot & Bengio 2010);
    lecun: truncated N(0, 1/fan_in), Flax's default for input kernels; uniform: U(±1/√H); torch: the same, PyTorch's
    default for every parameter; identity: the leading fan_in by H block of the identity (Le, Jaitly & Hinton 2015);
    spectral: N(0, 1) scaled to the largest |λ| that `spectral_radius` says, of square recurrent kernels (Jaeger 2001).
    """
    if name == "spectral" and fan_in != hidden_size:
        raise ValueError(f"recurrent_init: 'spectral' expects a square kernel, got {fan_in} by {hidden_size}")
    # QR has no half-precision form, so low precisions are drawn in float32 and rounded.
    wide = jnp.promote_types(dtype, jnp.float32)
    bound = hidden_size**-0.5

    def uniform(key: Key, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    draw = {
        "orthogonal": jax.nn.initializers.orthogonal(),
        "glorot": jax.nn.initializers.glorot_uniform(),
        "lecun": jax.nn.initializers.lecun_normal(),
        "uniform": uniform,
        "torch": uniform,
        "identity": lambda key, shape, dtype: jnp.eye(*shape, dtype=dtype),
        "spectral": lambda key, shape, dtype: with_radius(jax.random.normal(key, shape, dtype), radius),
    }[name]
    # Under vmap for the compiler's sake, to which as many drawings and QRs as gates are seconds of work.
    keys = jax.random.split(key, gates)
    return jax.vmap(lambda key: draw(key, (fan_in, hidden_size), wide), out_axes=1)(keys).astype(dtype)


def with_radius(matrix: Array, radius: float) -> Array:
    """A matrix (H, H) scaled so that its largest |λ| is `radius`, by Gelfand's formula ρ(A) = lim ‖A^k‖^(1/k).

    With k = 2^m by repeated squaring, which runs on every device and under `vmap`, as eigenvalues of matrices that are
    not symmetric do not. What k leaves out is below rounding; that of a squaring counts 2^-m.
    """

    def square(carried: tuple[Array, Array], weight: Array) -> tuple[tuple[Array, Array], None]:
        power, log_radius = carried
        norm = jnp.linalg.norm(power)
        power = power / norm
        return (power @ power, log_radius + weight * jnp.log(norm)), None

    weights = jnp.asarray(0.5 ** np.arange(_SQUARINGS), matrix.dtype)
    with jax.default_matmul_precision("highest"):
        (_, log_radius), _ = jax.lax.scan(square, (matrix, jnp.zeros((), matrix.dtype)), weights)
    return matrix * (radius * jnp.exp(-log_radius))


def bias(name: BiasInit, key: Key, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """A bias (..., H): zeros; uniform: U(±1/√H); torch: the sum of two such, as PyTorch keeps two biases."""
    if name == "zeros":
        return jnp.zeros(shape, dtype)
    if name == "torch":
        one, other = (bias("uniform", one, shape, dtype) for one in jax.random.split(key))
        return one + other
    bound = shape[-1] ** -0.5
    return jax.random.uniform(key, shape, jnp.promote_types(dtype, jnp.float32), -bound, bound).astype(dtype)


def forget_bias(value: float | Literal["chrono"], key: Key, size: int, t_max: int) -> Array:
    """What is added to the bias (H,) of a forget gate: a number, or log T with T ~ U(1, t_max - 1) for "chrono"."""
    if value != "chrono":
        return jnp.full(size, value, jnp.float32)
    # T steps are remembered where σ(b_f) = T/(1 + T), so b_f = log T.
    return jnp.log(jax.random.uniform(key, (size,), minval=1.0, maxval=t_max - 1.0))


def check_fields(
    hidden_size: int, kernel_init: str, recurrent_init: str = "orthogonal", bias_init: str = "zeros"
) -> None:
    """Raises a ValueError naming the first field that is not a legal value."""
    check_size("hidden_size", hidden_size)
    check_choice("kernel_init", kernel_init, get_args(KernelInit))
    check_choice("recurrent_init", recurrent_init, get_args(RecurrentInit))
    check_choice("bias_init", bias_init, get_args(BiasInit))


def check_choice(field: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises a ValueError unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{field}: unknown value {value!r}; expected one of {', '.join(choices)}")


def check_size(field: str, value: int) -> None:
    """Raises a ValueError unless `value` is a positive int."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{field}: expected a positive int, got {value!r}")


def check_input_size(input_size: int) -> None:
    """Raises a ValueError unless `input_size` is a positive int."""
    check_size("input_size", input_size)


def check_heads(heads: int, hidden_size: int) -> None:
    """Raises a ValueError unless `heads` divides `hidden_size`."""
    check_size("heads", heads)
    if hidden_size % heads:
        raise ValueError(f"heads: expected a divisor of hidden_size {hidden_size}, got {heads}")


def check_forget_bias(forget_bias: float | str, t_max: int) -> None:
    """Raises a ValueError unless `forget_bias` is a number or "chrono", and `t_max` a number of steps."""
    if isinstance(forget_bias, str):
        check_choice("forget_bias", forget_bias, ("chrono",))
    else:
        check_finite("forget_bias", forget_bias, or_else=" or 'chrono'")
    if not isinstance(t_max, int) or t_max < 3:
        raise ValueError(f"t_max: expected an int of at least 3 steps, got {t_max!r}")


def check_bool(field: str, value: bool) -> None:
    """Raises a ValueError unless `value` is True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"{field}: expected True or False, got {value!r}")


def check_finite(field: str, value: float, or_else: str = "") -> None:
    """Raises a ValueError unless `value` is a finite number; `or_else` names what else the field may be."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{field}: expected a finite float{or_else}, got {value!r}")


def check_positive(field: str, value: float) -> None:
    """Raises a ValueError unless `value` is a finite number above 0."""
    check_finite(field, value)
    if not value > 0:
        raise ValueError(f"{field}: expected a float above 0, got {value!r}")


def check_interval(lower: str, least: float, upper: str, most: float) -> None:
    """Raises a ValueError unless 0 <= least < most <= 1."""
    check_finite(lower, least)
    check_finite(upper, most)
    if not 0 <= least < most <= 1:
        raise ValueError(f"{lower}, {upper}: expected 0 <= {lower} < {upper} <= 1, got {least!r} and {most!r}")
