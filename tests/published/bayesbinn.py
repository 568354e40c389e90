"""BayesBiNN (Meng et al., ICML 2020): weights are signs drawn with learned probabilities.

Each weight has a natural parameter; its mean is tanh of it. Testing uses the mode, the sign
of the mean. Activations are signs here, so that the mode is a binary network.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SignActivation(torch.autograd.Function):
    """+1 where x is at least 0, else -1."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x >= 0).type(x.dtype) * 2 - 1

    @staticmethod
    def backward(ctx, grad_output):
        (x,) = ctx.saved_tensors
        return grad_output * (x.abs() <= 1)


class BayesConv2d(nn.Module):
    """A convolution with the mode of its weights in evaluation, a relaxed draw in training."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3) -> None:
        super().__init__()
        self.lam = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.temperature = 1e-2

    def weights(self) -> Tensor:
        """The mode; in training a sample of the concrete distribution."""
        if not self.training:
            return torch.sign(torch.tanh(self.lam))
        u = torch.rand_like(self.lam).clamp(1e-6, 1 - 1e-6)
        delta = 0.5 * torch.log(u / (1 - u))
        return torch.tanh((self.lam + delta) / self.temperature)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weights(), padding="same")


class VGGBinary(nn.Module):
    """Convolutions on signs, pools on signs, and batch norm without learned parameters."""

    def __init__(self, width: int = 128, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width, affine=False)
        plan = [(width, True), (2 * width, False), (2 * width, True), (4 * width, True)]
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        self.pools = [pool for _, pool in plan]
        inputs = width
        for outputs, _ in plan:
            self.convs.append(BayesConv2d(inputs, outputs))
            self.norms.append(nn.BatchNorm2d(outputs, affine=False))
            inputs = outputs
        self.head = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = SignActivation.apply(self.norm(self.stem(x)))
        for conv, norm, pool in zip(self.convs, self.norms, self.pools, strict=True):
            x = SignActivation.apply(norm(conv(x)))
            if pool:
                x = F.max_pool2d(x, 2)
        return self.head(torch.mean(x, dim=(2, 3)))
