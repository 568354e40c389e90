"""Latents from the weights of a float network."""

from __future__ import annotations

import torch
from torch import Tensor

from sbn_runtime.errors import ConfigError


def latents_of(weight: Tensor, std: float) -> Tensor:
    """Latents with the signs of `weight`, their root mean square scaled to `std`.

    Thresholding them gives the signs of the float weights; sampling prefers to
    flip the small ones. Weights that are all zero give zeros: probabilities of one half.

    Args:
        weight: real weights of one layer, any shape, floating point.

    Raises:
        ConfigError: a weight that is not finite.

    Example:
        >>> import torch
        >>> latents_of(torch.tensor([0.3, -0.1, 0.0, 0.3, -0.1]), std=2.0)
        tensor([ 3., -1.,  0.,  3., -1.])
    """
    weight = weight.detach()
    if not weight.isfinite().all():
        raise ConfigError("some weights are NaN or infinite; start from other weights")
    spread = weight.double().square().mean().sqrt()
    return (weight * (std / spread)).to(weight.dtype) if spread > 0 else torch.zeros_like(weight)
