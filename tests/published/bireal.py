"""Bi-Real Net (Liu et al., ECCV 2018): a real shortcut around every binary convolution.

The derivative of the sign is approximated by a piecewise polynomial, which stays in
forward; weights are their sign times the mean magnitude of the filter.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .resnet import ResNet


class BinaryActivation(nn.Module):
    """sign(x), with the gradient of the polynomial of section 3.3."""

    def forward(self, x: Tensor) -> Tensor:
        out_forward = torch.sign(x)
        mask1, mask2, mask3 = x < -1, x < 0, x < 1
        out = (-1) * mask1.type(torch.float32) + (x * x + 2 * x) * (1 - mask1.type(torch.float32))
        out = out * mask2.type(torch.float32) + (-x * x + 2 * x) * (1 - mask2.type(torch.float32))
        out = out * mask3.type(torch.float32) + 1 * (1 - mask3.type(torch.float32))
        return out_forward.detach() - out.detach() + out


class HardBinaryConv(nn.Module):
    """A convolution whose weights are sign(w) * mean|w| of each filter."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.padding = kernel // 2
        self.shape = (outputs, inputs, kernel, kernel)
        self.weights = nn.Parameter(torch.randn(outputs * inputs * kernel * kernel, 1) * 0.001)

    def forward(self, x: Tensor) -> Tensor:
        real_weights = self.weights.view(self.shape)
        scale = torch.mean(abs(real_weights), dim=(1, 2, 3), keepdim=True).detach()
        binary_weights_no_grad = scale * torch.sign(real_weights)
        clipped_weights = torch.clamp(real_weights, -1.0, 1.0)
        binary_weights = (
            binary_weights_no_grad.detach() - clipped_weights.detach() + clipped_weights
        )
        return F.conv2d(x, binary_weights, stride=self.stride, padding=self.padding)


class BasicBlock(nn.Module):
    """sign, convolution, batch norm, shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.binary_activation = BinaryActivation()
        self.binary_conv = HardBinaryConv(inputs, outputs, 3, stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.AvgPool2d(kernel_size=2, stride=stride),
                nn.Conv2d(inputs, outputs, 1, bias=False),
                nn.BatchNorm2d(outputs),
            )

    def forward(self, x: Tensor) -> Tensor:
        residual = x
        out = self.bn1(self.binary_conv(self.binary_activation(x)))
        if self.downsample is not None:
            residual = self.downsample(x)
        out += residual
        return out


def bireal_resnet18(
    width: int = 64, depths: Sequence[int] = (4, 4, 4, 4), classes: int = 1000
) -> nn.Module:
    """ResNet-18, of which each block became two."""
    return ResNet(BasicBlock, width, depths, classes)
