"""Bop, the binary optimiser without latents, as a baseline (arXiv 1906.02107)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sbn_deploy.train.optim.moments import LatentOptimizer, Latents
from sbn_runtime.errors import ConfigError


class Bop(LatentOptimizer):
    """Flips a weight when a running mean of its gradient is large and of its sign.

    The latent holds the weight, -1 or +1; its first step takes the sign of what
    was there. Weights must be evaluated deterministically.

    Args:
        latents: latent parameters, or parameter groups of them.
        lr: rate of the running mean m <- (1 - lr) m + lr g, in (0, 1].
        threshold: |m| from which a weight flips, >= 0.

    Raises:
        ConfigError: an argument is out of range.
    """

    def __init__(
        self,
        latents: Latents,
        *,
        lr: float = 1e-4,
        threshold: float = 1e-8,
    ) -> None:
        super().__init__(latents, {"lr": lr, "threshold": threshold})

    def check(self, group: dict[str, Any]) -> None:
        super().check(group)
        if not group["lr"] <= 1 or not group["threshold"] >= 0:
            raise ConfigError(
                "Bop needs lr in (0, 1] and threshold >= 0; "
                f"got lr={group['lr']}, threshold={group['threshold']}"
            )

    def update(self, latent: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        if not state:
            state["mean"] = torch.zeros_like(latent)
            latent.copy_(torch.where(latent < 0, -1.0, 1.0))
        grad = latent.grad
        assert grad is not None  # `step` leaves the others out
        mean = state["mean"].lerp_(grad, group["lr"])
        flips = (mean.abs() >= group["threshold"]) & (mean * latent > 0)
        latent.copy_(torch.where(flips, -latent, latent))
