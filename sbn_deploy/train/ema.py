"""A running mean of parameters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Ema:
    """mean <- decay * mean + (1 - decay) * parameter after each step.

    The mean starts at the parameters. On latents it averages natural parameters.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.parameters = list(model.parameters())
        self.means = [parameter.detach().clone() for parameter in self.parameters]
        self.decay = decay

    @torch.no_grad()
    def update(self) -> None:
        """Takes in the parameters as they are now."""
        for mean, parameter in zip(self.means, self.parameters, strict=True):
            mean.lerp_(parameter, 1 - self.decay)

    @torch.no_grad()
    def load(self, means: list[Tensor]) -> None:
        """Continues from saved means."""
        for mean, saved in zip(self.means, means, strict=True):
            mean.copy_(saved)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchanges the parameters with their means; a second call undoes it."""
        for mean, parameter in zip(self.means, self.parameters, strict=True):
            kept = parameter.clone()
            parameter.copy_(mean)
            mean.copy_(kept)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model has the means as parameters inside."""
        self.swap()
        try:
            yield
        finally:
            self.swap()
