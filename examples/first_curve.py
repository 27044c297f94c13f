"""The first gradient curve: how much of a loss's gradient is left k steps back, for two cells, and its picture."""

import jax
import numpy as np

import recurrax
from recurrax import lag

CELLS = {"Elman": recurrax.Elman(64), "LSTM, forget bias 1": recurrax.LSTM(64, forget_bias=1.0)}


def main(length=201, picture=None):
    """Prints the curves at a few lags; draws them into a file where one is named."""
    xs = jax.random.normal(jax.random.key(1), (length, 8, 2))  # time, batch, features
    profiles = {}
    for name, cell in CELLS.items():
        params = cell.init(jax.random.key(0), input_size=2)
        profiles[name] = lag.adjoint_profile(cell, params, xs)
        log_norm = lag.quantiles(profiles[name].log_norm_joint, (0.5,))[0]  # (T,), the median sequence
        below = (log_norm - log_norm[0]) / np.log(10)
        told = ", ".join(f"1e{below[k]:+.0f} at lag {k}" for k in range(0, length, (length - 1) // 4))
        print(f"{name}: {told}")
        print(f"  half is gone after {lag.half_life(profiles[name]):.1f} steps")
        print(f"  all but a millionth after {lag.vanish_lag(profiles[name]):.0f}")
    if picture is not None:
        from recurrax import plot

        plot.draw(profiles, relative=True).figure.savefig(picture)
    return profiles


if __name__ == "__main__":
    main()
