"""RBNN, rotated binary neural networks (Lin et al., NeurIPS 2020).

Before their sign, weights are rotated by two small learned rotations (a bi-rotation,
section 3.2) and mixed with themselves by a learned angle (section 3.3). The sign's
training-time approximation (section 3.4) is a polynomial whose range changes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def two_factors(n: int) -> tuple[int, int]:
    """n as a product of two numbers as close as can be."""
    small = max(a for a in range(1, math.isqrt(n) + 1) if n % a == 0)
    return small, n // small


class BinaryQuantize(torch.autograd.Function):
    """sign(x), with the derivative of the training-aware approximation."""

    @staticmethod
    def forward(ctx, x, k, t):
        ctx.save_for_backward(x, k, t)
        return torch.sign(x)

    @staticmethod
    def backward(ctx, grad_output):
        x, k, t = ctx.saved_tensors
        grad_input = k * (2 * torch.sqrt(t**2 / 2) - torch.abs(t**2 * x))
        return grad_input.clamp(min=0) * grad_output, None, None


class RotatedConv2d(nn.Conv2d):
    """Rotates the weights of each filter, [a, b] = [inputs, k * k] as near a square as it goes."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.k = torch.tensor([10.0])
        self.t = torch.tensor([0.1])
        a, b = two_factors(inputs * kernel * kernel)
        self.a, self.b = a, b
        self.register_buffer("R1", torch.linalg.qr(torch.randn(a, a))[0])
        self.register_buffer("R2", torch.linalg.qr(torch.randn(b, b))[0])
        self.rotate = nn.Parameter(torch.rand(outputs, 1, 1, 1) * math.pi / 2)
        self.sw = None

    def forward(self, x: Tensor) -> Tensor:
        w = self.weight
        w1 = w - w.mean([1, 2, 3], keepdim=True)
        w2 = w1 / w1.std([1, 2, 3], keepdim=True)
        if self.sw is None:
            self.sw = w2.abs().view(w2.size(0), -1).mean(-1).float().view(w2.size(0), 1, 1).detach()
        with torch.no_grad():
            blocks = w2.detach().view(w.shape[0], self.a, self.b)
            rotated = (self.R1.t() @ blocks @ self.R2).view_as(w2)
        delta = rotated.detach() - w2
        w3 = w2 + torch.abs(torch.sin(self.rotate)) * delta
        bw = BinaryQuantize.apply(w3, self.k, self.t)
        if self.training:
            x = x / torch.sqrt(x.var([1, 2, 3], keepdim=True) + 1e-5)
        ba = BinaryQuantize.apply(x, self.k, self.t)
        output = F.conv2d(ba, bw, self.bias, self.stride, self.padding, self.dilation)
        return output * self.sw


class LambdaLayer(nn.Module):
    """A function as a module."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class BasicBlock(nn.Module):
    """Two convolutions with shortcuts; where sizes change, every other pixel and zero channels."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = RotatedConv2d(inputs, outputs, 3, stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = RotatedConv2d(outputs, outputs, 3)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        pad = (outputs - inputs) // 2
        if stride != 1 or inputs != outputs:
            self.shortcut = LambdaLayer(
                lambda x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, pad, pad), "constant", 0)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn1(self.conv1(x))
        out += self.shortcut(x)
        out = F.hardtanh(out, inplace=True)
        x1 = out
        out = self.bn2(self.conv2(out))
        out += x1
        return F.hardtanh(out, inplace=True)


class ResNet20(nn.Module):
    """For CIFAR images: stages of so many blocks."""

    def __init__(
        self, width: int = 16, depths: Sequence[int] = (3, 3, 3), classes: int = 10
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        layers = []
        inputs = width
        for index, depth in enumerate(depths):
            for position in range(depth):
                outputs = width * 2**index
                layers.append(BasicBlock(inputs, outputs, 2 if index and not position else 1))
                inputs = outputs
        self.layers = nn.Sequential(*layers)
        self.bn2 = nn.BatchNorm1d(inputs)
        self.linear = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        out = F.hardtanh(self.bn1(self.conv1(x)))
        out = self.layers(out)
        out = F.avg_pool2d(out, out.size()[3])
        out = out.view(out.size(0), -1)
        return self.linear(self.bn2(out))
