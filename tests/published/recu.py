"""ReCU (Xu et al., ICCV 2021): weights beyond a quantile are pulled back before their sign.

Weights are centred and standardised, then clamped at the tau quantile of a Laplace
distribution (rectified clamp unit). Each output channel has a learned scale.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .resnet import RESNET18, ResNet


class BinaryQuantize(torch.autograd.Function):
    """sign(x), with the identity as derivative."""

    @staticmethod
    def forward(ctx, x):
        return torch.sign(x)

    @staticmethod
    def backward(ctx, grad_output):
        return grad_output


class BinaryQuantizeActivation(torch.autograd.Function):
    """sign(x), with the derivative 2 - |2x|, clipped."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sign()

    @staticmethod
    def backward(ctx, grad_output):
        (x,) = ctx.saved_tensors
        return (2 - torch.abs(2 * x)).clamp(min=0) * grad_output


class BinarizeConv2d(nn.Conv2d):
    """A convolution of signs with rectified, standardised weights."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.alpha = nn.Parameter(torch.rand(outputs, 1, 1) + 0.5, requires_grad=True)
        self.register_buffer("tau", torch.tensor(0.99))

    def forward(self, x: Tensor) -> Tensor:
        a = x
        w = self.weight
        w0 = w - w.mean([1, 2, 3], keepdim=True)
        w1 = w0 / (torch.sqrt(w0.var([1, 2, 3], keepdim=True) + 1e-5) / 2 / 2**0.5)
        if self.training:
            a = a / torch.sqrt(a.var([1, 2, 3], keepdim=True) + 1e-5)
        scale = torch.mean(torch.abs(w1))
        quantile = -scale * torch.log(2 - 2 * self.tau)
        w2 = torch.clamp(w1, -quantile, quantile)
        if self.training:
            a = torch.clamp(a, -1.5, 1.5)
        bw = BinaryQuantize.apply(w2)
        ba = BinaryQuantizeActivation.apply(a)
        output = F.conv2d(ba, bw, self.bias, self.stride, self.padding, self.dilation, self.groups)
        return output * self.alpha


class BasicBlock(nn.Module):
    """Two convolutions, each with a shortcut; a binary 1×1 convolution where sizes change."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = BinarizeConv2d(inputs, outputs, 3, stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = BinarizeConv2d(outputs, outputs, 3)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                BinarizeConv2d(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn1(self.conv1(x))
        out += self.shortcut(x)
        out = F.hardtanh(out)
        x1 = out
        out = self.bn2(self.conv2(out))
        out += x1
        return F.hardtanh(out)


def recu_resnet18(
    width: int = 64, depths: Sequence[int] = RESNET18, classes: int = 10
) -> nn.Module:
    """ResNet-18 for CIFAR images, 32×32."""
    return ResNet(BasicBlock, width, depths, classes, small_images=True)
