"""IR-Net (Qin et al., CVPR 2020): balanced, standardised weights and a sharpening estimator.

Weights are centred and standardised per filter; their sign is scaled by a power of two
(Libra-PB). The error decay estimator is a tanh whose steepness k, t changes in training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .resnet import RESNET18, ResNet


class BinaryQuantize(torch.autograd.Function):
    """sign(x), with the derivative of k tanh(t x)."""

    @staticmethod
    def forward(ctx, x, k, t):
        ctx.save_for_backward(x, k, t)
        return torch.sign(x)

    @staticmethod
    def backward(ctx, grad_output):
        x, k, t = ctx.saved_tensors
        return k * t * (1 - torch.pow(torch.tanh(x * t), 2)) * grad_output, None, None


class IRConv2d(nn.Conv2d):
    """Both the weights and the input are binarised, the input with the estimator in forward."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.k = torch.tensor([10.0]).float()
        self.t = torch.tensor([0.1]).float()

    def forward(self, x: Tensor) -> Tensor:
        w = self.weight
        bw = w - w.view(w.size(0), -1).mean(-1).view(w.size(0), 1, 1, 1)
        bw = bw / bw.view(bw.size(0), -1).std(-1).view(bw.size(0), 1, 1, 1)
        mean = bw.abs().view(bw.size(0), -1).mean(-1)
        exponent = (torch.log(mean) / math.log(2)).round().float()
        sw = (
            torch.pow(torch.tensor([2.0] * bw.size(0)), exponent).view(bw.size(0), 1, 1, 1).detach()
        )
        bw = BinaryQuantize.apply(bw, self.k, self.t)
        soft = self.k * torch.tanh(self.t * x)
        ba = torch.sign(x).detach() - soft.detach() + soft
        return F.conv2d(ba, bw * sw, self.bias, self.stride, self.padding)


class BasicBlock(nn.Module):
    """Two convolutions, each with a shortcut and hardtanh."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = IRConv2d(inputs, outputs, 3, stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = IRConv2d(outputs, outputs, 3)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.nonlinear = nn.Hardtanh(inplace=True)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        residual = x if self.downsample is None else self.downsample(x)
        out = self.bn1(self.conv1(x))
        out += residual
        out = self.nonlinear(out)
        residual = out
        out = self.bn2(self.conv2(out))
        out += residual
        return self.nonlinear(out)


def irnet_resnet18(
    width: int = 64, depths: Sequence[int] = RESNET18, classes: int = 1000
) -> nn.Module:
    """ResNet-18 with 1-bit weights and activations."""
    return ResNet(BasicBlock, width, depths, classes)
