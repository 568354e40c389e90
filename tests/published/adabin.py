"""AdaBin (Tu et al., ECCV 2022): the two values of weights and activations are adapted.

Weights of a filter take alpha + beta and -alpha + beta, from their mean and deviation
(equation 8); activations take two learned values for each layer (equation 10). The
nonlinearity is the paper's Maxout.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .resnet import RESNET18, ResNet


class BinaryActivation(nn.Module):
    """alpha * sign((x - beta) / alpha) + beta."""

    def __init__(self) -> None:
        super().__init__()
        self.alpha_a = nn.Parameter(torch.tensor(1.2))
        self.beta_a = nn.Parameter(torch.tensor(0.15))

    def gradient_approx(self, x: Tensor) -> Tensor:
        """sign(x), with a smooth approximation left in forward."""
        out_forward = torch.sign(x)
        mask1, mask2, mask3 = x < -1, x < 0, x < 1
        out1 = (-1) * mask1.float() + (x * x + 2 * x) * (1 - mask1.float())
        out2 = out1 * mask2.float() + (-x * x + 2 * x) * (1 - mask2.float())
        out3 = out2 * mask3.float() + 1 * (1 - mask3.float())
        return out_forward.detach() - out3.detach() + out3

    def forward(self, x: Tensor) -> Tensor:
        x = (x - self.beta_a) / self.alpha_a
        x = self.gradient_approx(x)
        return self.alpha_a * (x + self.beta_a)


class AdaBinConv2d(nn.Conv2d):
    """Weights of two values, not opposite ones, on activations of two values; zero padding."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.binary_a = BinaryActivation()
        self.filter_size = kernel * kernel * inputs

    def forward(self, x: Tensor) -> Tensor:
        x = self.binary_a(x)
        w = self.weight
        beta_w = w.mean((1, 2, 3)).view(-1, 1, 1, 1)
        alpha_w = torch.sqrt(((w - beta_w) ** 2).sum((1, 2, 3)) / self.filter_size)
        alpha_w = alpha_w.view(-1, 1, 1, 1)
        w = (w - beta_w) / alpha_w
        wb = torch.sign(w).detach() - w.clamp(-1, 1).detach() + w.clamp(-1, 1)
        weight = wb * alpha_w + beta_w
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class Maxout(nn.Module):
    """Slopes for positive and negative values, learned for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.neg_scale = nn.Parameter(torch.full((channels,), 0.25))
        self.pos_scale = nn.Parameter(torch.ones(channels))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        positive = self.pos_scale.view(1, -1, 1, 1) * self.relu(x)
        negative = self.neg_scale.view(1, -1, 1, 1) * self.relu(-x)
        return positive - negative


class BasicBlock(nn.Module):
    """Two convolutions, each with a shortcut and Maxout."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = AdaBinConv2d(inputs, outputs, 3, stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.nonlinear1 = Maxout(outputs)
        self.conv2 = AdaBinConv2d(outputs, outputs, 3)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.nonlinear2 = Maxout(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(2, stride), AdaBinConv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn1(self.conv1(x))
        out += self.shortcut(x)
        out = self.nonlinear1(out)
        residual = out
        out = self.bn2(self.conv2(out))
        out += residual
        return self.nonlinear2(out)


def adabin_resnet18(
    width: int = 64, depths: Sequence[int] = RESNET18, classes: int = 1000
) -> nn.Module:
    """ResNet-18 for 224×224 images."""
    return ResNet(BasicBlock, width, depths, classes)
