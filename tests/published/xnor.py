"""XNOR-Net (Rastegari et al., ECCV 2016): scales for each filter and each position.

A convolution is approximated by that of the signs, times alpha, the mean magnitude of
the filter's weights, times K, the mean magnitude of the input around each position
(equation 11). Blocks are in the order of section 3.2: batch norm, sign, convolution, pool.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BinActive(torch.autograd.Function):
    """sign(x) and the mean of |x| over channels; the derivative is cut off beyond 1."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        mean = torch.mean(x.abs(), 1, keepdim=True)
        return x.sign(), mean

    @staticmethod
    def backward(ctx, grad_output, grad_output_mean):
        (x,) = ctx.saved_tensors
        grad_input = grad_output.clone()
        grad_input[x.ge(1)] = 0
        grad_input[x.le(-1)] = 0
        return grad_input


class BinConv2d(nn.Module):
    """Batch norm, sign, convolution times K and alpha, ReLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, padding: int = 0, groups: int = 1
    ) -> None:
        super().__init__()
        self.kernel, self.padding = kernel, padding
        self.bn = nn.BatchNorm2d(inputs, eps=1e-4, momentum=0.1, affine=True)
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=padding, groups=groups)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x, mean = BinActive.apply(self.bn(x))
        box = torch.ones(1, 1, self.kernel, self.kernel) / self.kernel**2
        k = F.conv2d(mean, box, padding=self.padding)
        weight = self.conv.weight
        alpha = weight.abs().mean((1, 2, 3)).view(1, -1, 1, 1)
        x = F.conv2d(x, weight.sign(), padding=self.padding, groups=self.conv.groups)
        x = x * k * alpha + self.conv.bias.view(1, -1, 1, 1)
        return self.relu(x)


class BinLinear(nn.Module):
    """Batch norm, sign, dropout, dense layer times K and alpha, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm1d(inputs, eps=1e-4)
        self.dropout = nn.Dropout(0.5)
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x, k = BinActive.apply(self.bn(x))
        x = self.dropout(x)
        weight = self.linear.weight
        alpha = weight.abs().mean(1)
        return F.relu(F.linear(x, weight.sign()) * k * alpha + self.linear.bias)


class AlexNet(nn.Module):
    """The first and last layers are float, the four convolutions and two dense ones binary."""

    def __init__(self, width: int = 96, hidden: int = 4096, size: int = 224, classes: int = 1000):
        super().__init__()
        w = width
        self.features = nn.Sequential(
            nn.Conv2d(3, w, kernel_size=11, stride=4, padding=2),
            nn.BatchNorm2d(w, eps=1e-4),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
            BinConv2d(w, 8 * w // 3, 5, padding=2),
            nn.MaxPool2d(kernel_size=3, stride=2),
            BinConv2d(8 * w // 3, 4 * w, 3, padding=1),
            BinConv2d(4 * w, 4 * w, 3, padding=1, groups=2),
            BinConv2d(4 * w, 8 * w // 3, 3, padding=1),
            nn.MaxPool2d(kernel_size=3, stride=2),
        )
        side = (size - 7) // 4 + 1
        for _ in range(3):
            side = (side - 3) // 2 + 1
        self.flat = side * side * (8 * w // 3)
        self.classifier = nn.Sequential(
            BinLinear(self.flat, hidden),
            BinLinear(hidden, hidden),
            nn.BatchNorm1d(hidden, eps=1e-3),
            nn.Linear(hidden, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        x = x.view(x.size(0), self.flat)
        return self.classifier(x)


class NIN(nn.Module):
    """Network in network for CIFAR: binary but for the first and last convolutions."""

    def __init__(self, width: int = 192, classes: int = 10) -> None:
        super().__init__()
        w = width
        self.xnor = nn.Sequential(
            nn.Conv2d(3, w, kernel_size=5, padding=2),
            nn.BatchNorm2d(w, eps=1e-4),
            nn.ReLU(inplace=True),
            BinConv2d(w, 5 * w // 6, 1),
            BinConv2d(5 * w // 6, w // 2, 1),
            nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
            BinConv2d(w // 2, w, 5, padding=2),
            BinConv2d(w, w, 1),
            BinConv2d(w, w, 1),
            nn.AvgPool2d(kernel_size=3, stride=2, padding=1),
            BinConv2d(w, w, 3, padding=1),
            BinConv2d(w, w, 1),
            nn.BatchNorm2d(w, eps=1e-4),
            nn.Conv2d(w, classes, kernel_size=1),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(1),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.xnor(x)
        return x.view(x.size(0), -1)
