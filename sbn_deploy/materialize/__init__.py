"""From Bernoulli weights to fixed ones: thresholded, or members of an ensemble."""

from sbn_deploy.materialize.batchnorm import reestimate
from sbn_deploy.materialize.draws import draws_of
from sbn_deploy.materialize.from_checkpoint import Materialized, materialize_checkpoint
from sbn_deploy.materialize.materialize import Activations, Weights, materialize

__all__ = [
    "Activations",
    "Materialized",
    "Weights",
    "draws_of",
    "materialize",
    "materialize_checkpoint",
    "reestimate",
]
