"""Instruments bundled for a training loop: one pure function of parameters and a key."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from recurrax import code, norms
from recurrax.lag import arguments
from recurrax.lag.adjoint import LagProfile, adjoint_profile
from recurrax.lag.carousel import CarouselShare, carousel_share
from recurrax.lag.jacobian import JacobianProfile, jacobian_profile
from recurrax.lag.layers import Order, is_layer, order_of, params_of
from recurrax.lag.notebook import html
from recurrax.lag.parameter import ParameterProfile, parameter_profile
from recurrax.lag.quantiles import check_levels, quantiles_over_rows
from recurrax.lag.walk import Loss
from recurrax.typing import Array, Carry, Cell, Key, Params


class On(NamedTuple):
    """What instruments are pointed at: their arguments after the cell, see `adjoint_profile`."""

    params: Params
    xs: Any
    cotangent: Array | None = None
    carry: Carry | None = None
    lengths: Array | None = None
    loss: Loss | None = None


class GradientNorm(NamedTuple):
    """Ln ‖∂L/∂θ‖ summed over the batch: log_norm, params with () for each leaf; log_norm_joint (), all together."""

    log_norm: Params
    log_norm_joint: Array

    def at(self, step: int = -1, seed: int | None = None) -> "GradientNorm":
        """As `LagProfile.at`; all seeds are an axis (S,)."""
        return jax.tree.map(lambda leaf: leaf[step] if seed is None else leaf[step, seed], self)


class Readings(NamedTuple):
    """One result per instrument, None where it was not asked for.

    With quantiles, Q of them on the last axis stand in place of the batch axes of every field, and the gradient of a
    `ParameterProfile` is left out. levels: (Q,), which they are; None where every row is kept.
    """

    adjoint: LagProfile | None = None
    parameter: ParameterProfile | None = None
    carousel: CarouselShare | None = None
    jacobian: JacobianProfile | None = None
    gradient: GradientNorm | None = None
    levels: Array | None = None
    _repr_html_ = html

    def at(self, step: int = -1, seed: int | None = None) -> "Readings":
        """Of readings that a training has stacked, (P, S, ...), those of one probe step; see `LagProfile.at`."""
        results = {name: result for name, result in self._asdict().items() if name != "levels" and result is not None}
        levels = None if self.levels is None else self.levels[step, 0]  # the same at every step and for every seed
        return self._replace(**{name: result.at(step, seed) for name, result in results.items()}, levels=levels)


def probe(
    cell: Cell,
    on: Callable[[Any, Key], On],
    *,
    instruments: Sequence[str] = ("adjoint",),
    lags: Sequence[int] | None = None,
    levels: Sequence[float] | None = (0.1, 0.5, 0.9),
) -> Callable[[Any, Key], Readings]:
    """Makes an entry for `Training.probes`: the instruments, at whatever steps the loop evaluates its probes.

    The result is pure and compiled, so looking changes no number of the training, and no step compiles again. Under
    tracing nobody can see that a parameter is NaN: what comes out is then NaN too.

    Args:
        cell: any cell of the contract, or a layer of Flax, see `recurrax.lag`.
        on: (params of the training, key) to what is measured: which of the params are the cell's, and on what inputs.
            For a layer, its variables or, of nnx, a layer that holds them; and inputs in the order of the layer.
        instruments: names of fields of `Readings`.
        lags: K different ints, those of "jacobian".
        levels: Q numbers in [0, 1], quantiles over the rows of the batch as `quantiles` takes them; None keeps every
            row.

    Returns:
        (params, key) to a `Readings`.

    Raises:
        ValueError: an unknown instrument, "jacobian" without lags, or a level out of range; when called, what the
            instruments refuse.

    >>> import recurrax
    >>> cell, xs = recurrax.LSTM(4), jax.random.normal(jax.random.key(1), (30, 8, 2))
    >>> look = probe(cell, lambda params, key: On(params, xs), instruments=("adjoint", "jacobian"), lags=(0, 10))
    >>> readings = look(cell.init(jax.random.key(0), input_size=2), jax.random.key(2))
    >>> readings.adjoint.log_norm.c.shape, readings.jacobian.stable_rank.shape, readings.carousel
    ((30, 3), (2, 3), None)
    """
    unknown = [name for name in instruments if name not in INSTRUMENTS]
    if unknown or isinstance(instruments, str) or not instruments:
        raise ValueError(f"instruments: expected names of {', '.join(INSTRUMENTS)}, got {instruments!r}")
    if "jacobian" in instruments and lags is None:
        raise ValueError("lags: expected those of the Jacobian profile, got None")
    if levels is not None:
        check_levels(levels)

    if is_layer(cell):
        on, cell = partial(_on_of_layer, cell, order_of(cell), on), cell.wrapped_cell  # pyright: ignore[reportAttributeAccessIssue]
    what = tuple(instruments), lags and tuple(lags), levels and tuple(levels)
    return partial(_look, cell, on, *what)


# Compiled, so that a training loop that looks at many steps traces the instruments once.
@partial(code.jit, static_argnums=(0, 1, 2, 3, 4))
def _look(
    cell: Cell,
    on: Callable[[Any, Key], On],
    instruments: tuple[str, ...],
    lags: tuple[int, ...] | None,
    levels: tuple[float, ...] | None,
    params: Any,
    key: Key,
) -> Readings:
    at = on(params, key)
    readings = {name: INSTRUMENTS[name](cell, at, lags) for name in instruments}
    if levels is not None:
        batch_ndim = len(arguments.sequence_shape(cell, at.params, at.xs)[1])
        readings = {name: _over_batch(result, levels, batch_ndim) for name, result in readings.items()}
    return Readings(**readings, levels=None if levels is None else jnp.asarray(levels))


def _on_of_layer(layer: Any, order: Order, on: Callable[[Any, Key], On], params: Any, key: Key) -> On:
    """What a cell is pointed at, from what its layer is pointed at."""
    at = on(params, key)
    return On(**order.arguments(at._replace(params=params_of(layer, at.params))._asdict()))


def _of_loss(instrument: Callable[..., Any], cell: Cell, on: On, lags: Sequence[int] | None) -> Any:
    del lags
    return instrument(cell, on.params, on.xs, on.cotangent, on.carry, lengths=on.lengths, loss=on.loss)


def _jacobian(cell: Cell, on: On, lags: Sequence[int] | None) -> JacobianProfile:
    assert lags is not None
    return jacobian_profile(cell, on.params, on.xs, on.carry, lags=lags, lengths=on.lengths)


def _gradient(cell: Cell, on: On, lags: Sequence[int] | None) -> GradientNorm:
    gradient = _of_loss(parameter_profile, cell, on, lags).gradient
    return GradientNorm(jax.tree.map(norms.log_norm, gradient), norms.log_global_norm(gradient))


def _over_batch(result: Any, levels: Sequence[float], batch_ndim: int) -> Any:
    """Quantiles over the rows, on the last axis, of every field with batch axes."""
    if isinstance(result, GradientNorm):
        return result  # summed over the batch already
    if isinstance(result, ParameterProfile):  # its gradient has no batch axes to summarise
        result = result._replace(gradient=None)

    def over_rows(leaf: Array) -> Array:
        lags = leaf.shape[: leaf.ndim - batch_ndim]
        return quantiles_over_rows(leaf.reshape(*lags, -1), levels)  # (K, Q)

    return jax.tree.map(over_rows, result._replace(lag=None))._replace(lag=result.lag)


INSTRUMENTS: dict[str, Callable[[Cell, On, Sequence[int] | None], Any]] = {
    "adjoint": partial(_of_loss, adjoint_profile),
    "parameter": partial(_of_loss, parameter_profile),
    "carousel": partial(_of_loss, carousel_share),
    "jacobian": _jacobian,
    "gradient": _gradient,
}
"""Field of `Readings` to what fills it."""
