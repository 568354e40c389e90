"""DoReFa-Net (Zhou et al., 2016) with 1-bit weights and 1-bit activations of 0 and 1.

Weights are sign(w) * E|w| of the layer (equation 7), activations round(clip(x, 0, 1)).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RoundSTE(torch.autograd.Function):
    """quantize_k with k bits: round((2^k - 1) x) / (2^k - 1)."""

    @staticmethod
    def forward(ctx, x, bits):
        n = float(2**bits - 1)
        return torch.round(x * n) / n

    @staticmethod
    def backward(ctx, grad_output):
        return grad_output, None


class WeightQuantize(nn.Module):
    """One magnitude for the whole layer."""

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.mean(torch.abs(x)).detach()
        signed = torch.sign(x / scale) * scale
        return (signed - x).detach() + x


class ActivationQuantize(nn.Module):
    """0 or 1."""

    def __init__(self, bits: int = 1) -> None:
        super().__init__()
        self.bits = bits

    def forward(self, x: Tensor) -> Tensor:
        return RoundSTE.apply(torch.clamp(x, 0, 1), self.bits)


class QuantConv2d(nn.Conv2d):
    """A convolution with binary weights."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, bias=False, **kwargs)
        self.quantize = WeightQuantize()

    def forward(self, x: Tensor) -> Tensor:
        weight = self.quantize(self.weight)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class QuantLinear(nn.Linear):
    """A dense layer with binary weights."""

    def forward(self, x: Tensor) -> Tensor:
        weight = WeightQuantize()(self.weight)
        return F.linear(x, weight, self.bias)


class DoReFaNet(nn.Module):
    """The network for house numbers, 40×40 in the paper; the first and last layers are float."""

    def __init__(self, width: int = 48, size: int = 40, classes: int = 10) -> None:
        super().__init__()
        w = width
        layers: list[nn.Module] = [
            nn.Conv2d(3, w, 5, padding=2),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(w),
            ActivationQuantize(),
        ]
        inputs = w
        for outputs, padding, pool in ((w, 1, True), (2 * w, 1, False), (2 * w, 1, True)):
            layers.append(QuantConv2d(inputs, outputs, 3, padding=padding))
            layers.append(nn.BatchNorm2d(outputs))
            if pool:
                layers.append(nn.MaxPool2d(2))
            layers.append(ActivationQuantize())
            inputs = outputs
        self.features = nn.Sequential(*layers)
        self.fc1 = QuantLinear(2 * w * (size // 8) ** 2, 4 * w)
        self.bn = nn.BatchNorm1d(4 * w)
        self.act = ActivationQuantize()
        self.fc2 = nn.Linear(4 * w, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.flatten(self.features(x), 1)
        return self.fc2(self.act(self.bn(self.fc1(x))))
