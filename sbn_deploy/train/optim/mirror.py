"""Mirror descent on Bernoulli weights, optionally with a Kullback-Leibler term.

With the identity straight-through estimator the gradient g of a latent eta
estimates the gradient with respect to the mean mu = 2F(eta) - 1. Mirror descent
on mu whose mirror map is the quantile function of the weight noise is then the
plain update eta <- eta - step * g. For logistic noise it solves

    argmin_theta  <g, 2 theta - 1> + KL(theta, theta_t) / step,

theta = F(eta) being the Bernoulli probabilities: exponentiated gradient.
The step lives on the scale of eta, so steps near one are right.

Variational learning adds decay * KL(theta, theta_0) to the loss, theta_0 being
the prior, F(prior). Taken into the minimisation exactly (composite mirror
descent), it gives

    eta <- (eta - step * g + step * decay * prior) / (1 + step * decay).

The subtraction (1 - step * decay) eta is only its first order. BayesBiNN's
update is this one with step = alpha N / (1 - alpha) and decay = 1 / N.
"""

from __future__ import annotations

from typing import Any, Unpack

from torch import Tensor

from sbn_deploy.train.optim.moments import Latents, MomentOptimizer, MomentOptions
from sbn_runtime.errors import ConfigError


class MirrorDescent(MomentOptimizer):
    """Mirror descent on Bernoulli weights, in the coordinates of their latents.

    Args:
        latents: latent parameters, or parameter groups of them.
        lr: learning rate of the latents, > 0.
        moments, betas, eps: see `MomentOptimizer`; "sgd" with a first beta of 0
            is plain mirror descent.
        decay: weight of KL(theta, theta_0) in the loss, >= 0.
        prior: latent of the prior; 0 stands for probabilities of one half.

    Raises:
        ConfigError: an argument is out of range.
    """

    def __init__(
        self,
        latents: Latents,
        *,
        lr: float = 1.0,
        decay: float = 0.0,
        prior: float = 0.0,
        **options: Unpack[MomentOptions],
    ) -> None:
        super().__init__(latents, lr=lr, decay=decay, prior=prior, **options)

    def check(self, group: dict[str, Any]) -> None:
        super().check(group)
        if not group["decay"] >= 0:
            raise ConfigError(f"MirrorDescent needs decay >= 0; got {group['decay']}")

    def update(self, latent: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        self.descend(latent, state, group)
        if pull := group["lr"] * group["decay"]:
            latent.add_(pull * group["prior"]).div_(1 + pull)
