"""From Bernoulli weights to fixed ones: thresholded, or members of an ensemble."""

from sbn_deploy.materialize.batchnorm import reestimate
from sbn_deploy.materialize.draws import draws_of
from sbn_deploy.materialize.materialize import Activations, Form, Weights, materialize

__all__ = [
    "Activations",
    "Form",
    "Weights",
    "draws_of",
    "materialize",
    "reestimate",
]
