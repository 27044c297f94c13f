"""A claim, from data to verdict
=============================

"Chrono initialisation more than doubles the lag that gradients reach." The script gets flags, a dry run, resume, saved
files and a report from `recurrax.study`.
"""

import sys
from dataclasses import dataclass

import numpy as np

from recurrax import lag, study
from recurrax.study import networks


@dataclass(frozen=True)
class Settings(study.LagSettings):
    """How far do gradients of fresh networks reach on the adding problem?"""

    cells: tuple[str, ...] = ("lstm:forget_bias=1", "lstm:forget_bias=chrono", "gru")
    tasks: tuple[str, ...] = ("adding",)
    seeds: int = 8
    hidden_size: int = 32
    lags: int = 800
    rows: int = 16
    """Sequences per network."""


def measure(settings, cell, task, run):
    """Curves ln A(k) - ln A(0), (S, T), of freshly drawn networks, the same inputs for every cell."""
    seeds = range(settings.seeds)
    curves = networks.drawn_curves(cell, task, settings.lags, seeds, settings.rows, before_each=run.check)
    return {"curve": curves, "seed": seeds}


REACH = study.Number(
    "K, steps",
    "curve",
    lambda curves, settings, task: np.array([lag.vanish_lag(curve) for curve in curves]),
    means="first lag with a norm below 1e-6",
    beyond="lags",
)
CLAIM = study.Claim(
    "Chrono initialisation more than doubles the reach of an LSTM's gradients.",
    REACH,
    (study.Pair("lstm:forget_bias=chrono", "lstm:forget_bias=1"),),
    delta=1.0,  # log2: a factor of two, fixed before anything is measured
    effect="log2 ratio",
)
CURVE = study.Curve("fresh networks", "curve", lambda settings, count: np.arange(count), "lag (steps)", "ln A(k)/A(0)")
EXPERIMENT = study.Experiment(
    "claim",
    Settings,
    measure,
    numbers=(study.Numbers("Reach of {s.hidden_size} units, {s.seeds} networks", (REACH,)),),
    curves=(study.Curves("reach", "Gradient by lag", (CURVE,)),),
    claims=(CLAIM,),
)

if __name__ == "__main__":
    sys.exit(study.main(EXPERIMENT))

# %%
# On two CPU cores, with Python 3.11 and JAX 0.10.2, it prints::
#
#     Reach of 32 units, 8 networks
#     task    cell                           K, steps
#     ───────────────────────────────────────────────
#     adding  lstm:forget_bias=1       138 [117, 153]
#     adding  lstm:forget_bias=chrono            >800
#     adding  gru                       45.5 [43, 51]
#     K, steps: first lag with a norm below 1e-6. Medians over networks, none left out; in brackets the 95 % interval, left out where it is
#     narrower than the digits shown or all lie beyond what was measured; of medians and means by bootstrap, which is too narrow for fewer than
#     six.
#
#     K, steps on adding: gru 45.5 [43, 51]; lstm:forget_bias=1 138 [117, 153]; lstm:forget_bias=chrono >800.
#     Chrono initialisation more than doubles the reach of an LSTM's gradients. Supported.
#     Report: results/claim/run-5efe1bfd/report.html
