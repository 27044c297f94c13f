"""`jax.custom_jvp` whose rule lasts where JAX drops it: for derivatives beyond the first, inside of a loop.

To differentiate a `lax.scan`, JAX parts its body into what is known and what is linear, and evaluates functions with a
`custom_jvp` in it as if they had none. The next derivative then meets the kernel or the `while` loop that the rule
stood for. An operation of one's own is left whole: this one evaluates a trace, and its derivative is that trace's.
"""

from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Primitive, jaxpr_as_fun
from jax.interpreters import ad, batching, mlir


class custom_jvp:  # noqa: N801 (it stands where `jax.custom_jvp` would)
    """f(static, *operands) with the rule given to `defjvp`, as `jax.custom_jvp(f, nondiff_argnums=(0,))` has it.

    The rule takes its results, those that are not tangents, from a call of what is defined here.
    """

    def __init__(self, f: Callable[..., Any]) -> None:
        def plain(static: Any, *operands: Any) -> Any:
            # JAX looks for mapped axes of what the rule gives where f has them. The rule calls this very object, of
            # which all results are mapped where one operand is (`_vmap`), so those of f have to be.
            leaves, structure = jax.tree.flatten(f(static, *operands))
            every = [*leaves, *jax.tree.leaves(operands)]
            traced = jax.make_jaxpr(lambda *every: every[: len(leaves)])(*every)
            return jax.tree.unflatten(structure, _call_p.bind(*every, call=traced))

        self._f = jax.custom_jvp(plain, nondiff_argnums=(0,))
        self.defjvp = self._f.defjvp

    def __call__(self, static: Any, *operands: Any) -> Any:
        traced, shapes = jax.make_jaxpr(lambda *operands: self._f(static, *operands), return_shape=True)(*operands)
        return jax.tree.unflatten(jax.tree.structure(shapes), _call_p.bind(*jax.tree.leaves(operands), call=traced))


def _run(*leaves: Any, call: ClosedJaxpr) -> Any:
    return jaxpr_as_fun(call)(*leaves)


_call_p = Primitive("recurrax_call")
_call_p.multiple_results = True
_call_p.def_impl(_run)
_call_p.def_abstract_eval(lambda *_, call: call.out_avals)
mlir.register_lowering(_call_p, mlir.lower_fun(_run))
# JAX 0.12 asks for it where a trace holds one of its own new operations, as that of a matrix exponential does.
setattr(_call_p, "to_lojax", _run)  # noqa: B010 (older ones do not know the name)


def _jvp(primals: Any, tangents: Any, *, call: ClosedJaxpr) -> Any:
    return jax.jvp(jaxpr_as_fun(call), primals, tuple(map(ad.instantiate_zeros, tangents)))


def _vmap(leaves: Any, axes: Any, *, call: ClosedJaxpr) -> Any:
    traced = jax.make_jaxpr(jax.vmap(jaxpr_as_fun(call), in_axes=axes))(*leaves)
    return _call_p.bind(*leaves, call=traced), [0] * len(traced.out_avals)


ad.primitive_jvps[_call_p] = _jvp
batching.primitive_batchers[_call_p] = _vmap
