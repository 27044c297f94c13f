"""Draws the pictures of docs/reading.md: `python docs/reading.py`, about a minute on two CPU cores.

Each function below draws one picture, on fresh networks of `UNITS` units that read Gaussian noise.
"""

import sys
from pathlib import Path

import jax
import matplotlib
from matplotlib import figure

import recurrax
from recurrax import lag, plot
from recurrax.report import style

UNITS, STEPS, ROWS = 32, 200, 8
FOLDER = Path(__file__).parent / "reading"


def noise(rows, steps=None):
    """Gaussian noise (T, rows, 2)."""
    return jax.random.normal(jax.random.key(1), (steps or STEPS, rows, 2))


def network(cell):
    """A cell and its parameters."""
    return cell, cell.init(jax.random.key(0), input_size=2)


def both():
    """The two cells that most pictures compare, each with its parameters."""
    return {"Elman": network(recurrax.Elman(UNITS)), "LSTM, forget bias 1": network(recurrax.LSTM(UNITS))}


def adjoint(ax):
    """Two cells, the whole state."""
    found = {name: lag.adjoint_profile(*pair, noise(ROWS)) for name, pair in both().items()}
    plot.draw(found, ax, relative=True)
    ax.axhline(1e-6, color=style.LEVEL, linewidth=0.8)


def fields(ax):
    """One LSTM with a forget bias of 3, h and c apart."""
    plot.draw(lag.adjoint_profile(*network(recurrax.LSTM(UNITS, forget_bias=3.0)), noise(ROWS)), ax, field="all")


def parameter(ax):
    """What each step adds to the weight gradient."""
    plot.draw({name: lag.parameter_profile(*pair, noise(2)) for name, pair in both().items()}, ax)


def jacobian(ax):
    """Largest gain and root of the summed squares of an Elman network."""
    lags = range(0, STEPS // 2, max(1, STEPS // 20))
    plot.draw(lag.jacobian_profile(*network(recurrax.Elman(UNITS)), noise(ROWS), lags=lags), ax, field="all")


def lyapunov(ax):
    """A recurrent gain at which changes of the state die out, and one at which they grow."""
    cells = {f"recurrent gain {gain}": recurrax.Elman(UNITS, recurrent_gain=gain) for gain in (0.9, 3.0)}
    xs = noise(1, 5 * STEPS)[:, 0]
    plot.draw({name: lag.lyapunov_spectrum(*network(cell), xs) for name, cell in cells.items()}, ax)


def carousel(ax):
    """How much of the gradient of c stays on the path from c to c, forget bias 3."""
    found = lag.carousel_share(*network(recurrax.LSTM(UNITS, forget_bias=3.0)), noise(ROWS), field="c")
    plot.draw(found, ax, field="all")


def matrix(ax):
    """Losses at four steps, states at all."""
    anchors = tuple(round(STEPS * part) - 1 for part in (0.25, 0.5, 0.75, 1.0))
    plot.draw(lag.lag_matrix(*network(recurrax.LSTM(UNITS)), noise(ROWS), anchors=anchors), ax)


def memory(ax):
    """What a linear decoder finds of past inputs in the state."""
    xs = noise(8 * ROWS)
    plot.draw({name: lag.memory_curve(*pair, xs, lags=range(40), ridge=1e-4) for name, pair in both().items()}, ax)


def rule(ax):
    """UORO's noise beside the gradient, which its mean is."""
    found = lag.rule_profile(*network(recurrax.Elman(8)), noise(2, 30), "uoro", draws=100, key=jax.random.key(2))
    for field in ("exact", "joint", "deviation"):
        plot.draw(found, ax, field=field)


def decay(ax):
    """A straight line over a window, and its error over sequences."""
    profile = lag.adjoint_profile(*network(recurrax.LSTM(UNITS)), noise(ROWS))
    plot.draw(lag.fit_decay(profile, window=(STEPS // 10, STEPS // 2)), ax)


PICTURES = (adjoint, fields, parameter, jacobian, lyapunov, carousel, matrix, memory, rule, decay)


def main(folder=FOLDER, pictures=PICTURES):
    """Draws pictures into a folder, each under its function's name."""
    folder.mkdir(exist_ok=True)
    with matplotlib.rc_context(style.SETTINGS):
        for draw in pictures:
            page = figure.Figure(figsize=(5.6, 3.2), layout="constrained")
            draw(page.subplots())
            page.savefig(folder / f"{draw.__name__}.png", dpi=130)


if __name__ == "__main__":
    sys.exit(main())
