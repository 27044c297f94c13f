"""From an instrument's result to what is drawn of it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from recurrax import lag
from recurrax.lag.laws import FAMILIES
from recurrax.plot.picture import DASHED, Picture, Series, series
from recurrax.report import Level, style

LAG = "lag k (steps back)"
_SETTLING = 6
"""Most exponents drawn as they settle: more hide each other."""


class View(NamedTuple):
    """How a result is looked at; see `plot.draw`. levels: quantiles on its last axis; last: the last lag there is."""

    label: str | None = None
    field: str = "joint"
    relative: bool = False
    look: Mapping[str, Any] = {}
    levels: Any = None
    last: int = 100


def _adjoint(profile: lag.LagProfile, view: View) -> Picture:
    fields = {name: (f"∂L/∂{name}", values, {}) for name, values in named(profile.log_norm).items()}
    fields |= {"joint": ("∂L/∂s, whole state", profile.log_norm_joint, {})}
    if profile.log_norm_bptt is not None:
        fields |= {"bptt": ("dL/dc, h following c", profile.log_norm_bptt, DASHED)}
    return _norms("Gradient of the loss by lag", "‖∂L/∂s‖", profile.lag, fields, view)


def _parameter(profile: lag.ParameterProfile, view: View) -> Picture:
    fields = {name: (name, values, {}) for name, values in named(profile.log_norm).items()}
    fields |= {"joint": ("∂L/∂θ, all parameters", profile.log_norm_joint, {})}
    horizon = float(np.median(np.asarray(profile.horizon)))
    marks = (Level(horizon, f"horizon {horizon:.1f} steps"),) if np.isfinite(horizon) else ()
    picture = _norms("What each step adds to ∂L/∂θ", "‖G(k)‖", profile.lag, fields, view)
    return picture._replace(marks=marks)


def _rule(profile: lag.RuleProfile, view: View) -> Picture:
    fields = {
        "exact": ("G, exact", profile.log_exact, {"color": "black"}),
        "joint": ("mean of the rule's Ĝ", profile.log_norm_joint, {}),
        "bias": ("bias of Ĝ", profile.log_bias, DASHED),
        "deviation": ("standard deviation of Ĝ", profile.log_deviation, DASHED),
    }
    return _norms("What a learning rule keeps of ∂L/∂θ", "‖Ĝ(k)‖", profile.lag, fields, view)


def _jacobian(profile: lag.JacobianProfile, view: View) -> Picture:
    dots = {"marker": "o"}
    fields: dict[str, Any] = {"frobenius": ("‖P‖ (Frobenius)", profile.log_frobenius_norm, dots)}
    if profile.log_operator_norm is not None:
        fields = {"operator": ("σ₁(P)", profile.log_operator_norm, dots), **fields}
    blocks = {} if profile.log_block is None else named(profile.log_block)
    for name, log_norm in blocks.items() if len(blocks) > 1 else ():
        after, before = name.split(".")
        fields[name] = (f"{before} → {after}", log_norm, DASHED)
    of = view._replace(field=next(iter(fields))) if view.field == "joint" else view
    picture = _norms("Long Jacobian P by lag", "norm of ∂s(T-1)/∂s(T-1-k)", profile.lag, fields, of)
    if profile.frobenius_error is None:
        return picture
    error = series(None, profile.lag, profile.frobenius_error).bands[1]
    lines = (one._replace(error=2 * error) if "Frobenius" in str(one.label) else one for one in picture.series)
    return picture._replace(series=tuple(lines))


def _carousel(share: lag.CarouselShare, view: View) -> Picture:
    fields = {"joint": ("share of the norm", share.log_share, {})}
    if view.field not in ("joint", "all"):
        choose(fields, view.field)

    def cosine(ax: Any) -> None:
        beside, colour = ax.twinx(), style.colour(4)
        beside.plot(share.lag, series(None, share.lag, share.cosine).bands[1], color=colour, label="cosine")
        beside.set(ylabel="cosine with the whole", ylim=(-1.05, 1.05))
        beside.yaxis.label.set_color(colour)
        beside.grid(visible=False)

    picture = _norms("Share of the direct path", "‖direct‖ / ‖whole‖", share.lag, fields, view._replace(field="joint"))
    return picture._replace(finish=cosine if view.field == "all" else None)


def _lyapunov(spectrum: lag.LyapunovSpectrum, view: View) -> Picture:
    if view.field == "running":
        return _running(spectrum, view)
    title = f"Lyapunov spectrum over {spectrum.steps} steps"
    return _exponents(title, spectrum.exponents, spectrum.standard_error, view)


def _covariant(found: lag.CovariantVectors, view: View) -> Picture:
    return _exponents("Growth of covariant vectors", found.exponents, found.standard_error, view)


def _exponents(title: str, exponents: Any, standard_error: Any, view: View) -> Picture:
    exponents, error = np.asarray(exponents), np.asarray(standard_error)
    lost = int(np.isneginf(exponents).sum())
    title += f", {lost} exponents at -∞" if lost else ""
    text = view.label or "λ ± 2 standard errors"
    line = Series(text, np.arange(1, exponents.size + 1), np.stack([exponents] * 3), {"marker": "o"}, 2 * error)
    unit = "index of the exponent", "exponent (nats per step)"
    return Picture(title, *unit, (line._replace(look={**line.look, **view.look}),), levels=(Level(0.0, "0"),))


def _running(spectrum: lag.LyapunovSpectrum, view: View) -> Picture:
    """The largest exponents as they settle, each in the band of ± 2 standard errors around its last estimate."""
    if spectrum.running is None:
        raise ValueError("field: expected 'joint', the spectrum has no running estimates, got 'running'")
    running, error = np.asarray(spectrum.running), np.asarray(spectrum.standard_error)
    shown, steps = min(running.shape[1], _SETTLING), np.arange(1, len(running) + 1) * spectrum.steps / len(running)
    lines = []
    for place in range(shown):
        low, high = (np.full(len(running), running[-1, place] + side * error[place]) for side in (-2, 2))
        label = f"λ{place + 1}" if view.label is None else f"{view.label}, λ{place + 1}"
        lines.append(Series(label, steps, np.stack([low, running[:, place], high]), view.look))
    title = "Running estimates, final ± 2 standard errors" + (f", the largest {shown}" if shown < len(error) else "")
    return Picture(
        title, "steps after the burn-in", "exponent (nats per step)", tuple(lines), levels=(Level(0.0, "0"),)
    )


def _fixed(found: lag.FixedPoints, view: View) -> Picture:
    def circle(ax: Any) -> None:
        angle = np.linspace(0, 2 * np.pi, 400)
        ax.plot(np.cos(angle), np.sin(angle), color=style.LEVEL, linewidth=1.0, zorder=1)
        ax.set_aspect("equal", adjustable="datalim")

    lines = []
    for place, eigenvalues in enumerate(np.asarray(found.eigenvalues)):
        unstable = found.unstable_directions[place]
        text = "stable" if unstable == 0 else f"{unstable} unstable"
        text = f"{place}: {text if found.fixed[place] else f'slow, {text}'}"
        look = {"marker": "o" if found.fixed[place] else "x", "linestyle": "", **view.look}
        label = f"{view.label}, {text}" if view.label else text
        lines.append(Series(label, eigenvalues.real, np.stack([eigenvalues.imag] * 3), look))
    title = "Eigenvalues at fixed points, |λ| = 1 drawn"
    return Picture(title, "Re λ", "Im λ", tuple(lines), finish=circle)


def _matrix(found: lag.LagMatrix, view: View) -> Picture:
    anchor, order = np.asarray(found.anchor), np.argsort(np.asarray(found.anchor))
    log_norm = np.asarray(found.log_norm)[order]
    middle = np.stack([lag.quantiles(row, (0.5,))[0] for row in log_norm]) / np.log(10.0)

    def mesh(ax: Any) -> None:
        colours = np.where(np.isfinite(middle), middle, np.nan)
        shown = ax.pcolormesh(np.arange(middle.shape[1]), np.arange(anchor.size), colours, shading="nearest")
        ax.set_yticks(np.arange(anchor.size), [str(step) for step in anchor[order]])
        ax.grid(visible=False)
        ax.figure.colorbar(shown, ax=ax, label="log10 of ‖∂ℓ(s)/∂s(t)‖")

    title = "Which loss feels which state" + (f": {view.label}" if view.label else "")
    return Picture(title, "step t of the state", "step s of the loss", (), finish=mesh)


def _memory(curve: lag.MemoryCurve, view: View) -> Picture:
    by_feature = np.asarray(curve.r2_by_feature).T
    fields = {str(place): (f"feature {place}", r2, DASHED) for place, r2 in enumerate(by_feature)}
    fields = {"joint": ("all features", curve.r2, {})} | (fields if len(by_feature) > 1 else {})
    lines = _lines(curve.lag, choose(fields, view.field), view)
    ends = Level(0.0, "none"), Level(1.0, "all")
    return Picture(
        f"Forward memory, capacity {float(curve.capacity):.1f}", LAG, "R² of decoding x(t-k)", lines, levels=ends
    )


def _fit(found: lag.DecayFit, view: View) -> Picture:
    k = np.arange(found.window[0], found.window[1] + 1)
    label = f"{found.rate:+.4f} ± {found.standard_error:.4f} nats per step"
    return _laws("Exponential fit", found.curve, {label: (k, found.intercept + found.rate * k, DASHED)}, view)


def _choice(found: lag.DecayChoice, view: View) -> Picture:
    k = np.arange(found.window[0], found.window[1] + 1, dtype=float)
    laws = {}
    for name, model in found.models.items():
        law = FAMILIES[name].law(k, np.array(list(model.parameters.values())))
        laws |= {f"{name}, chosen": (k, law, {})} if name == found.family else {name: (k, law, DASHED)}
    return _laws(f"Law of decay, by {found.criterion}", found.curve, laws, view)


def _mean_field(predicted: lag.MeanField, view: View) -> Picture:
    k = np.arange(view.last + 1)
    with np.errstate(invalid="ignore"):  # a rate of -∞ at lag 0
        line = series(
            f"½ ln χ₁ = {predicted.slope:+.4f} nats per step", k, predicted.slope * k, color="black", **DASHED
        )
    return Picture("Mean field", LAG, "A(k) / A(0)", (_labelled(line, view),), norms=True)


def _gradient(norm: lag.GradientNorm, view: View) -> Picture:
    log_norm = np.atleast_1d(np.asarray(norm.log_norm_joint))
    line = series("∂L/∂θ", np.arange(len(log_norm)), log_norm, marker="o")
    return Picture("Norm of the gradient", "probe", "‖∂L/∂θ‖", (_labelled(line, view),), norms=True)


RESULTS: dict[type, Callable[[Any, View], Picture]] = {
    lag.LagProfile: _adjoint,
    lag.ParameterProfile: _parameter,
    lag.RuleProfile: _rule,
    lag.JacobianProfile: _jacobian,
    lag.LyapunovSpectrum: _lyapunov,
    lag.CovariantVectors: _covariant,
    lag.FixedPoints: _fixed,
    lag.CarouselShare: _carousel,
    lag.LagMatrix: _matrix,
    lag.MemoryCurve: _memory,
    lag.DecayFit: _fit,
    lag.DecayChoice: _choice,
    lag.MeanField: _mean_field,
    lag.GradientNorm: _gradient,
}
"""Type of a result to what is drawn of it."""


def choose(fields: dict[str, Any], field: str) -> dict[str, Any]:
    """The field of that name, or "all".

    Raises:
        ValueError: there is none of that name.
    """
    if field == "all":
        return fields
    if field not in fields:
        raise ValueError(f"field: expected 'all' or one of {', '.join(fields)}, got {field!r}")
    return {field: fields[field]}


def named(tree: Any) -> dict[str, Any]:
    """Leaves by the path to them: "kernel", "h.c", "s[0]" of a pair, and "s" where the tree is one array."""
    leaves = {}
    for path, leaf in jax.tree.leaves_with_path(tree):
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        leaves[f"s[{name}]" if name.isdigit() else name or "s"] = leaf
    return leaves


def _norms(title: str, y_label: str, k: Any, fields: dict[str, Any], view: View) -> Picture:
    fields = choose(fields, view.field)
    if view.relative:
        y_label = f"{y_label}, relative to lag 0"
        fields = {name: (text, _relative(k, values), look) for name, (text, values, look) in fields.items()}
    return Picture(title, LAG, y_label, _lines(k, fields, view), norms=True)


def _lines(k: Any, fields: dict[str, Any], view: View) -> tuple[Series, ...]:
    """A line per field; those of several fields keep their names beside the view's label."""
    lines = []
    for text, values, look in fields.values():
        label = text if view.label is None else view.label if len(fields) == 1 else f"{view.label}, {text}"
        lines.append(series(label, k, values, view.levels, **{**look, **view.look}))
    return tuple(lines)


def _relative(k: Any, log_norm: Any) -> np.ndarray:
    k, log_norm = np.asarray(k), np.asarray(log_norm, np.float64)
    if 0 not in k:
        raise ValueError(f"relative: expected a result with lag 0, got lags {k.min()}..{k.max()}")
    with np.errstate(invalid="ignore"):  # a row that starts at zero
        return log_norm - log_norm[k == 0]


def _laws(title: str, curve: Any, laws: dict[str, Any], view: View) -> Picture:
    """Laws (label to lags, law, look) over the curve, T numbers, that they were fitted to."""
    curve = np.asarray(curve)
    offset = curve[0] if view.relative else 0.0
    under = series(None, np.arange(len(curve)), curve - offset, color=style.LEVEL, linewidth=3.0, alpha=0.4, zorder=1.8)
    lines = [series(label, k, law - offset, **look) for label, (k, law, look) in laws.items()]
    y_label = "norm, relative to lag 0" if view.relative else "norm"
    return Picture(title, LAG, y_label, (under, *(_labelled(line, view) for line in lines)), norms=True)


def _labelled(line: Series, view: View) -> Series:
    """A line whose own label says a number, after the view's label if there is one."""
    label = f"{view.label}: {line.label}" if view.label else line.label
    return line._replace(label=label, look={**line.look, **view.look})
