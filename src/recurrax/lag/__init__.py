"""Instruments: how gradients and memory travel through time, for any cell of the contract.

Every logarithm is natural; lag k counts steps back from the last one.
"""

from recurrax.lag.adjoint import LagProfile, adjoint_profile
from recurrax.lag.decay import DecayFit, fit_decay, half_life, vanish_lag

__all__ = ["DecayFit", "LagProfile", "adjoint_profile", "fit_decay", "half_life", "vanish_lag"]
