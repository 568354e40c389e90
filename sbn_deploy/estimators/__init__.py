"""Gradient estimators of stochastic binary networks, measured against the truth.

On small networks the exact gradient of the expected loss comes from enumeration,
and so do the bias and variance of most estimators; on larger ones both come from
samples, with their standard error. See `study` for what is measured.
"""

from .base import Estimator
from .exact import exact_gradient, expected_loss
from .moments import Moments
from .network import LOSSES, Network, Problem, random_problem
from .registry import create, names

__all__ = [
    "LOSSES",
    "Estimator",
    "Moments",
    "Network",
    "Problem",
    "create",
    "exact_gradient",
    "expected_loss",
    "names",
    "random_problem",
]
