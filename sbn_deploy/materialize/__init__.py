"""From Bernoulli weights to fixed ones: thresholded, or members of an ensemble."""

from sbn_deploy.materialize.batchnorm import reestimate
from sbn_deploy.materialize.materialize import Activations, Form, Weights, materialize
from sbn_deploy.materialize.signs import stochastic_signs

__all__ = [
    "Activations",
    "Form",
    "Weights",
    "materialize",
    "reestimate",
    "stochastic_signs",
]
