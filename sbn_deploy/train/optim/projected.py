"""Projected gradient descent on the means of binary weights."""

from __future__ import annotations

from typing import Any, Unpack

from torch import Tensor

from sbn_deploy.train.optim.moments import Latents, MomentOptimizer, MomentOptions
from sbn_runtime.errors import ConfigError


class ProjectedGradient(MomentOptimizer):
    """eta <- clip(eta - step * direction, -bound, bound).

    With uniform weight noise the latent is the mean of the weight on [-1, 1],
    and this is projected gradient descent on it (BinaryConnect).

    Args:
        latents: latent parameters, or parameter groups of them.
        lr: step on the latents, > 0; with Adam moments, steps near 3 learned best on
            the digits and steps up to 0.03 not at all (docs/training.md).
        moments, betas, eps: see `MomentOptimizer`.
        bound: largest magnitude of a latent, > 0.

    Raises:
        ConfigError: an argument is out of range.
    """

    def __init__(
        self,
        latents: Latents,
        *,
        lr: float = 0.01,
        bound: float = 1.0,
        **options: Unpack[MomentOptions],
    ) -> None:
        super().__init__(latents, lr=lr, bound=bound, **options)

    def check(self, group: dict[str, Any]) -> None:
        super().check(group)
        if not group["bound"] > 0:
            raise ConfigError(f"ProjectedGradient needs bound > 0; got {group['bound']}")

    def update(self, latent: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        self.descend(latent, state, group)
        latent.clamp_(-group["bound"], group["bound"])
