"""Refusing forward-mode differentiation with a sentence that says what to do instead."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import jax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from recurrax.typing import Array

_MESSAGE = (
    "implementation='fused' has a backward pass of its own and cannot be differentiated in forward mode (jvp, jacfwd, "
    "linearize); use recurrax.scan(..., implementation='reference')"
)


def _refuse(*_args: object, **_params: object) -> NoReturn:
    raise TypeError(_MESSAGE)


# The identity on tangents, known to be linear and so transposable, but impossible to evaluate: reverse mode only ever
# transposes it, forward mode has to compute it and is told why it cannot.
_tangent_p = Primitive("recurrax_reverse_mode_only")
_tangent_p.def_impl(_refuse)
_tangent_p.def_abstract_eval(lambda tangent: tangent)
ad.deflinear2(_tangent_p, lambda cotangent, _tangent: [cotangent])
batching.defvectorized(_tangent_p)
mlir.register_lowering(_tangent_p, _refuse)


@jax.custom_jvp
def reverse_mode_only(x: Array) -> Array:
    """x, differentiable in reverse mode only."""
    return x


@reverse_mode_only.defjvp
def _reverse_mode_only_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return primals[0], _tangent_p.bind(tangents[0])


@contextmanager
def explained() -> Iterator[None]:
    """Gives JAX's own refusal the same sentence: under `vmap`, as in `jacfwd`, that one comes first."""
    try:
        yield
    except TypeError as error:
        if "forward-mode" in str(error) and "custom_vjp" in str(error):
            raise TypeError(_MESSAGE) from error
        raise
