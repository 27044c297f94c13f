"""Refusing forward-mode differentiation with a sentence that says what to do instead."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import jax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from recurrax.typing import Array

_MESSAGE = (
    "an implementation with a backward pass of its own cannot be differentiated in forward mode (jvp, jacfwd, "
    "linearize); use recurrax.scan(..., implementation='reference')"
)
_NO_VMAP = "implementation: 'cudnn' has no vmap; give recurrax.scan the whole batch, with any number of axes"


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
    """Gives JAX's own refusals a sentence: of forward mode, which under `vmap`, as in `jacfwd`, comes first, and of
    `vmap` over a library's function.
    """
    try:
        yield
    except TypeError as error:
        if "forward-mode" in str(error) and "custom_vjp" in str(error):
            raise TypeError(_MESSAGE) from error
        raise
    except NotImplementedError as error:
        if "Batching rule for 'rnn_" in str(error):
            raise ValueError(_NO_VMAP) from error
        raise
