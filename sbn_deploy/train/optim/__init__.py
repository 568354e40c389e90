"""Optimisers on latent weights.

| class | update of the latent | use with |
|---|---|---|
| `MirrorDescent` | eta - step * moments(g), optionally with decay to a prior | identity estimator |
| `ProjectedGradient` | the same, then clipped to [-bound, bound] | uniform noise |
| `Bop` | flips signs by a running mean of g | deterministic weights |

Any torch optimiser fits latents with the proxy estimator.
"""

from sbn_deploy.train.optim.bop import Bop
from sbn_deploy.train.optim.mirror import MirrorDescent
from sbn_deploy.train.optim.moments import Moments
from sbn_deploy.train.optim.projected import ProjectedGradient
from sbn_deploy.train.optim.split import split_parameters

__all__ = ["Bop", "MirrorDescent", "Moments", "ProjectedGradient", "split_parameters"]
