"""Networks as if they were trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def trained(network: nn.Module, example: Tensor, seed: int = 0) -> nn.Module:
    """The network in evaluation mode, with batch norms like those of a trained one.

    Statistics are those of the example [N, ...], off by some and no variance near 0; gammas
    and betas are random, a fifth of the gammas negative. So signs fall to both sides.
    """
    generator = torch.Generator().manual_seed(seed)
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
        if norm.affine:
            size = norm.num_features
            negative = torch.rand(size, generator=generator) < 0.2
            gamma = 0.5 + torch.rand(size, generator=generator)
            norm.weight.data = torch.where(negative, -gamma, gamma)
            norm.bias.data = 0.3 * torch.randn(size, generator=generator)
    with torch.no_grad():
        network.train()(example)
        for norm in norms:
            size = norm.num_features
            norm.running_var.clamp_(min=0.1 * float(norm.running_var.mean()) + 1e-3)
            spread = norm.running_var.sqrt()
            norm.running_mean += 0.2 * spread * torch.randn(size, generator=generator)
            norm.running_var *= 0.5 + torch.rand(size, generator=generator)
    return network.eval()
