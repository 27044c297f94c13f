"""The first gradient curve
========================

How much of a loss's gradient is left k steps back, for two cells, and its picture.
"""

import jax
import numpy as np

import recurrax
from recurrax import lag, plot

# %%
# Two cells that have not been trained, and noise for them to read.

cells = {
    "Elman": recurrax.Elman(64),
    "LSTM, forget bias 1": recurrax.LSTM(64, forget_bias=1.0),
}
xs = jax.random.normal(jax.random.key(1), (201, 8, 2))  # time, batch, features

# %%
# The loss is the sum of the outputs at the last step. A profile has the norm of its gradient by the state at every lag,
# for each of the eight sequences.

profiles = {}
for name, cell in cells.items():
    params = cell.init(jax.random.key(0), input_size=2)
    profiles[name] = lag.adjoint_profile(cell, params, xs)

# %%
# In numbers, of the median sequence:

for name, profile in profiles.items():
    log_norm = lag.quantiles(profile.log_norm_joint, (0.5,))[0]  # (T,)
    left = (log_norm[200] - log_norm[0]) / np.log(10)
    print(f"{name}: half is gone after {lag.half_life(profile):.1f} steps,")
    print(f"all but a millionth after {lag.vanish_lag(profile):.0f},")
    print(f"all but 1e{left:.0f} after 200")

# %%
# And as a picture: the median, and a band from the 10th to the 90th percentile of the sequences. Outside a
# notebook `ax.figure.savefig("curve.png")` keeps it; docs/reading.md says what such curves mean and what they do not.

ax = plot.draw(profiles, relative=True)
