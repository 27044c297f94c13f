"""Instruments: how gradients and memory travel through time, for any cell of the contract.

Every logarithm is natural; lag k counts steps back from the last one. Where a cell and its parameters are asked for, a
layer will do: `adjoint_profile(layer, xs)` of `recurrax.nnx.RNN`, `adjoint_profile(layer, variables, xs)` of
`recurrax.linen.RNN`. What has an axis of time then has it where the layer has it, (*batch, T, ...) unless it is
`time_major`; results have the lag first, as ever.
"""

from recurrax.lag.adjoint import LagProfile, adjoint_profile
from recurrax.lag.carousel import CarouselShare, carousel_share
from recurrax.lag.compare import Arm, Comparison, Reach, compare
from recurrax.lag.covariant import CovariantVectors, covariant_vectors
from recurrax.lag.decay import DecayFit, fit_decay, half_life, vanish_lag
from recurrax.lag.fixed import FixedPoints, fixed_points
from recurrax.lag.jacobian import JacobianProfile, jacobian_profile
from recurrax.lag.laws import DecayChoice, DecayModel, choose_decay
from recurrax.lag.lyapunov import LyapunovSpectrum, lyapunov_of_step, lyapunov_spectrum
from recurrax.lag.matrix import LagMatrix, lag_matrix
from recurrax.lag.mean_field import MeanField, mean_field
from recurrax.lag.memory import MemoryCurve, memory_curve
from recurrax.lag.parameter import ParameterProfile, parameter_profile
from recurrax.lag.probe import GradientNorm, On, Readings, probe
from recurrax.lag.quantiles import quantiles
from recurrax.lag.rule import RuleProfile, rule_profile

__all__ = [
    "Arm",
    "CarouselShare",
    "Comparison",
    "CovariantVectors",
    "DecayChoice",
    "DecayFit",
    "DecayModel",
    "FixedPoints",
    "GradientNorm",
    "JacobianProfile",
    "LagMatrix",
    "LagProfile",
    "LyapunovSpectrum",
    "MeanField",
    "MemoryCurve",
    "On",
    "ParameterProfile",
    "Reach",
    "Readings",
    "RuleProfile",
    "adjoint_profile",
    "carousel_share",
    "choose_decay",
    "compare",
    "covariant_vectors",
    "fit_decay",
    "fixed_points",
    "half_life",
    "jacobian_profile",
    "lag_matrix",
    "lyapunov_of_step",
    "lyapunov_spectrum",
    "mean_field",
    "memory_curve",
    "parameter_profile",
    "probe",
    "quantiles",
    "rule_profile",
    "vanish_lag",
]
