"""From Bernoulli weights to fixed ones: thresholded, or members of an ensemble."""

from sbn_deploy.materialize.batchnorm import reestimate
from sbn_deploy.materialize.from_checkpoint import Materialized, materialize_checkpoint
from sbn_deploy.materialize.materialize import Weights, materialize

__all__ = ["Materialized", "Weights", "materialize", "materialize_checkpoint", "reestimate"]
