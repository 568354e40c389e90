"""The structure of the small VGG of FINN (Umuroglu et al., 2017), 1-bit, written by hand.

Images of 8-bit steps, convolutions without padding, pools on signs, dense layers of signs, and
a batch norm of one number at the end. Quantisers carry scales, as quantisation libraries' do.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Binary(nn.Module):
    """scale * (+1 or -1), with the clipped identity as gradient, in a library's manner."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(scale))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.where(torch.ge(x, 0.0), 1.0, -1.0) * self.scale
        return x.clamp(-1, 1) + (y - x.clamp(-1, 1)).detach()


class QuantConv2d(nn.Conv2d):
    """Binary weights of one scale."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, bias=False)
        self.quant = Binary(0.1)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.quant(self.weight))


class QuantLinear(nn.Linear):
    """The same, dense."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=False)
        self.quant = Binary(0.1)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.quant(self.weight))


class InputQuant(nn.Module):
    """8-bit steps of 1/128 in [-1, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        y = torch.clamp(torch.round(x * 128), -128, 127) / 128
        return x + (y - x).detach()


class TensorNorm(nn.Module):
    """A batch norm with one mean and one variance for the whole tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.7))
        self.bias = nn.Parameter(torch.tensor(0.1))
        self.register_buffer("running_mean", torch.tensor(0.3))
        self.register_buffer("running_var", torch.tensor(4.0))

    def forward(self, x: Tensor) -> Tensor:
        x = (x - self.running_mean) / (self.running_var + 1e-4).sqrt()
        return x * self.weight + self.bias


# Channels of the convolutions in units of the width, and whether a pool follows.
PLAN = [(1, False), (1, True), (2, False), (2, True), (4, False), (4, False)]


class CNV(nn.Module):
    """Six convolutions, two hidden dense layers; images of 32×32, of which one pixel is left."""

    def __init__(
        self,
        width: int = 64,
        hidden: int = 512,
        plan: Sequence[tuple[int, bool]] = PLAN,
        classes: int = 10,
    ) -> None:
        super().__init__()
        self.conv_features = nn.ModuleList([InputQuant()])
        inputs = 3
        for factor, pool in plan:
            outputs = width * factor
            self.conv_features.append(QuantConv2d(inputs, outputs))
            self.conv_features.append(nn.BatchNorm2d(outputs, eps=1e-4))
            self.conv_features.append(Binary(1.0))
            if pool:
                self.conv_features.append(nn.MaxPool2d(kernel_size=2))
            inputs = outputs
        self.linear_features = nn.ModuleList()
        for rows, outputs in ((inputs, hidden), (hidden, hidden)):
            self.linear_features.append(QuantLinear(rows, outputs))
            self.linear_features.append(nn.BatchNorm1d(outputs, eps=1e-4))
            self.linear_features.append(Binary(1.0))
        self.linear_features.append(QuantLinear(hidden, classes))
        self.linear_features.append(TensorNorm())

    def forward(self, x: Tensor) -> Tensor:
        x = 2.0 * x - torch.tensor([1.0])
        for module in self.conv_features:
            x = module(x)
        x = x.view(x.shape[0], -1)
        for module in self.linear_features:
            x = module(x)
        return x
