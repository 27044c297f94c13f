"""Every instrument's result drawn in one line: `plot.draw(result)`. matplotlib comes with the `experiments` extra.

Norms are drawn as powers of ten and lags in steps; exponents and rates in nats per step. Over a batch a line is the
median and its band runs from the 10th to the 90th percentile, a norm of zero being the smallest there is.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from recurrax import extras, lag
from recurrax.lag.laws import FAMILIES
from recurrax.report import Level, Panel, figures, style

_INCHES = (5.6, 3.6)
_LN_10 = np.log(10.0)
_LAG = "lag k (steps back)"
_DASHED = (0, (4, 2))


def draw(result: Any, ax: Any = None) -> Any:
    """Draws what an instrument of `recurrax.lag` returned.

    Args:
        result: of any of the types in `DRAWINGS`, with NumPy or JAX arrays. Of a training's probes one step and seed:
            `jax.tree.map(lambda leaf: leaf[step, seed], probes["..."].adjoint)`, probed with `levels=None`.
        ax: matplotlib axes to draw on, over what is there; new ones if None.

    Returns:
        The axes.

    Raises:
        TypeError: no instrument returns such a thing.
        ModuleNotFoundError: matplotlib is not installed.

    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> ax = draw(lag.mean_field(sigma_w=0.9, sigma_v=0.3))
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('lag k (steps back)', 'A(k) / A(0), powers of ten')
    """
    if type(result) not in DRAWINGS:
        known = ", ".join(kind.__name__ for kind in DRAWINGS)
        raise TypeError(f"result: expected one of {known}, got {type(result).__name__}")
    matplotlib = extras.require("matplotlib", "experiments")
    with matplotlib.rc_context(style.SETTINGS):
        if ax is None:
            ax = extras.require("matplotlib.pyplot", "experiments").subplots(figsize=_INCHES, layout="constrained")[1]
        with np.errstate(invalid="ignore"):  # a rate of -∞ at lag 0
            DRAWINGS[type(result)](ax, result)
        if ax.get_legend_handles_labels()[1]:
            ax.legend(fontsize=7.5, handlelength=1.6)
    return ax


def _adjoint(ax: Any, profile: lag.LagProfile) -> None:
    _frame(ax, "Gradient of the loss by lag", _LAG, "‖∂L/∂s‖, powers of ten", y_scale="exp")
    fields = _named(profile.log_norm)
    for name, log_norm in fields.items():
        _curve(ax, profile.lag, log_norm, f"∂L/∂{name}", decades=True)
    if len(fields) > 1:
        _curve(ax, profile.lag, profile.log_norm_joint, "whole state", decades=True)
    if profile.log_norm_bptt is not None:
        _curve(ax, profile.lag, profile.log_norm_bptt, "dL/dc, h following c", decades=True, linestyle=_DASHED)


def _parameter(ax: Any, profile: lag.ParameterProfile) -> None:
    horizon = float(np.median(np.asarray(profile.horizon)))
    marks = (Level(horizon, f"horizon {horizon:.1f} steps"),) if np.isfinite(horizon) else ()
    _frame(ax, "What each step adds to ∂L/∂θ", _LAG, "‖G(k)‖, powers of ten", y_scale="exp", marks=marks)
    for name, log_norm in _named(profile.log_norm).items():
        _curve(ax, profile.lag, log_norm, name, decades=True)
    _curve(ax, profile.lag, profile.log_norm_joint, "all parameters", decades=True, color="black")


def _jacobian(ax: Any, profile: lag.JacobianProfile) -> None:
    _frame(ax, "Long Jacobian P by lag", _LAG, "norm of ∂s(T-1)/∂s(T-1-k), powers of ten", y_scale="exp")
    if profile.log_operator_norm is not None:
        _curve(ax, profile.lag, profile.log_operator_norm, "σ₁(P)", decades=True, marker="o")
    _curve(ax, profile.lag, profile.log_frobenius_norm, "‖P‖ (Frobenius)", decades=True, marker="o")
    if profile.frobenius_error is not None:
        order = np.argsort(np.asarray(profile.lag))
        middle, error = (
            lag.quantiles(values, (0.5,))[0][order] / _LN_10
            for values in (profile.log_frobenius_norm, profile.frobenius_error)
        )
        ax.errorbar(np.asarray(profile.lag)[order], middle, 2 * error, fmt="none", color=style.LEVEL, capsize=2)
    blocks = {} if profile.log_block is None else _named(profile.log_block)
    for name, log_norm in blocks.items() if len(blocks) > 1 else ():
        after, before = name.split(".")
        _curve(ax, profile.lag, log_norm, f"{before} → {after}", decades=True, linestyle=_DASHED)


def _lyapunov(ax: Any, spectrum: lag.LyapunovSpectrum) -> None:
    exponents, error = np.asarray(spectrum.exponents), np.asarray(spectrum.standard_error)
    lost = int(spectrum.lost)
    title = f"Lyapunov spectrum over {spectrum.steps} steps" + (f", {lost} exponents at -∞" if lost else "")
    _frame(ax, title, "index of the exponent", "exponent (nats per step)", levels=(Level(0.0, "0"),))
    index = np.arange(1, exponents.size + 1)
    finite = np.where(np.isfinite(exponents), exponents, np.nan)
    ax.errorbar(index, finite, 2 * error, marker="o", markersize=3.2, color=_next(ax), label="λ ± 2 standard errors")


def _carousel(ax: Any, share: lag.CarouselShare) -> None:
    _frame(ax, "Share of the direct path", _LAG, "‖direct‖ / ‖whole‖, powers of ten", y_scale="exp")
    _curve(ax, share.lag, share.log_share, "share of the norm", decades=True)
    beside = ax.twinx()
    _curve(beside, share.lag, share.cosine, "cosine", decades=False, color=style.colour(4))
    beside.set(ylabel="cosine with the whole", ylim=(-1.05, 1.05))
    beside.yaxis.label.set_color(style.colour(4))
    beside.grid(visible=False)
    ax.yaxis.label.set_color(style.colour(0))


def _matrix(ax: Any, matrix: lag.LagMatrix) -> None:
    anchor, order = np.asarray(matrix.anchor), np.argsort(np.asarray(matrix.anchor))
    log_norm = np.asarray(matrix.log_norm)[order]
    middle = np.stack([lag.quantiles(row, (0.5,))[0] for row in log_norm]) / _LN_10
    _frame(ax, "Which loss feels which state", "step t of the state", "step s of the loss")
    shown = ax.pcolormesh(np.arange(middle.shape[1]), np.arange(anchor.size), _finite(middle), shading="nearest")
    ax.set_yticks(np.arange(anchor.size), [str(step) for step in anchor[order]])
    ax.grid(visible=False)
    ax.figure.colorbar(shown, ax=ax, label="‖∂ℓ(s)/∂s(t)‖ (log₁₀)")


def _memory(ax: Any, curve: lag.MemoryCurve) -> None:
    title = f"Forward memory, capacity {float(curve.capacity):.1f}"
    _frame(ax, title, _LAG, "R² of decoding x(t-k)", levels=(Level(0.0, "none"), Level(1.0, "all")))
    _curve(ax, curve.lag, curve.r2, "all features", decades=False)
    by_feature = np.asarray(curve.r2_by_feature).T
    for index, r2 in enumerate(by_feature) if 1 < len(by_feature) <= 6 else ():
        _curve(ax, curve.lag, r2, f"feature {index}", decades=False, linestyle=_DASHED)


def _fit(ax: Any, fit: lag.DecayFit) -> None:
    _frame(ax, "Exponential fit", _LAG, "norm, powers of ten", y_scale="exp")
    k = np.arange(fit.window[0], fit.window[1] + 1)
    label = f"{fit.rate:+.4f} ± {fit.standard_error:.4f} nats per step"
    _curve(ax, k, fit.intercept + fit.rate * k, label, decades=True, linestyle=_DASHED)


def _choice(ax: Any, choice: lag.DecayChoice) -> None:
    _frame(ax, f"Law of decay, by {choice.criterion}", _LAG, "norm, powers of ten", y_scale="exp")
    k = np.arange(choice.window[0], choice.window[1] + 1, dtype=float)
    for name, model in choice.models.items():
        law = FAMILIES[name].law(k, np.array(list(model.parameters.values())))
        chosen = name == choice.family
        _curve(ax, k, law, f"{name}, chosen" if chosen else name, decades=True, linestyle="-" if chosen else _DASHED)


def _mean_field(ax: Any, predicted: lag.MeanField) -> None:
    k = np.arange(101) if not ax.lines else np.arange(round(ax.dataLim.x1) + 1)
    _frame(ax, "Mean field", _LAG, "A(k) / A(0), powers of ten", y_scale="exp")
    label = f"½ ln χ₁ = {predicted.slope:+.4f} nats per step"
    _curve(ax, k, predicted.slope * k, label, decades=True, color="black", linestyle=_DASHED)


DRAWINGS: dict[type, Callable[[Any, Any], None]] = {
    lag.LagProfile: _adjoint,
    lag.ParameterProfile: _parameter,
    lag.JacobianProfile: _jacobian,
    lag.LyapunovSpectrum: _lyapunov,
    lag.CarouselShare: _carousel,
    lag.LagMatrix: _matrix,
    lag.MemoryCurve: _memory,
    lag.DecayFit: _fit,
    lag.DecayChoice: _choice,
    lag.MeanField: _mean_field,
}
"""Type of a result to what draws it on given axes."""


def _frame(ax: Any, title: str, x_label: str, y_label: str, **panel: Any) -> None:
    """Labels and scales as in reports; axes that hold something keep their own."""
    if not (ax.lines or ax.collections):
        figures.draw_panel(ax, Panel(title, x_label, y_label, lines=(), **panel), {})


def _curve(ax: Any, x: Any, values: Any, label: str, *, decades: bool, **look: Any) -> None:
    """Median and band over the batch axes of values (K, *batch), in order of x (K,)."""
    x = np.asarray(x)
    order = np.argsort(x)
    bands = _finite(lag.quantiles(values, (0.1, 0.5, 0.9))[:, order] / (_LN_10 if decades else 1))
    look = {"color": _next(ax), "markersize": 3.2, **look}
    ax.plot(x[order], bands[1], label=label, **look)
    if np.asarray(values).ndim > 1:
        ax.fill_between(x[order], bands[0], bands[2], color=look["color"], alpha=0.17, linewidth=0)


def _next(ax: Any) -> str:
    """The colour after those of the labelled lines that are there."""
    return style.colour(len(ax.get_legend_handles_labels()[1]))


def _named(tree: Any) -> dict[str, Any]:
    """Leaves by the path to them: "kernel", "h.c"."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in jax.tree.leaves_with_path(tree)
    }


def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.nan)
